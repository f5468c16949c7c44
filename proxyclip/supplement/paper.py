"""Every number of the supplement as records, with the facts it states and the methods it cites.

Values are typed from the tables, averages included; the tests recompute the averages from their own columns. Figure 1
shows curves without values, so section B has no published numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxyclip.supplement.records import Record

PUBLISHED = "published"

#: Column of Tables 3 and 4 -> name of the benchmark.
BENCHMARK_OF_COLUMN = {
    "VOC": "voc21", "Context": "context60", "Object": "coco_object", "VOC20": "voc20", "Context59": "context59",
    "Stuff": "coco_stuff", "City": "cityscapes", "ADE": "ade150", "ADE847": "ade847", "PC459": "pc459",
    "Avg.": "average",
}
#: Benchmark -> column heading, for tables in the supplement's own form.
COLUMN_OF_BENCHMARK = {name: column for column, name in BENCHMARK_OF_COLUMN.items()}

#: Section A: side of the input before and after resizing; rows, columns and channels of the feature map; downsampling
#: factor; time step and number of the block.
STABLE_DIFFUSION = {
    "input side": (336, "pixels"), "resized side": (672, "pixels"), "rows": (22, ""), "columns": (22, ""),
    "channels": (1280, ""), "factor": (15.3, ""), "time step": (0, ""), "block": (9, ""),
}

#: Section B: the ranges within which results are called good, and the defaults.
BETA_RANGE, GAMMA_RANGE = (1.0, 1.6), (2.0, 5.0)
DEFAULT_BETA, DEFAULT_GAMMA = 1.2, 3.0
DEFAULT_RULE = f"adaptive:{DEFAULT_BETA:g},{DEFAULT_GAMMA:g}"

TABLE_1_COLUMNS = (("params", "M"), ("speed", "images/s"), ("memory", "MiB"), ("flops", "G"))
TABLE_1 = {
    "CLIP": (142.7, 72.5, 3540, 41.7),
    "MaskCLIP": (142.7, 74.1, 3540, 41.6),
    "GEM": (142.7, 55.9, 3716, 51.5),
    "ProxyCLIP (DINO-B/16)": (224.5, 52.9, 3640, 81.1),
    "ProxyCLIP (DINO-B/8)": (224.5, 26.9, 3926, 253.3),
}

TABLE_2_ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8)
#: VFM -> mIoU on COCO-Stuff at each alpha, then with the adaptive rule.
TABLE_2 = {
    "MAE": (15.2, 16.9, 19.8, 23.0, 23.3, 23.1),
    "SAM": (12.6, 12.6, 14.0, 21.4, 25.2, 25.0),
    "DINOv2": (15.5, 22.4, 25.2, 25.1, 23.7, 25.4),
    "DINO": (15.5, 22.2, 25.8, 24.4, 22.0, 26.5),
}

TABLE_3_COLUMNS = ("VOC", "Context", "Object", "VOC20", "Context59", "Stuff", "City", "ADE", "Avg.")
#: Rule -> mIoU per column.
TABLE_3 = {
    "qk": (34.0, 18.2, 20.6, 75.3, 20.8, 13.6, 15.7, 10.3, 26.1),
    "qq": (55.2, 31.3, 33.7, 77.7, 35.1, 23.5, 31.6, 17.8, 38.2),
    "kk": (55.7, 30.6, 33.9, 77.8, 34.6, 23.3, 31.6, 17.9, 38.2),
    DEFAULT_RULE: (61.3, 35.3, 37.5, 80.3, 39.1, 26.5, 38.1, 20.2, 42.3),
}
#: Section E, text: average mIoU of CLIP as trained.
VANILLA_AVERAGE = 11.7


@dataclass(frozen=True)
class TableFourRow:
    """A row of Table 4."""

    supervision: str  #: Heading of the row's group, in lower case.
    method: str
    venue: str
    citation: str  #: Key in ``book/references.bib``.
    values: tuple[float, float, float]  #: (ADE847, PC459, Avg.): mIoU, per cent.
    rule: str = ""  #: The rule of this package that implements the row, if one does.
    number: int | None = None  #: Of the reference beside the method, as printed; MAFT carries that of GKC there.

    @property
    def printed_name(self) -> str:
        """The method as printed: two of them are called MaskCLIP and differ in their references."""
        return self.method.partition(" (")[0]


TABLE_4_COLUMNS = ("ADE847", "PC459", "Avg.")
FULL, WEAK, FREE = "fully-supervised", "weakly-supervised", "training-free"
#: The other reading of the methods without training; Table 4 does not say which one it shows.
BARE = "without residual and MLP"
#: Methods without training that are measured here and are not in the table.
NOT_PRINTED = "not in Table 4"
TABLE_4 = (
    TableFourRow(FULL, "ODISE", "CVPR2023", "xu2023odise", (11.1, 14.5, 12.8), number=13),
    TableFourRow(FULL, "SAN", "CVPR2023", "xu2023san", (12.4, 15.7, 14.1), number=14),
    TableFourRow(FULL, "X-Decoder", "CVPR2023", "zou2023xdecoder", (9.2, 16.1, 12.7), number=18),
    TableFourRow(FULL, "OVSeg", "CVPR2023", "liang2023ovseg", (9.0, 12.4, 10.7), number=6),
    TableFourRow(FULL, "MaskCLIP (Ding et al.)", "ICML2023", "ding2022maskclip", (8.2, 10.0, 9.1), number=2),
    TableFourRow(FULL, "DeOP", "ICCV2023", "han2023deop", (7.1, 9.4, 8.3), number=3),
    TableFourRow(FULL, "MasQCLIP", "ICCV2023", "xu2023masqclip", (10.7, 18.2, 14.5), number=15),
    TableFourRow(FULL, "GKC", "ICCV2023", "han2023gkc", (3.5, 7.1, 5.3), number=4),
    TableFourRow(FULL, "MAFT", "NeurIPS2023", "jiao2023maft", (12.1, 15.7, 13.9), number=4),
    TableFourRow(FULL, "HIPIE", "NeurIPS2023", "wang2024hipie", (9.7, 14.4, 12.1), number=11),
    TableFourRow(WEAK, "TCL", "CVPR2023", "cha2023tcl", (4.9, 5.3, 5.1), number=1),
    TableFourRow(WEAK, "CLIP-DINOiser", "Arxiv2023", "wysoczanska2023clipdinoiser", (7.1, 8.4, 7.8), number=12),
    TableFourRow(FREE, "CLIP", "ICML2021", "radford2021clip", (0.8, 1.3, 1.1), "vanilla"),
    TableFourRow(FREE, "MaskCLIP", "ECCV2022", "zhou2022maskclip", (3.6, 4.6, 4.1), "maskclip", number=17),
    TableFourRow(FREE, "SCLIP", "Arxiv2023", "wang2023sclip", (4.9, 6.3, 5.6), "sclip", number=9),
    TableFourRow(FREE, "ProxyCLIP", "", "lan2024proxyclip", (11.1, 9.9, 10.5), DEFAULT_RULE),
)


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
