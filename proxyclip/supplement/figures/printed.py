"""Tables 1 to 4 exactly as the supplement prints them: every row, column, venue, mark, citation and average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import CLIP_KINDS
from proxyclip.supplement.figures.tables import Shown, boxed

#: Where the pages of the chapters find the bibliography.
REFERENCES = "../references.html"
SOURCE = "Printed in the supplement; nothing in this table was measured here."


def table_1() -> Shown:
    """Efficiency of the methods (section C)."""
    head = ["Models", "Params ↓ (M)", "Speed ↑ (IPS)", "GPU ↓ (MiB)", "FLOPs ↓ (G)"]
    rows = [[method, *(f"{value:g}" if isinstance(value, int) else f"{value:.1f}" for value in row)]
            for method, row in paper.TABLE_1.items()]
    return _table(1, head, rows, "Efficiency comparison of training-free methods based on CLIP-ViT-B/16 (RTX 3090, "
                                 "fp16, one image of 336 x 336 pixels). IPS: images per second.")


def table_2() -> Shown:
    """Thresholds of hard masking (section D)."""
    head = ["α", *(f"{alpha:.1f}" for alpha in paper.TABLE_2_ALPHAS), "Adaptive"]
    rows = [[vfm, *(f"{value:.1f}" for value in row)] for vfm, row in paper.TABLE_2.items()]
    return _table(2, head, rows, "Comparison of using different thresholds on COCO-Stuff, mIoU in %.")


def table_3() -> Shown:
    """CLIP's own embeddings in the module (section E)."""
    rows = [[CLIP_KINDS.get(rule, "Proxy"), *(f"{value:.1f}" for value in row)] for rule, row in paper.TABLE_3.items()]
    return _table(3, ["Attn", *paper.TABLE_3_COLUMNS], rows,
                  "Results of using CLIP's q and k embeddings in the proxy attention module, mIoU in %; the average is "
                  "the printed one.")


def table_4() -> Shown:
    """Large vocabularies (section F), in the supplement's three groups, each method with its citation."""
    rows: list[Sequence[str]] = []
    group = ""
    for row in paper.TABLE_4:
        if row.supervision != group:
            group = row.supervision
            rows.append([Markup("<em>{}</em>").format(group.capitalize()), *[""] * 5])
        link = Markup(' <a href="{}#{}">[{}]</a>').format(REFERENCES, row.citation, row.number)
        annotated = "✓" if group == paper.FULL else "✗"
        rows.append([Markup("{}{}").format(row.printed_name, link if row.number else ""), row.venue, annotated,
                     *(f"{value:.1f}" for value in row.values)])
    return _table(4, ["Method", "Venue", "Annotation", *paper.TABLE_4_COLUMNS], rows,
                  "Comparison of open-vocabulary semantic segmentation performance under different models and "
                  "architectures, mIoU in %. Annotation: trained with full annotations of COCO-Stuff.")


def _table(number: int, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Shown:
    shown = boxed(head, rows, f"Table {number} of the supplement. {caption} {SOURCE}", "table dataframe printed")
    return replace(shown, page=Markup(str(shown.page).replace("<table ", f'<table data-table="{number}" ', 1)))
