"""Data sets: images with ground truth, a class list and a protocol, from the benchmarks or generated."""
