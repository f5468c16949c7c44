"""The generator: what a scene is, and what it promises."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from proxyclip.tiny.world.captions import CONTEXT_LENGTH, TEMPLATES, WORDS, Tokenizer
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF, THINGS, held_out
from proxyclip.tiny.world.sets import COMBINATIONS, SETS, TEST_SEED, TRAIN_SEED, VAL_SEED, render


def digest(name: str, seed: int, index: int) -> str:
    scene = render(name, seed, index)
    return hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest()


@pytest.mark.parametrize("name", SETS)
def test_a_scene_has_the_size_and_types_of_its_set(name):
    scene, row = render(name, 3, 0), SETS[name]
    assert scene.image.shape == (*row.size, 3) and scene.image.dtype == np.uint8
    assert scene.labels.shape == row.size and scene.labels.dtype == np.int16
    assert scene.labels.min() >= -1 and scene.labels.max() < len(row.classes)


def test_the_same_numbers_give_the_same_scene_in_another_process():
    code = (
        "import hashlib; from proxyclip.tiny.world.sets import render; s = render('tiny/street', 4, 2);"
        "print(hashlib.sha256(s.image.tobytes() + s.labels.tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == digest("tiny/street", 4, 2)


def test_index_seed_and_set_all_change_the_scene():
    these = [("tiny/voc", 1, 0), ("tiny/voc", 1, 1), ("tiny/voc", 2, 0), ("tiny/voc20", 1, 0)]
    assert len({digest(*numbers) for numbers in these}) == 4


def test_labels_agree_with_the_items_of_the_instance_map():
    for name in SETS:
        scene, row = render(name, 11, 1), SETS[name]
        for k, item in enumerate(scene.items):
            here = scene.labels[scene.instances == k]
            if not here.size:
                continue
            assert len(set(here.tolist())) == 1
            label = int(here[0])
            if label >= 0:
                combined = row.attributes and item.look is not None
                words = f"{item.look.colour} {item.look.pattern} {item.name}" if combined else item.name
                assert words in row.classes[label].split("; ")


def test_a_quarter_of_the_combinations_is_held_out_and_every_pair_stays_captioned():
    held = {(c, p, t) for c in COLOURS for p in PATTERNS for t in THINGS if held_out(c, p, t)}
    assert len(held) == len(COLOURS) * len(PATTERNS) * len(THINGS) // 4
    for c in COLOURS:
        for p in PATTERNS:
            assert any((c, p, t) not in held for t in THINGS)
    for t in THINGS:
        assert all(any((c, p, t) not in held for p in PATTERNS) for c in COLOURS)
        assert all(any((c, p, t) not in held for c in COLOURS) for p in PATTERNS)
    longtail = set(COMBINATIONS)
    assert len(longtail) >= 150 and 0 < len(longtail & held) < len(longtail)


def test_every_class_of_the_world_occurs_about_equally_often_in_context():
    counts = dict.fromkeys(CLASSES, 0)
    scenes = 150
    for index in range(scenes):
        scene = render("tiny/context", 21, index)
        for c in np.unique(scene.labels):
            counts[CLASSES[c]] += 1
    stuff = [counts[c] for c in STUFF]
    things = [counts[c] for c in THINGS]
    assert min(stuff) > 0.3 * np.mean(stuff) and max(stuff) < 2.2 * np.mean(stuff)
    assert min(things) > 0.3 * np.mean(things) and max(things) < 2.2 * np.mean(things)


def test_seeds_of_training_tuning_and_test_differ():
    assert len({TRAIN_SEED, VAL_SEED, TEST_SEED}) == 3
    assert all(row.test_seed == TEST_SEED for row in SETS.values())


def test_a_scene_can_have_another_size():
    assert render("tiny/context", 1, 0, (96, 160)).image.shape == (96, 160, 3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tiny/nothing", 0, 0), "unknown tiny set"),
        (("tiny/voc", -1, 0), "must not be negative"),
        (("tiny/voc", 0, 0, (8, 8)), "at least 32 pixels"),
    ],
)
def test_impossible_scenes_are_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        render(*arguments)
    assert "\n" not in str(error.value)


def test_an_unknown_word_is_named_the_known_ones_are_listed_and_it_reads_as_a_blank():
    tokens = Tokenizer()
    with pytest.warns(UserWarning, match='"zebra".*ball'):
        row = tokens(["a zebra"])[0]
    assert row.tolist()[:5] == [tokens.sot_token_id, tokens.ids["a"], 0, tokens.eot_token_id, 0]


def test_the_end_token_is_the_largest_so_that_argmax_finds_it():
    tokens = Tokenizer()
    rows = tokens([template.format("striped red ball") for template in TEMPLATES])
    assert rows.shape == (len(TEMPLATES), CONTEXT_LENGTH)
    assert (rows.max(dim=1).values == tokens.eot_token_id).all()
    assert len(set(WORDS)) == len(WORDS)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="at most 18"):
        Tokenizer()("ball " * 30)


def test_every_query_of_every_set_can_be_read():
    tokens = Tokenizer()
    for row in SETS.values():
        for entry in row.classes:
            tokens([template.format(query) for query in entry.split("; ") for template in TEMPLATES])
