"""Section C: the cost of a method in parameters, multiply-accumulates, images per second and memory.

Parameters and multiply-accumulates are properties of the code: they are counted on the meta device, which runs every
line of it on shapes alone. Speed and memory are properties of a machine: they are measured, on untrained weights, which
cost the same as trained ones.

Units as in the paper's Table 1: "Params (M)" are counts / 2^20 of everything loaded, CLIP's text tower included; "FLOPs
(G)" are multiply-accumulates / 10^9 of what is done per image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from proxyclip.loading import load, with_vfm
from proxyclip.rules import GEM, Adaptive, MaskCLIP, MaskingRule, Rule, Vanilla
from proxyclip.segment import ProxyCLIP
from proxyclip.system.timing import cpu_threads, extra_memory, timed

MEASURES = ("params", "flops", "ips", "memory")
COLUMNS = ("params_m", "flops_g", "ips", "ips_low", "ips_high", "ips_batched", "memory_mib")

#: Queries that every patch is compared with, as many as ADE20K has classes. Their scores cost 0.03 to 0.14 G.
QUERIES = 150


@dataclass(frozen=True)
class Method:
    """A row of Table 1."""

    rule: Rule
    vfm: str | None = None  #: The vision foundation model that the rule reads.


#: The rows of Table 1, by the paper's names.
TABLE1: dict[str, Method] = {
    "CLIP": Method(Vanilla()),
    "MaskCLIP": Method(MaskCLIP()),
    "GEM": Method(GEM()),
    "ProxyCLIP (DINO-B/16)": Method(Adaptive(), "dino_vitb16"),
    "ProxyCLIP (DINO-B/8)": Method(Adaptive(), "dino_vitb8"),
}


def untrained(vfm: str | None, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> ProxyCLIP:
    """Full-size models with random weights: a foundation model of the registry, or None, beside CLIP ViT-B/16.

    The device ``"meta"`` builds shapes without numbers, in no time.
    """
    with _building_for(device):
        return load("paper", clip_weights="random", vfm=vfm, vfm_weights="random", device=device, dtype=dtype)


def models_of_rows(
    rows: Sequence[str], device: torch.device, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[str, ProxyCLIP]]:
    """Untrained models of rows of :data:`TABLE1`, with their names; all share one CLIP."""
    alone = untrained(None, device, dtype)
    for row in rows:
        with _building_for(device):
            model = with_vfm(alone, TABLE1[row].vfm, "random")
        yield row, model


def _building_for(device: str | torch.device) -> torch.device:
    """Where models are built: without numbers for the meta device, else on the CPU, to be moved afterwards."""
    return torch.device("meta" if torch.device(device).type == "meta" else "cpu")


def per_image(
    model: ProxyCLIP, rule: Rule, size: int | tuple[int, int] = 336, batch: int = 1, queries: int = QUERIES
) -> Callable[[], Tensor]:
    """The work that is done for one batch of images: from pixels to the score of every query at every patch.

    Text embeddings are not part of it: a vocabulary is encoded once, not once per image. Each image of ``size`` pixels,
    (height, width) or one number, is one window. The callable takes no arguments and returns (batch, queries, rows,
    columns) float32.
    """
    height, width = (size, size) if isinstance(size, int) else size
    pixels = torch.rand(batch, 3, height, width, device=model.device).to(model.dtype)
    text = F.normalize(torch.randn(queries, model.clip.embed_dim, device=model.device), dim=-1)

    def work() -> Tensor:
        proxy = None
        if model.vfm is not None and isinstance(rule, MaskingRule):
            proxy = model.vfm.features(model.vfm.normalize(pixels))
        (embedding,) = model.clip.embed(model.clip.normalize(pixels), [rule], proxy)
        return torch.einsum("qd,bdij->bqij", text, embedding)

    return work


def count_parameters(model: ProxyCLIP) -> int:
    """Parameters of CLIP, text tower included, and of the vision foundation model where there is one."""
    return sum(parameter.numel() for module in _networks(model) for parameter in module.parameters())


def count_macs(model: ProxyCLIP, rule: Rule, size: int | tuple[int, int] = 336, queries: int = QUERIES) -> int:
    """Multiply-accumulates per image, counted by running the code on shapes alone; arguments as for :func:`per_image`.

    Every matrix product and convolution is counted, those of attention included. Normalisations, activations, softmax
    and interpolation are not counted, since they multiply no matrices. Of a model that is not on the meta device a copy
    without numbers is made.
    """
    work = per_image(_without_numbers(model), rule, size, queries=queries)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        work()  # on the meta device fused attention runs as the products it is made of
    return counter.get_total_flops() // 2


@cache
def shapes() -> dict[str, ProxyCLIP]:
    """The models of all rows of :data:`TABLE1` on the meta device, built once."""
    return dict(models_of_rows(list(TABLE1), torch.device("meta")))


@cache
def macs_of_row(row: str, size: int) -> int:
    """Multiply-accumulates per square image of a row of :data:`TABLE1`, counted once."""
    return count_macs(shapes()[row], TABLE1[row].rule, size)


def memory_mib(model: ProxyCLIP, work: Callable[[], object]) -> float:
    """MiB of the weights and of the most that ``work`` holds at once beside them."""
    tensors = [tensor for module in _networks(model) for tensor in (*module.parameters(), *module.buffers())]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return (weights + extra_memory(work, model.device)) / 2**20


def paper_dtype(device: str | torch.device) -> torch.dtype:
    """Half precision on a GPU, as in the paper, and float32 elsewhere."""
    return torch.float16 if torch.device(device).type == "cuda" else torch.float32


def table1(
    measure: Sequence[str] = MEASURES, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, *,
    rows: Sequence[str] | None = None, size: int = 336, batch: int | None = None, repeats: int = 5,
    threads: int | None = None,
) -> pd.DataFrame:
    """Table 1 of the supplement on this machine: untrained weights, batches of one image.

    Parameters
    ----------
    measure : sequence of {"params", "flops", "ips", "memory"}
        Columns to fill. The first two need no computation and do not depend on the device.
    device : str or torch.device
    dtype : torch.dtype, optional
        That of :func:`paper_dtype` by default.
    rows : sequence of str, optional
        Names of :data:`TABLE1`; all by default.
    size : int
        Side of the square image, pixels; the paper's by default.
    batch : int, optional
        Also measure the speed on batches of this many images (``ips_batched``).
    repeats : int
        Timed runs, after one to warm up: that in which memory is measured, where it is.
    threads : int, optional
        Of the CPU; torch's own setting by default. One thread is timed by its own clock, which stops while other
        programs use the core; this gives the images per second of one core, whatever else the machine does.

    Returns
    -------
    pandas.DataFrame
        Indexed by the paper's names of the models. ``params_m``: parameters / 2^20; ``flops_g``: multiply-accumulates
        of the image side / 10^9; ``ips``: images per second, the median, with ``ips_low`` and ``ips_high`` from the
        quartiles of the time; ``memory_mib``: weights and the most held beside them, in MiB (:func:`memory_mib`).

    Raises
    ------
    ValueError
        If a measure or a row is unknown.
    """
    rows = list(TABLE1) if rows is None else list(rows)
    for name, given, allowed in (("measure", measure, MEASURES), ("rows", rows, TABLE1)):
        for one in given:
            if one not in allowed:
                raise ValueError(f"{name} must be from {', '.join(allowed)}, got {one!r}")
    device = torch.device(device)
    dtype = dtype or paper_dtype(device)
    records: dict[str, dict[str, float]] = {row: {} for row in rows}
    for row in rows:
        if "params" in measure:
            records[row]["params_m"] = count_parameters(shapes()[row]) / 2**20
        if "flops" in measure:
            records[row]["flops_g"] = macs_of_row(row, size) / 1e9
    if {"ips", "memory"} & set(measure):
        for row, model in models_of_rows(rows, device, dtype):
            with cpu_threads(threads) as clock:
                work, warmup = per_image(model, TABLE1[row].rule, size), 1
                if "memory" in measure:
                    records[row]["memory_mib"] = memory_mib(model, work)
                    warmup = 0
                if "ips" in measure:
                    clock = clock if device.type == "cpu" else time.perf_counter
                    timing = timed(work, device, repeats=repeats, warmup=warmup, clock=clock)
                    fast, slow = timing.quartiles
                    records[row] |= {"ips": 1 / timing.median, "ips_low": 1 / slow, "ips_high": 1 / fast}
                    if batch is not None:
                        many = per_image(model, TABLE1[row].rule, size, batch)
                        records[row]["ips_batched"] = batch / timed(many, device, repeats=repeats, clock=clock).median
    frame = pd.DataFrame.from_dict(records, orient="index")
    frame = frame[[name for name in COLUMNS if name in frame]]
    return frame.rename_axis("model")


def _networks(model: ProxyCLIP) -> list[nn.Module]:
    return [model.clip.model] if model.vfm is None else [model.clip.model, model.vfm.backbone]


def _without_numbers(model: ProxyCLIP) -> ProxyCLIP:
    """The model itself if it is on the meta device, else a copy there."""
    if model.device.type == "meta":
        return model
    vfm = None if model.vfm is None else deepcopy(model.vfm).to("meta")
    shared = {id(model.clip.tokenizer): model.clip.tokenizer}  # its tables take longer to copy than the weights
    return replace(model, clip=deepcopy(model.clip, shared).to("meta"), vfm=vfm, device=torch.device("meta"))
