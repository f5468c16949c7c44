"""A vision foundation model whose similarities are changed by two numbers: a base and an individual part.

Models differ in what any two patches of a window have in common (a constant component of their features raises every
cosine) and in what a patch shares with no other one, not even of its own region. With a base ``c`` and an individual
part ``e`` the cosine of two different patches becomes ::

    S' = (1 - c - e) S + c,

and that of a patch with itself stays 1. No training is needed: with ``F`` the unit features of a window, ::

    F' = [sqrt(1 - c - e) F, sqrt(c) 1, sqrt(e) I]

has these cosines exactly. One channel holds the same number for every patch, and every patch has a channel of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.attention import full_precision
from proxyclip.models.vfm import VFM


class ChangedVFM(VFM):
    """A foundation model with a changed geometry; it shares all else with the one that it changes."""

    def __init__(self, vfm: VFM, base: float, individual: float) -> None:
        nn.Module.__init__(self)
        self.__dict__ |= vfm.__dict__  # as a shallow copy
        self.base, self.individual = base, individual
        self.unchanged_name = getattr(vfm, "unchanged_name", vfm.name)
        self.name = f"{self.unchanged_name} (base {base:.4g}, individual part {individual:.4g})"

    def features(self, pixels: Tensor) -> Tensor:
        """As :meth:`VFM.features`; each is of unit length, with a channel for the base and one for each patch."""
        features = super().features(pixels)
        count, _, rows, columns = features.shape
        parts = [(1 - self.base - self.individual) ** 0.5 * F.normalize(full_precision(features), dim=1)]
        if self.base:
            parts.append(parts[0].new_full((count, 1, rows, columns), self.base**0.5))
        if self.individual:
            own = self.individual**0.5 * torch.eye(rows * columns, dtype=parts[0].dtype, device=features.device)
            parts.append(own.unflatten(1, (rows, columns)).expand(count, -1, -1, -1))
        return torch.cat(parts, dim=1).to(features.dtype)


def with_geometry(vfm: VFM, *, base: float = 0.0, individual: float = 0.0) -> VFM:
    """Change the geometry of a foundation model: how similar any two patches are, and how much a patch keeps to itself.

    The cosine of two different patches of a window becomes ``(1 - base - individual) S + base``; a patch with itself
    has 1. The change is exact, without training and without random numbers (see this module).

    Parameters
    ----------
    vfm : VFM
        Such as ``model.vfm``. Of one that is changed already, the two changes are joined.
    base : float
        What any two patches have in common, not negative. To take a base away, change the similarities themselves
        (:func:`changed_similarity`): in general no vectors have such cosines.
    individual : float
        What a patch shares with no other one, not negative. ``base + individual`` is below 1. It costs a channel for
        each patch of a window.

    Returns
    -------
    VFM
        It shares its weights with the one given; its name says what was changed, and so do the keys of evaluations.

    Notes
    -----
    Under the adaptive rule the threshold on ``S'`` is ``beta mean(S')``, which is nearly
    ``beta ((1 - base - individual) mean(S) + base)``: it follows both numbers. A fixed threshold follows neither.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import proxyclip as pc
    >>> model = pc.load(vfm="tiny_sam")
    >>> changed = replace(model, vfm=pc.with_geometry(model.vfm, base=0.5))
    >>> changed.describe()
    'tiny_clip with tiny_sam (base 0.5, individual part 0), windows of 64 px every 32 px'
    >>> scores = pc.evaluate(changed, "tiny/voc", ["hard:0.4", "adaptive"], limit=1)
    >>> pc.with_geometry(model.vfm, base=0.8, individual=0.3)
    Traceback (most recent call last):
    ValueError: base + individual must be below 1, got 0.8 + 0.3
    """
    for name, value in (("base", base), ("individual", individual)):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise ValueError(f"{name} must be a number from 0 to below 1, got {value!r}")
    if base + individual >= 1:
        raise ValueError(f"base + individual must be below 1, got {base:g} + {individual:g}")
    if isinstance(vfm, ChangedVFM):
        kept = 1 - base - individual
        base, individual = kept * vfm.base + base, kept * vfm.individual + individual
    return ChangedVFM(vfm, base, individual)


def changed_similarity(similarity: Tensor, base: float = 0.0, individual: float = 0.0) -> Tensor:
    """The similarities of a window under a changed geometry; unlike features, they can also lose a base.

    Parameters
    ----------
    similarity : (..., N, N) float
        Cosines of the patches of a window with each other.
    base : float
        Between -1 and 1. A negative one is taken away, the inverse of adding it: ``S' = (S + base) / (1 + base)``, so
        that cosines of ``-base`` become 0 and those of 1 stay 1. In the formula it is ``c = base / (1 + base)``.
    individual : float
        As for :func:`with_geometry`.

    Returns
    -------
    (..., N, N) float
        ``(1 - c - e) S + c``, and 1 on the diagonal.

    Examples
    --------
    >>> similarity = torch.tensor([[1.0, 0.7], [0.7, 1.0]])
    >>> changed_similarity(similarity, base=-0.5)
    tensor([[1.0000, 0.4000],
            [0.4000, 1.0000]])
    """
    common = base / (1 + base) if -1 < base < 0 else base
    if not -1 < base < 1 or not 0 <= individual < 1 - common:
        raise ValueError("base must lie between -1 and 1, individual from 0 to what the base leaves, got "
                         f"{base:g} and {individual:g}")
    changed = (1 - common - individual) * similarity + common
    changed.diagonal(dim1=-2, dim2=-1).fill_(1)
    return changed
