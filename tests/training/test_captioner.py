"""Captions of crops: what they say is true, and combinations that are held out are never named."""

import random
from itertools import product

import numpy as np

from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, THINGS, held_out
from training.captioner import ATOMS, Captioner, atom, true_statements

CAPTIONER = Captioner()
WORD = {number: word for word, number in CAPTIONER.tokens.ids.items()}


def test_every_statement_has_its_own_number():
    numbers = {atom(c) for c in range(len(CLASSES))}
    for t in range(len(THINGS)):
        cls = len(CLASSES) - len(THINGS) + t
        for c in range(-1, len(COLOURS)):
            numbers |= {atom(cls, c, p) for p in range(-1, len(PATTERNS))}
    assert numbers == set(range(ATOMS))


def test_training_captions_are_true_and_never_name_a_held_out_combination(scenes):
    rng = np.random.default_rng(0)
    held = {f" {c} {p} {t} " for c, p, t in product(COLOURS, PATTERNS, THINGS) if held_out(c, p, t)}
    for _ in range(20):
        crops = scenes.windows(32, rng)
        tokens, said = CAPTIONER(crops, random.Random(int(rng.integers(1000))))
        assert ((true_statements(crops, least=0.0) - said) >= 0).all()
        for row in tokens.tolist():
            text = f" {' '.join(WORD.get(i, '') for i in row)} "
            assert not any(combination in text for combination in held)


def test_phrases_name_one_visible_thing_each_and_do_not_repeat(scenes):
    rng = np.random.default_rng(0)
    for _ in range(5):
        crops = scenes.windows(32, rng)
        tokens, said = CAPTIONER.phrases(crops, random.Random(int(rng.integers(1000))))
        assert (said.sum(1) == 1).all() and (said.sum(0) <= 1).all()
        assert (true_statements(crops, least=0.0) @ said.T).amax(0).min() == 1  # each is true of some crop
        for row in tokens.tolist():
            assert sum(WORD.get(i) in CLASSES for i in row) == 1
