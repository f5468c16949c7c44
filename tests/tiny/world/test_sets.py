"""The generator: what a scene is, and what it promises."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context

import numpy as np
import pytest

from proxyclip.data.datasets import dataset
from proxyclip.tiny.world.captions import CONTEXT_LENGTH, TEMPLATES, WORDS, Tokenizer
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF, THINGS, held_out
from proxyclip.tiny.world.sets import COMBINATIONS, SETS, TEST_SEED, TRAIN_SEED, VAL_SEED, render


def digest(name: str, seed: int, index: int) -> str:
    scene = render(name, seed, index)
    return hashlib.sha256(scene.image.tobytes() + scene.labels.tobytes()).hexdigest()


@pytest.mark.parametrize("size", [None, (96, 160)])
@pytest.mark.parametrize("name", SETS)
def test_a_scene_has_the_types_of_its_set_and_its_size_unless_another_is_given(name, size):
    scene, row = render(name, 3, 0, size), SETS[name]
    assert scene.image.shape == (*(size or row.size), 3) and scene.image.dtype == np.uint8
    assert scene.labels.shape == (size or row.size) and scene.labels.dtype == np.int16
    assert scene.labels.min() >= -1 and scene.labels.max() < len(row.classes)


def test_the_same_numbers_give_the_same_scene_in_another_process(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "123")
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        assert other.submit(digest, "tiny/street", 4, 2).result() == digest("tiny/street", 4, 2)


def test_what_is_done_to_a_scene_changes_nothing_of_it_the_next_time():
    data = dataset("tiny/voc")
    first, image = data[0], np.array(data[0].image)
    first.image.putpixel((0, 0), (1, 2, 3))
    first.labels[:] = 0
    assert np.array_equal(data[0].image, image) and data[0].labels.any()


def test_index_seed_and_set_all_change_the_scene():
    these = [("tiny/voc", 1, 0), ("tiny/voc", 1, 1), ("tiny/voc", 2, 0), ("tiny/voc20", 1, 0)]
    assert len({digest(*numbers) for numbers in these}) == 4


def test_labels_agree_with_the_items_of_the_instance_map():
    for name in SETS:
        scene, row = render(name, 11, 1), SETS[name]
        for k, item in enumerate(scene.items):
            labels = set(scene.labels[scene.instances == k].tolist())
            assert len(labels) <= 1
            for label in labels - {-1}:
                combined = row.attributes and item.look is not None
                words = f"{item.look.colour} {item.look.pattern} {item.name}" if combined else item.name
                assert words in row.classes[label].split("; ")


def test_a_quarter_of_the_combinations_is_held_out_and_every_pair_stays_captioned():
    triples = set(product(COLOURS, PATTERNS, THINGS))
    held = {triple for triple in triples if held_out(*triple)}
    assert len(held) == len(triples) // 4
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert {(t[a], t[b]) for t in triples - held} == {(t[a], t[b]) for t in triples}
    longtail = set(COMBINATIONS)
    assert len(longtail) >= 150 and 0 < len(longtail & held) < len(longtail)


def test_every_class_of_the_world_occurs_about_equally_often_in_context():
    found = np.concatenate([np.unique(render("tiny/context", 21, index).labels) for index in range(150)])
    counts = np.bincount(found, minlength=len(CLASSES))
    for of_kind in (counts[: len(STUFF)], counts[len(STUFF) :]):
        assert of_kind.min() > 0.3 * of_kind.mean() and of_kind.max() < 2.2 * of_kind.mean()


def test_seeds_of_training_tuning_and_test_differ():
    assert len({TRAIN_SEED, VAL_SEED, TEST_SEED}) == 3
    assert all(row.test_seed == TEST_SEED for row in SETS.values())


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
