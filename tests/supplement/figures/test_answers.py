"""The sentence that answers a chapter's question, from records made for it."""

from proxyclip.supplement.figures.answers import answer
from proxyclip.supplement.records import Record, Result


def test_the_sweeps_answer_compares_means_over_the_seeds() -> None:
    """A set is easier with one seed than with another; that is no effect of beta and gamma."""
    easy, hard = 60.0, 30.0
    grid = {(1.0, 3.0): 0.0, (1.2, 3.0): -3.0, (1.6, 5.0): -4.5}
    records = [Record("B", "tiny", "miou", level + change, "%", "tiny/voc", "tiny_dino", f"adaptive:{beta:g},{gamma:g}",
                      n=8, seed=seed)
               for seed, level in enumerate((easy, hard)) for (beta, gamma), change in grid.items()]
    records += [Record("B", "tiny", "miou", 90.0, "%", "tiny/voc", "tiny_dino", "identity", n=8, seed=0)]
    shown = repr(answer(Result("B", "tiny", records, [])))
    assert "lies between 90.0 and 100.0 % of its set's best, and the default reaches 93.3 to 93.3 %." in shown
