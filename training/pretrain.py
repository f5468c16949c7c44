"""Train a tiny model: ``python -m training.pretrain NAME --seed 0 --device cpu``.

Progress bar, atomic checkpoints, resume after an interruption, CPU or CUDA. Ends with fp16 safetensors and a card.
While a foundation model trains, the geometry of its similarities is printed.
"""

import json
import math
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import timm.layers
import torch
import typer
from safetensors.torch import save_file
from tqdm import tqdm

from proxyclip.models.registry import VFMS
from proxyclip.models.vfm import VFM
from proxyclip.models.weights.digests import sha256_of
from proxyclip.system.atomic import replacing, write_text
from proxyclip.tiny.models import build, load
from training.cache import SceneCache, fill
from training.optim import Average, Muon, WorkingCopy, split_parameters
from training.recipes import RECIPES
from training.selection import validation_geometry

#: Steps between two looks at the geometry of a foundation model.
LOOK_EVERY = 50
#: What a training counts and keeps of its way, beside weights and optimisers.
COUNTERS = ("step", "began", "seconds", "curve", "geometry")
#: Raised when a checkpoint of an earlier version can no longer be read.
CHECKPOINTS = 2


def rate(progress: float, warm: float = 0.02, cool: float = 0.35) -> float:
    """Learning rate factor: linear warm-up, flat, then a cosine to 2 % over the last ``cool`` of the run."""
    if progress < warm:
        return (progress + 1e-3) / warm
    if progress < 1 - cool:
        return 1.0
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 1 + cool) / cool)))


def factor(progress: float, begins: float, peak: float) -> float:
    """Learning rate factor of a run whose last stage, from ``begins`` on, has a schedule of its own below ``peak``."""
    if progress < begins:
        return rate(progress / begins)
    return peak * rate((progress - begins) / (1 - begins))


class OtherSettings(ValueError):
    """A checkpoint belongs to a training with other settings than this one."""


class Training:
    """State of one run: model, optimisers, average, counters; saved and restored as one file."""

    def __init__(self, name: str, seed: int, device: str, start: Path | None = None, peak: float = 1.0) -> None:
        torch.manual_seed(seed)
        timm.layers.set_fused_attn(False)  # the fused kernel's backward is slow for short sequences on a CPU
        self.name, self.seed, self.device, self.recipe = name, seed, device, RECIPES[name]
        self.start, self.peak = None if start is None else sha256_of(start), peak
        model = build(name) if start is None else load(name, start).train()
        self.objective = self.recipe.made(model.to(device))
        if start is not None and self.recipe.geometry:
            self.objective.begins = 0.0  # shipped weights are what the stages before the last gave
        self.master = self.objective.trained
        self.work = WorkingCopy(self.master)
        matrices, rest = split_parameters(self.master)
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=self.recipe.muon_lr),
            torch.optim.AdamW(rest, lr=self.recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self.average = Average(self.master, self.recipe.average)
        shared = self.master.state_dict().keys()
        self.model_prefix = "" if all(n in shared for n in self.objective.model.state_dict()) else "model."
        self.step, self.began, self.seconds = 0, 0, 0.0
        self.curve: list[list[float]] = []
        self.geometry: list[dict[str, Any]] = []

    def settings(self) -> dict[str, object]:
        """What a training is begun with; a checkpoint made with other settings is not continued."""
        return {"seed": self.seed, "start": self.start, "peak": self.peak, "format": CHECKPOINTS}

    def state(self) -> dict[str, object]:
        return {
            "settings": self.settings(),
            "master": self.master.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "average": self.average.values,
            "samples": self.objective.samples,
            **{name: getattr(self, name) for name in COUNTERS},
            "objective": self.objective.state(),
        }

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        found = state["settings"]
        if other := [f"{name} {found.get(name)} (now {value})" for name, value in self.settings().items()
                     if found.get(name) != value]:
            raise OtherSettings(f"{path} began with {', '.join(other)}; continue with these or choose another --out")
        self.master.load_state_dict(state["master"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.average.values = state["average"]
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.objective.samples = state["samples"]
        self.objective.restore(state["objective"])
        self.work.refresh()

    def advance(self, cache: SceneCache, progress: float) -> float:
        """One optimisation step; returns the loss."""
        rng = np.random.Generator(np.random.PCG64([self.seed, self.step]))
        pace = self.peak * factor(progress, self.objective.begins, self.recipe.shaping_peak)
        self.optimisers[0].param_groups[0]["lr"] = self.recipe.muon_lr * pace
        self.optimisers[1].param_groups[0]["lr"] = self.recipe.adam_lr * pace
        before = self.objective.ready
        loss = self.objective.loss(self.work.module, cache, progress, rng)
        if self.objective.ready and not before:  # the last stage began with averaged weights; its own average ships
            self.average, self.began = Average(self.master, self.recipe.average), self.step
        loss.backward()
        self.work.gradients_to_master()
        for optimiser in self.optimisers:
            optimiser.step()
        self.work.refresh()
        self.objective.after_step(progress)
        self.step += 1
        self.average.update(self.master, self.step - self.began)
        return loss.item()

    def look(self) -> dict[str, Any]:
        """Measure the geometry of the averaged weights."""
        weights = self.shipped()
        model = build(self.name)
        model.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in weights.items()})
        vfm = VFM(model, VFMS[self.name], self.name, crop=64)
        found = validation_geometry(lambda windows: vfm.features(vfm.normalize(windows)))
        self.geometry.append({"step": self.step, **found})
        return self.geometry[-1]

    def shipped(self) -> dict[str, torch.Tensor]:
        """Averaged weights of the shipped model, in fp16 and contiguous."""
        names = self.objective.model.state_dict().keys()
        values = {n: self.average.values[self.model_prefix + n] for n in names}
        return {n: (v.half() if v.is_floating_point() else v).contiguous().cpu() for n, v in values.items()}


def train(run: Training, cache: SceneCache, out: Path, steps: int, minutes: float | None, every: float = 120.0) -> None:
    """Run until ``steps``, or for ``minutes`` of training time, checkpointing every ``every`` seconds."""
    began = saved = time.monotonic()
    before = run.seconds
    bar = tqdm(total=steps if minutes is None else None, initial=run.step, desc=run.name, mininterval=5.0)
    mean = float("nan")
    while True:
        run.seconds = before + time.monotonic() - began
        progress = run.step / steps if minutes is None else run.seconds / (60 * minutes)
        if progress >= 1:
            break
        loss = run.advance(cache, progress)
        mean = loss if math.isnan(mean) else 0.98 * mean + 0.02 * loss
        if run.step % 50 == 0:
            run.curve.append([run.step, run.seconds, mean])
            bar.set_postfix(loss=f"{mean:.3f}", samples=run.objective.samples, scenes=len(cache))
        bar.update()
        if run.step % LOOK_EVERY == 0 and run.name in VFMS:
            bar.write(str(run.look()))
        if time.monotonic() - saved > every:
            saved = time.monotonic()
            save(run, out)
    if run.name in VFMS and (not run.geometry or run.geometry[-1]["step"] != run.step):
        bar.write(str(run.look()))
    bar.close()
    save(run, out)


def save(run: Training, out: Path) -> None:
    """Write the checkpoint, and the weights as they are shipped."""
    with replacing(out / f"{run.name}.pt") as path:
        torch.save(run.state(), path)
    with replacing(out / f"{run.name}.safetensors") as path:
        save_file(run.shipped(), path)


def card(run: Training, scenes: int) -> dict[str, object]:
    """What a model card says about the training itself; scores are added by the evaluation."""
    # A run that began with other weights has the last stage alone, if the recipe has one.
    peak = run.peak * (run.recipe.shaping_peak if run.start and run.recipe.geometry else 1)
    return {
        "name": run.name,
        "family": run.recipe.family,
        "objective": run.recipe.about,
        "data": f"{scenes} generated scenes of 128 x 128 pixels (training seed), random crops of them",
        "parameters": sum(p.numel() for p in run.objective.model.parameters()),
        "steps": run.step,
        "samples": run.objective.samples,
        "seed": run.seed,
        "started_from": run.start,
        "wall_minutes": round(run.seconds / 60, 1),
        "device": f"{run.device} ({platform.machine()}, {torch.get_num_threads()} threads)",
        "torch": torch.__version__,
        "target": run.recipe.geometry and asdict(run.recipe.geometry),
        "optimiser": {
            "muon_lr": peak * run.recipe.muon_lr,
            "adam_lr": peak * run.recipe.adam_lr,
            "average": run.recipe.average,
        },
        "attention_only": getattr(run.objective, "attention_only", None),
        "geometry": run.geometry[-1] if run.geometry else None,
        "geometry_curve": run.geometry,
        "curve": run.curve[:: max(1, len(run.curve) // 200)],
    }


def main(
    name: Annotated[str, typer.Argument(help="tiny_clip, tiny_sam, tiny_dino, …")],
    seed: Annotated[int, typer.Option(help="seed of the initial weights and of the crops")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    out: Annotated[Path, typer.Option(help="folder for checkpoints, weights and the card")] = Path("runs/tiny"),
    cache: Annotated[Path, typer.Option(help="folder of the scene cache; filled when empty")] = Path(".cache/tiny"),
    scenes: Annotated[int, typer.Option(help="scenes that the cache must hold before training starts")] = 16384,
    steps: Annotated[int | None, typer.Option(help="steps; the recipe's own by default")] = None,
    minutes: Annotated[float | None, typer.Option(help="train for this long instead of a number of steps")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="safetensors to start from, with the last stage alone where there is one; untrained by default",
        ),
    ] = None,
    peak: Annotated[
        float, typer.Option(min=0, help="factor on the recipe's learning rates, for further training")
    ] = 1.0,
) -> None:
    """Train one tiny model; run again to resume."""
    if name not in RECIPES:
        raise typer.BadParameter(f'unknown tiny model "{name}"; the models are {", ".join(RECIPES)}')
    if threads:
        torch.set_num_threads(threads)
    fill(cache, scenes)
    run = Training(name, seed, device, start, peak)
    checkpoint = out / f"{name}.pt"
    if checkpoint.exists():
        try:
            run.restore(checkpoint)
        except OtherSettings as error:
            raise typer.BadParameter(str(error)) from None
    data = SceneCache(cache, device)
    full = run.recipe.shaping if start and run.recipe.geometry else run.recipe.total
    train(run, data, out, steps or full, minutes)
    write_text(out / f"{name}.json", json.dumps(card(run, len(data)), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
