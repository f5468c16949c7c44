"""Sentences of a chapter that depend on the profile it runs on; what is true of both is written in the notebook."""

from __future__ import annotations


def columns(profile: str) -> str:
    """What the columns of a table in the supplement's form hold."""
    if profile == "tiny":
        return "Each column shows the generated set that corresponds to its benchmark."
    return "Every column is the benchmark itself."


def combinations(profile: str) -> str:
    """What is known of the combinations of words that CLIP has seen in training."""
    if profile == "tiny":
        return ("The generated long tail is made of combinations such as \"red striped ball\". While the tiny CLIP "
                "was trained, a quarter of all combinations never occurred in a caption, though each of their words "
                "did.")
    return ("Which combinations of words the published CLIP has read is not known, so the classes of this run are not "
            "split.")


def supervised(profile: str) -> str:
    """Which method with full supervision a run of section F has to compare with."""
    if profile == "tiny":
        return ("The tiny world has one supervised method, the segmenter on CLIP (tiny_supervised): a small network on "
                "the frozen tiny CLIP, trained on masks with the names of textures and things, and asked here for "
                "combinations of words that no mask had. Like the supervised methods of Table 4 it is scored by CLIP's "
                "text embeddings.")
    return "Methods with full supervision are not run here; their numbers are those of the table as printed."
