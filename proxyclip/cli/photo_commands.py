"""``proxyclip segment`` and ``explore``: label every pixel of photos, or show the attention of every patch of one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxyclip.cli.options import (
    ClassOptions,
    MaxPixels,
    ModelOptions,
    ProbThreshold,
    Rule,
    Vfm,
    VfmWeights,
    WindowOptions,
    with_options,
)
from proxyclip.system.atomic import write_text
from proxyclip.system.own_files import KEY, read_own

if TYPE_CHECKING:  # --help answers without loading torch
    from PIL import Image

    from proxyclip.inference.images import ImageLike
    from proxyclip.inference.pamr import PAMR
    from proxyclip.inference.segmentation import Segmentation
    from proxyclip.rules import Rule as AttentionRule
    from proxyclip.segment import ProxyCLIP
    from proxyclip.text import TextEmbeddings


@dataclass(frozen=True)
class LabelOptions:
    """How the pixels of a photo get their labels: from which foundation model, and by which rule."""

    vfm: Vfm = None
    vfm_weights: VfmWeights = None
    rule: Rule = "adaptive"
    prob_threshold: ProbThreshold = None
    pamr: Annotated[bool, typer.Option("--pamr", help="Refine the masks by the photo's colours.")] = False


@with_options
def segment(
    image: Annotated[list[Path], typer.Argument(help="The photo, or several.", show_default=False)],
    words: ClassOptions,
    models: ModelOptions,
    windows: WindowOptions,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write; for several photos a folder. The class ids go to "
                                                  "*_labels.png beside each picture.")
    ] = Path("segmentation.png"),
    *,
    labels: LabelOptions,
    force: Annotated[
        bool, typer.Option(help="Replace label files that come from elsewhere, and photos that are done already.")
    ] = False,
) -> None:
    """Label every pixel of a photo, or of several, with your words.

    Several photos go to a folder, each with its *_labels.png, and with summary.csv: the share of every class. The same
    command continues after an interruption.
    """
    import proxyclip
    from proxyclip.inference.labels import check_threshold

    vocabulary = words.vocabulary()
    rule = proxyclip.parse_rule(labels.rule)
    check_threshold(labels.prob_threshold)
    several = len(image) > 1 or os.path.isdir(output) or str(output).endswith((os.sep, "/"))
    places = _pictures(image, output) if several else [output]
    first = _opened(image[0], places[0], force) if not several else None
    model = models.load(labels.vfm, labels.vfm_weights, **windows.sizes())
    refine = proxyclip.PAMR() if labels.pamr else None
    labeller = Labeller(model, model.encode_classes(vocabulary), rule, labels.prob_threshold, refine)
    print(labeller.describe())
    untrained = [name for name, weights in (("CLIP", models.clip_weights), ("the VFM", labels.vfm_weights))
                 if weights == "random"]
    if untrained:
        print(f"untrained: {' and '.join(untrained)} (random weights); the labels have no meaning")
    if first is None:
        _segment_all(labeller, image, places, force)
        return
    result = labeller.segment(first)
    result.save(output, force=True)
    for name, share in result.shares().items():
        print(f"{100 * share:6.1f} %  {name}")
    print(output)


@dataclass(frozen=True)
class Labeller:
    """A model with the words and the rule that every photo is labelled with."""

    model: ProxyCLIP
    text: TextEmbeddings
    rule: AttentionRule
    prob_threshold: float | None
    refine: PAMR | None

    def describe(self) -> str:
        """The settings in one line."""
        refined = f" + {self.refine.name}" if self.refine else ""
        return f"{self.model.describe()}, rule {self.rule.name}{refined}"

    def segment(self, photo: ImageLike) -> Segmentation:
        """Label a photo (:meth:`proxyclip.segment.ProxyCLIP.segment`)."""
        return self.model.segment(photo, self.text, self.rule, self.prob_threshold, self.refine)

    def key(self, photo: Path) -> str:
        """SHA-256 of everything that the labels of a photo depend on."""
        from proxyclip.system.provenance import digest_of_method

        model = self.model
        settings = [digest_of_method(), model.provenance, model.window, model.stride, model.short_side,
                    str(model.dtype), self.describe(), self.text.vocabulary.plain(), self.prob_threshold]
        total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        total.update(photo.read_bytes())
        return total.hexdigest()


def _opened(photo: Path, picture: Path, force: bool) -> ImageLike:
    """The pixels of a photo, once it is certain that its files can be written."""
    from proxyclip.inference.images import read_image
    from proxyclip.inference.saving import Destination

    place = Destination.checked(picture, force, photo)
    pixels = read_image(photo)
    place.check_size((pixels.shape[1], pixels.shape[0]))
    return pixels


def _pictures(photos: Sequence[Path], folder: Path) -> list[Path]:
    """The picture of each photo in the output folder, which is created; no two files there may have one name."""
    if folder.suffix and not os.path.isdir(folder):
        raise ValueError(f"{folder} is one picture for {len(photos)} photos; give a folder as output")
    owners: dict[str, Path] = {}
    for photo in photos:
        for name in (f"{photo.stem}.png", f"{photo.stem}_labels.png"):
            if name in owners:
                raise ValueError(f"{owners[name]} and {photo} would both become {folder / name}; segment them into two "
                                 "folders")
            owners[name] = photo
    folder.mkdir(parents=True, exist_ok=True)
    return [folder / f"{photo.stem}.png" for photo in photos]


def _segment_all(labeller: Labeller, photos: Sequence[Path], pictures: Sequence[Path], force: bool) -> None:
    """Label photos that are not done already, and write the table of all shares, also after an interruption."""
    import pandas as pd
    from tqdm import tqdm

    from proxyclip.inference.images import whole_picture

    names, summary = labeller.text.vocabulary.names, pictures[0].with_name("summary.csv")
    rows: list[list[object]] = []
    unusable: list[str] = []
    done = 0
    try:
        for photo, picture in zip(tqdm(photos, unit="photo", disable=None), pictures, strict=True):
            labels = picture.with_name(f"{picture.stem}_labels.png")
            try:
                key = labeller.key(photo)
                shares = None if force else _kept_shares(picture, labels, key, len(names))
                if shares is not None:
                    done += 1
                else:
                    pixels = _opened(photo, picture, force)
                    labeller.segment(pixels).save(picture, force=True, notes={KEY: key})
                    shares = _shares(whole_picture(labels.read_bytes()), len(names))
            except (ValueError, FileNotFoundError) as error:
                unusable.append(" ".join(str(error).split()))
                continue
            rows.append([photo, *shares])
    finally:
        write_text(summary, pd.DataFrame(rows, columns=["photo", *names]).to_csv(index=False))
    print(f"{len(rows)} of {len(photos)} photos labelled, {done} of them before; the shares of all classes: {summary}")
    for sentence in unusable:
        print(f"proxyclip: left out: {sentence}", file=sys.stderr)
    if unusable:
        raise typer.Exit(2)


def _kept_shares(picture: Path, labels: Path, key: str, classes: int) -> list[str] | None:
    """The shares of a photo that was labelled before with the same key; None if a file of it is missing or damaged."""
    from PIL import Image

    from proxyclip.inference.images import whole_picture

    kept = read_own(labels, whole_picture, "its photo is labelled again")
    if kept is None or kept.info.get(KEY) != key:
        return None
    try:
        with Image.open(picture) as opened:
            opened.verify()  # the checksums of a PNG
    except (OSError, SyntaxError, ValueError):
        return None
    return _shares(kept, classes)


def _shares(labels: Image.Image, classes: int) -> list[str]:
    """The fraction of each class in a label file."""
    import numpy as np

    counts = np.bincount(np.asarray(labels).ravel(), minlength=classes)
    return [f"{share:.6f}" for share in counts / counts.sum()]


@with_options
def explore(
    image: Annotated[Path, typer.Argument(help="The photo.", show_default=False)],
    words: ClassOptions,
    models: ModelOptions,
    windows: WindowOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path("explorer.html"),
    rule: Annotated[
        str, typer.Option(help="Where it starts: adaptive, adaptive:1.2,3, hard:0.4, identity, qk, qq, kk.")
    ] = "adaptive",
    vfm: Annotated[
        list[str] | None, typer.Option(help="Vision foundation model; repeat it to compare several on the page.")
    ] = None,
    vfm_weights: Annotated[
        list[str] | None, typer.Option(help='A file, or "random"; one for each --vfm, in their order.')
    ] = None,
    prob_threshold: ProbThreshold = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Write a page that shows the attention of every patch of a photo; it needs neither models nor a network.

    Without classes the page shows the attention alone.
    """
    import proxyclip
    from proxyclip.loading import load_vfm

    names: list[str | None] = list(vfm) if vfm else [None]
    files = vfm_weights or []
    if len(set(names)) < len(names):
        raise ValueError(f"--vfm names a model twice: {', '.join(map(str, names))}")
    if len(files) > len(names):
        raise ValueError(f"{len(files)} times --vfm-weights for {len(names)} foundation models; name each with --vfm")
    vocabulary = None if words == ClassOptions() else words.vocabulary()
    pixels = proxyclip.read_image(image, max_pixels=max_pixels)
    start = proxyclip.parse_rule(rule)
    weights = [*files, *[None] * (len(names) - len(files))]
    model = models.load(names[0], weights[0], **windows.sizes())
    others = [load_vfm(str(name), file, crop=model.window).to(model.device)
              for name, file in zip(names[1:], weights[1:], strict=True)]
    first = [] if model.vfm is None else [model.vfm]
    explorer = model.explore(pixels, vocabulary, start, vfms=[*first, *others], prob_threshold=prob_threshold,
                             title=f"Attention explorer: {image.name}")
    explorer.save(output)
    print(explorer.scenes[0]["note"])
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")
