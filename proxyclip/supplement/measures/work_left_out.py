"""Work of CLIP's last block that a direct implementation does and this package leaves out, counted by hand."""

from __future__ import annotations

from proxyclip import efficiency
from proxyclip.rules import GEM, MaskCLIP, MaskingRule
from proxyclip.rules.block import tower_widths

#: Side of the square image, pixels.
SIDE = 336


def unused_work(row: str) -> dict[str, float]:
    """Multiply-accumulates, in G at 336 x 336 pixels, of CLIP's last block whose result is not used, by reason.

    A direct implementation runs the block's whole attention and then replaces its output. The result is the same, and
    the count is the one that the supplement prints. The reasons in a row of Table 1
    (:data:`proxyclip.efficiency.TABLE1`): the projections of ``queries and keys``; the two products of an ``attention``
    that is not used; the ``projection`` after averaging, on the vision model's grid, instead of before it on CLIP's;
    ``averaging`` the values of the vision model's grid, instead of the weights with which CLIP's patches enter (of GEM
    the values under q, k and v one after the other, instead of once under the mean of their attentions).
    """
    model, rule = efficiency.shapes()[row], efficiency.TABLE1[row].rule
    width, patches = tower_widths(model.clip.model)[0], (SIDE // model.clip.patch_size) ** 2
    work = {"queries and keys": 0.0, "attention": 0.0, "projection": 0.0, "averaging": 0.0}
    if isinstance(rule, MaskCLIP | MaskingRule):
        work["queries and keys"] = 2 * (patches + 1) * width**2 / 1e9
    if isinstance(rule, MaskCLIP):
        work["attention"] = 2 * (patches + 1) ** 2 * width / 1e9
    if isinstance(rule, GEM):
        work["averaging"] = 2 * rule.depth * (patches + 1) ** 2 * width / 1e9
    if isinstance(rule, MaskingRule) and model.vfm is not None:
        fine = (SIDE // model.vfm.patch_size) ** 2
        work["projection"] = (fine - patches) * width**2 / 1e9
        if fine != patches and patches < width:
            work["averaging"] = (fine**2 * width - fine**2 * patches - fine * patches * width) / 1e9
    return work
