"""Refuse NaN and infinite values where they leave a network, before they become labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def check_finite(values: Sequence[Tensor], network: nn.Module, what: str) -> None:
    """Check the outputs of a network for one batch of windows; one sum each, so it costs next to nothing.

    The ``ValueError`` names the network with its file (``source``) and its precision, and ``what`` is not finite.
    """
    total = sum(value.sum(dtype=torch.float32) for value in values)
    if torch.isfinite(torch.as_tensor(total)) or all(bool(value.isfinite().all()) for value in values):
        return
    wrong = sum(int((~value.isfinite()).sum()) for value in values)
    dtype = next((weight.dtype for weight in network.parameters()), values[0].dtype)
    half = dtype == torch.float16
    why = ("float16 overflows above 65504: take bfloat16 or float32" if half else
           "its weights hold such values, or the file is damaged")
    raise ValueError(f"{network.name} ({network.source}) gives {wrong} {what} that are NaN or infinite in "
                     f"{str(dtype).removeprefix('torch.')}; {why}")
