"""Some seconds of benchmarks/fuzz.py with a fixed seed."""

from benchmarks import fuzz


def test_damaged_files_are_read_or_refused_with_a_sentence():
    tries, faults = fuzz.run(list(fuzz.TARGETS), seconds=5, seed=0)
    assert not faults, "\n".join(faults)
    assert set(tries) == set(fuzz.TARGETS)
