"""The inventory of a data folder."""

from dataclasses import replace

from miniature import write_tree

from proxyclip.data import benchmarks
from proxyclip.data.inventory import benchmark_statuses


def test_the_inventory_says_what_is_complete_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(benchmarks.BENCHMARKS, "voc21", replace(benchmarks.BENCHMARKS["voc21"], images=(3,)))
    write_tree("voc21", tmp_path / "VOCdevkit/VOC2012")
    write_tree("ade150", tmp_path / "ade150")
    (tmp_path / "ade150/annotations/validation/a_0002.png").unlink()
    found = {row.benchmark.name: row for row in benchmark_statuses(tmp_path)}
    assert found.keys() == benchmarks.BENCHMARKS.keys()
    assert (found["voc21"].state, found["voc21"].images, found["voc21"].problem) == ("complete", 3, "")
    assert (found["voc20"].state, found["voc20"].images, found["voc20"].missing) == ("incomplete", 3, 0)
    assert "the complete set has 1449" in found["voc20"].problem
    assert found["ade150"].missing == 1 and "a_0002.png: missing" in found["ade150"].problem
    assert found["cityscapes"].state == "absent" and "cityscapes-dataset.com" in found["cityscapes"].problem
