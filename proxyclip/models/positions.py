"""Positional embeddings on another grid, as each upstream project resizes them.

The differences are small, but they change scores: a scale factor that is too large by a tenth of a token shifts every
sampling position, and antialiasing changes the weights. The registry names the mode of each model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: mode -> (offset added to the target side, antialiasing)
MODES: dict[str, tuple[float, bool]] = {
    "bicubic": (0.0, False),
    "bicubic-offset": (0.1, False),
    "bicubic-antialias": (0.0, True),
}


def resize_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int, mode: str) -> Tensor:
    """Resize a table of absolute positional embeddings, (..., prefix + rows * columns, width) float, to a new grid.

    The ``prefix`` entries in front of the grid (class token) are kept as they are. Modes are ``"bicubic"``,
    ``"bicubic-antialias"`` and ``"bicubic-offset"``, which passes the scale factor ``(n + 0.1) / N`` for each side
    instead of the size (DINO, CLIP). ``ValueError`` if the mode is unknown or the table does not fit the old grid.
    """
    if mode not in MODES:
        raise ValueError(f"position mode must be one of {', '.join(MODES)}, got {mode!r}")
    if positions.shape[-2] != prefix + old[0] * old[1]:
        raise ValueError(f"{positions.shape[-2]} positions do not fit {prefix} + {old[0]} x {old[1]} tokens")
    if tuple(old) == tuple(new):
        return positions
    offset, antialias = MODES[mode]
    head, table = positions[..., :prefix, :], positions[..., prefix:, :]
    lead = table.shape[:-2]
    table = table.reshape(-1, *old, table.shape[-1]).permute(0, 3, 1, 2).float()
    factors = tuple((n + offset) / o for n, o in zip(new, old, strict=True)) if offset else None
    table = F.interpolate(table, None if offset else tuple(new), factors, mode="bicubic", antialias=antialias)
    table = table.permute(0, 2, 3, 1).reshape(*lead, new[0] * new[1], -1).to(positions.dtype)
    return torch.cat([head, table], dim=-2)
