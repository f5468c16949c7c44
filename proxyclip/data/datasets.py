"""Open a set by its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxyclip.data import folders, vocab
from proxyclip.data.base import Dataset
from proxyclip.data.benchmark_files import BenchmarkDataset, locate
from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS, benchmark_row
from proxyclip.data.samples import DataError
from proxyclip.text import Vocabulary


def dataset(
    name: str, root: str | Path | None = None, vocabulary: str | Path | Sequence[str] | Vocabulary | None = None,
    **options: Any,
) -> Dataset:
    """Open a set by name.

    Parameters
    ----------
    name : str
        A benchmark (``voc21 voc20 context60 context59 coco_object coco_stuff cityscapes ade150 ade847
        pc459``) or a set of the generated world (``tiny/…``). ``voc21@1`` asks for a version of its protocol card;
        ``ade847@published`` and ``pc459@published`` ignore the label 255 as the published evaluation does. Any other
        name is a set of your own below the root (:func:`proxyclip.data.folders.find`).
    root : str or Path, optional
        The folder of the benchmark, or a folder of several; default: the environment variable PROXYCLIP_DATA.
    vocabulary : path, list of str or Vocabulary, optional
        Another class list of the same length; a path holds one class per line, queries separated by "; ".
    **options
        For ``tiny/…`` only: ``seed``, ``size`` and ``length``; None is the set's own.

    Raises
    ------
    DataError
        When the name is unknown or the files are not there.

    Examples
    --------
    >>> import proxyclip as pc
    >>> data = pc.dataset("tiny/voc20", length=2)
    >>> len(data), data.vocabulary.names[:3]
    (2, ('house', 'tree', 'car'))
    >>> sample = data[0]
    >>> sample.image.size, sample.labels.shape, sample.labels.dtype
    ((128, 128), (128, 128), dtype('int32'))
    >>> pc.dataset("voc21", root="data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    proxyclip.data.samples.DataError: voc21: no JPEGImages or SegmentationClass in data, ...
    """
    if isinstance(vocabulary, str | Path):
        vocabulary = vocab.read(vocabulary)
    elif vocabulary is not None and not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary.parse(vocabulary)
    options = {option: value for option, value in options.items() if value is not None}
    if name.startswith("tiny/"):
        # Imported here: the generated world brings drawing code that the benchmarks do not need.
        from proxyclip.data.generated import SceneDataset

        return SceneDataset(name, vocabulary=vocabulary, **options)
    row = benchmark_row(name)
    if options and row is not None:
        raise DataError(f"{name}: unknown option {', '.join(options)}; only tiny/… takes options")
    if row is None:
        own = folders.find(name, root or os.environ.get("PROXYCLIP_DATA"))
        if own is None:
            raise DataError(f'no data set "{name}"; there are {", ".join((*BENCHMARKS, *VARIANTS))}, tiny/…, and '
                            f"folders with {folders.CLASSES}, images and labels below the folder of the data")
        if vocabulary is not None:
            vocab.check_count(vocabulary, len(own.vocabulary), f"the vocabulary given for {name}")
            own.vocabulary = vocabulary
        return own
    return BenchmarkDataset(row, locate(row, root), vocabulary)
