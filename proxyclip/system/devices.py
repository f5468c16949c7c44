"""Where the models run: one check for a device, whoever names it."""

from __future__ import annotations

import torch


def check_device(device: str | torch.device) -> torch.device:
    """Return a device that this machine has.

    Parameters
    ----------
    device : str or torch.device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. ``"meta"`` is allowed as well: shapes without numbers.

    Raises
    ------
    ValueError
        If this machine has no such device; the sentence names those that it has.
    """
    allowed = ["cpu"]
    if torch.cuda.is_available():
        allowed += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        allowed.append("mps")
    if str(device) not in (*allowed, "meta"):
        raise ValueError(f"device must be one of {', '.join(allowed)} on this machine, got {str(device)!r}")
    return torch.device(device)
