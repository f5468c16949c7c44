"""Muon for the matrices of transformer blocks, AdamW for everything else, and an average of the weights."""

import copy
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn


@cache
def fastest_dtype(device: str) -> torch.dtype:
    """bfloat16 where a matrix product in it is measured to be faster than in float32, else float32.

    A CPU without bfloat16 instructions emulates it, forty times slower than float32. A GPU is measured on larger
    products, since starting a small one takes as long as computing it.
    """
    seconds = {}
    size = 256 if device == "cpu" else 4096
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(size, size, device=device, dtype=dtype)
        (a @ a).sum().item()  # ``item`` waits for the device
        began = time.perf_counter()
        for _ in range(4):
            a = (a @ a) / size
        a.sum().item()
        seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=seconds.__getitem__)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix, batched, in the faster precision.

    (K, R, C) float -> the same, with singular values roughly in [0.7, 1.2]. Coefficients of Jordan et al. (2024),
    "Muon".
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.float()
    turned = x.shape[-2] > x.shape[-1]
    if turned:
        x = x.mT
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(fastest_dtype(matrix.device.type))
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if turned else x


class Muon(torch.optim.Optimizer):
    """Momentum followed by orthogonalisation; updates have the root mean square of AdamW's (0.2 lr).

    Packed ``in_proj_weight`` matrices (3d, d) are treated as three matrices.
    """

    def __init__(
        self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"])
                parts = 3 if p.shape[0] == 3 * p.shape[1] else 1
                for piece, target in zip(update.chunk(parts), p.data.chunk(parts), strict=True):
                    by_shape.setdefault(tuple(piece.shape), []).append((piece, target))
            for shape, pairs in by_shape.items():
                updates = orthogonalise(torch.stack([u for u, _ in pairs]))
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                for update, (_, target) in zip(updates, pairs, strict=True):
                    target.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.float(), alpha=size)


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices of the blocks (for Muon) and everything else (for AdamW)."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in module.named_parameters():
        if not p.requires_grad:
            continue
        (matrices if p.ndim == 2 and "blocks" in name and "rel_pos" not in name else rest).append(p)
    return matrices, rest


class WorkingCopy:
    """A copy in the faster precision that computes, and the float32 master that the optimisers update.

    Eager bfloat16 throughout is faster on AMX processors than autocast, which converts at every layer norm.
    """

    def __init__(self, master: nn.Module) -> None:
        self.master = master
        dtype = fastest_dtype(next(master.parameters()).device.type)
        self.module = copy.deepcopy(master).to(dtype)

    def gradients_to_master(self, clip: float = 1.0) -> float:
        """Move gradients to the master and clip their norm; returns the norm before clipping."""
        for m, w in zip(self.master.parameters(), self.module.parameters(), strict=True):
            m.grad = None if w.grad is None else w.grad.float()
            w.grad = None
        return float(torch.nn.utils.clip_grad_norm_(self.master.parameters(), clip))

    @torch.no_grad()
    def refresh(self) -> None:
        for m, w in zip(self.master.parameters(), self.module.parameters(), strict=True):
            w.copy_(m)
        for kept, working in zip(self.master.buffers(), self.module.buffers(), strict=True):
            kept.copy_(working)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's weights in float32."""
    return {name: value.detach().float().clone() for name, value in module.state_dict().items()}


def frozen(module: nn.Module, weights: Mapping[str, Tensor]) -> Any:
    """A copy of a module with these weights that does not learn, in the faster precision."""
    copied = copy.deepcopy(module)
    copied.load_state_dict(weights)
    return copied.to(fastest_dtype(next(module.parameters()).device.type)).requires_grad_(False).eval()


class Average:
    """Exponential moving average of a module's parameters, with a warm-up of the decay."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = weights_of(module)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for k, v in module.state_dict().items():
            if v.is_floating_point():
                self.values[k].lerp_(v.float(), 1 - decay)
            else:
                self.values[k].copy_(v)
