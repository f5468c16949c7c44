"""Every number of the supplement as records, with the facts it states and the methods it cites.

The values are in ``paper.toml``, typed from the tables, averages included; the tests recompute the averages from their
own columns. Figure 1 shows curves without values, so section B has no published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxyclip.supplement.records import Record
from proxyclip.system.own_files import shipped

PUBLISHED = "published"

#: Section B: the ranges within which results are called good, and the defaults.
BETA_RANGE, GAMMA_RANGE = (1.0, 1.6), (2.0, 5.0)
DEFAULT_BETA, DEFAULT_GAMMA = 1.2, 3.0
DEFAULT_RULE = f"adaptive:{DEFAULT_BETA:g},{DEFAULT_GAMMA:g}"

TABLE_1_COLUMNS = (("params", "M"), ("speed", "images/s"), ("memory", "MiB"), ("flops", "G"))
TABLE_2_ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8)
TABLE_3_COLUMNS = ("VOC", "Context", "Object", "VOC20", "Context59", "Stuff", "City", "ADE", "Avg.")
TABLE_4_COLUMNS = ("ADE847", "PC459", "Avg.")
#: Groups of Table 4.
FULL, WEAK, FREE = "fully-supervised", "weakly-supervised", "training-free"
#: The other reading of the methods without training; Table 4 does not say which one it shows.
BARE = "without residual and MLP"
#: Methods without training that are measured here and are not in the table.
NOT_PRINTED = "not in Table 4"
#: Section E, text: average mIoU of CLIP as trained.
VANILLA_AVERAGE = 11.7


@dataclass(frozen=True)
class TableFourRow:
    """A row of Table 4."""

    supervision: str  #: Heading of the row's group, in lower case.
    method: str
    venue: str
    citation: str  #: Key in ``book/references.bib``.
    values: tuple[float, float, float]  #: In the order of :data:`TABLE_4_COLUMNS`: mIoU, per cent.
    rule: str = ""  #: The rule of this package that implements the row, if one does.
    number: int | None = None  #: Of the reference beside the method, as printed; MAFT carries that of GKC there.

    @property
    def printed_name(self) -> str:
        """The method as printed: two of them are called MaskCLIP and differ in their references."""
        return self.method.partition(" (")[0]


@dataclass(frozen=True)
class _Tables:
    """What ``paper.toml`` holds."""

    stable_diffusion: dict[str, tuple[int | float, str]]
    benchmark_of_column: dict[str, str]
    table_1: dict[str, tuple[int | float, ...]]
    table_2: dict[str, tuple[float, ...]]
    table_3: dict[str, tuple[float, ...]]
    table_4: tuple[TableFourRow, ...]


_TABLES = shipped(Path(__file__).with_suffix(".toml"), dict[str, _Tables])["supplement"]
#: Section A: quantity -> its value and unit.
STABLE_DIFFUSION = _TABLES.stable_diffusion
TABLE_1, TABLE_2, TABLE_3, TABLE_4 = _TABLES.table_1, _TABLES.table_2, _TABLES.table_3, _TABLES.table_4
#: Column of Tables 3 and 4 -> name of the benchmark.
BENCHMARK_OF_COLUMN = _TABLES.benchmark_of_column
#: Benchmark -> column heading, for tables in the supplement's own form.
COLUMN_OF_BENCHMARK = {name: column for column, name in BENCHMARK_OF_COLUMN.items()}


def published(section: str | None = None) -> list[Record]:
    """The supplement's own numbers, of a section or of all; B and G state none.

    They have ``profile="published"``; ``vfm`` is the family as printed, ``setting`` names the table.
    """
    # Tables 3 and 4 do not name the VFM of ProxyCLIP. The Stuff column of Table 3 equals Table 2's adaptive DINO.
    rules_of_table_2 = (*(f"hard:{alpha:g}" for alpha in TABLE_2_ALPHAS), DEFAULT_RULE)
    records = [
        *(Record("A", PUBLISHED, metric, value, unit, vfm="Stable Diffusion", setting="text")
          for metric, (value, unit) in STABLE_DIFFUSION.items()),
        *(Record("C", PUBLISHED, metric, value, unit, method=method, setting="Table 1")
          for method, row in TABLE_1.items() for (metric, unit), value in zip(TABLE_1_COLUMNS, row, strict=True)),
        *(Record("D", PUBLISHED, "miou", value, "%", "coco_stuff", vfm, rule, setting="Table 2")
          for vfm, row in TABLE_2.items() for rule, value in zip(rules_of_table_2, row, strict=True)),
        *(Record("E", PUBLISHED, "miou", value, "%", BENCHMARK_OF_COLUMN[column],
                 "DINO" if rule == DEFAULT_RULE else "", rule, setting="Table 3")
          for rule, row in TABLE_3.items() for column, value in zip(TABLE_3_COLUMNS, row, strict=True)),
        Record("E", PUBLISHED, "miou", VANILLA_AVERAGE, "%", "average", rule="vanilla", setting="text"),
        *(Record("F", PUBLISHED, "miou", value, "%", BENCHMARK_OF_COLUMN[column],
                 "DINO" if row.rule == DEFAULT_RULE else "", row.rule, row.method, row.supervision)
          for row in TABLE_4 for column, value in zip(TABLE_4_COLUMNS, row.values, strict=True)),
    ]
    return [record for record in records if section in (None, record.section)]
