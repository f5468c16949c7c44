"""Score the tiny models: ``python -m training.measures.score --seeds 9001 9002 9003``.

Image-level average precision of CLIP, and mIoU of every rule with every vision foundation model, the controls (raw
colours, an untrained ViT, and on every grid ``identity``) and the oracle (ground-truth regions as features), on the
same scenes.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from proxyclip.evaluation.metrics import Confusion
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.loading import load, load_vfm
from proxyclip.models.clip import DenseCLIP, encode_vocabulary
from proxyclip.models.registry import VFMS
from proxyclip.rules import MaskingRule, Rule
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.system.atomic import write_text
from proxyclip.text import Vocabulary
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import CLASSES, STUFF, held_out
from proxyclip.tiny.world.scenes import Scene
from proxyclip.tiny.world.sets import COMBINATIONS, LONGTAIL, SETS, VAL_SEED, render
from training.cache import patch_labels
from training.parallel import parallel_map
from training.selection import SETS_AVERAGED

#: A proxy makes patch features (W, C, h, w) from windows of pixels in 0..1 (W, 3, 64, 64) and of instances (W, 64, 64).
Proxy = Callable[[Tensor, Tensor], Tensor]

#: Scenes behind the image-level precision for each scene behind the dense scores.
PRECISION_SCENES = 8

BASELINES = ("vanilla", "maskclip", "qk", "qq", "kk")


def from_vfm(name: str, weights: Path | str | None = None) -> Proxy:
    """A tiny VFM as a proxy; the shipped weights by default."""
    vfm = load_vfm(name, weights=weights, crop=64).eval()
    return lambda pixels, instances: vfm.features(vfm.normalize(pixels))


def raw_colours(pixels: Tensor, instances: Tensor) -> Tensor:
    """Control: the mean colour of each 4 x 4 patch, centred on mid-grey."""
    return F.avg_pool2d(pixels, 4) - 0.5


def oracle(pixels: Tensor, instances: Tensor) -> Tensor:
    """Upper bound: which region or object owns each 4 x 4 patch, one-hot."""
    owner = patch_labels(instances.long(), 4, least=0.0)
    side = instances.shape[-1] // 4
    return F.one_hot(owner, 256).float().mT.unflatten(-1, (side, side))


def proxies(folder: Path) -> dict[str, Proxy]:
    """The trained VFMs in a folder of weights, the controls and the oracle."""
    found = {name: from_vfm(name, path) for name in models.MODELS
             if name in VFMS and (path := folder / f"{name}.safetensors").exists()}
    torch.manual_seed(0)
    return {**found, "untrained": from_vfm("tiny_dino", "random"), "colours": raw_colours, "oracle": oracle}


@torch.inference_mode()
def dense_scores(
    model: ProxyCLIP,
    set_name: str,
    scenes: Iterable[Scene],
    features: Mapping[str, Proxy],
    rules: Mapping[str, Sequence[Rule]],
) -> dict[tuple[str, str], Confusion]:
    """Count confusions of many rules in one pass of the backbones over scenes of a set: by (proxy, name of the rule).

    ``rules`` has the masking rules of each proxy, by its name, and under "" those that read CLIP's last block alone. Of
    the model CLIP and the windows are used, its VFM is not.
    """
    row = SETS[set_name]
    text = encode_vocabulary(model.clip, Vocabulary.parse(row.classes))
    tallies = {(name, rule.name): Confusion(len(row.classes)) for name in rules for rule in rules[name]}
    for scene in scenes:
        instances = torch.from_numpy(scene.instances)[None].float()
        prepared = model.prepare_windows(scene.image)
        parts: list[list[Tensor]] = [[] for _ in tallies]
        for windows in model.windows(prepared):
            trunk, places = windows.clip_trunk(), iter(parts)
            for name, among in rules.items():
                proxy = features[name](windows.cut(windows.pixels), windows.cut(instances)[:, 0]) if name else None
                for embedding in model.clip.readout(trunk, among, proxy):
                    next(places).append(embedding)
        for confusion, part in zip(tallies.values(), parts, strict=True):
            labels = labels_from_embedding(DenseEmbedding.of(part, prepared), text, row.prob_threshold)
            confusion.update(labels, scene.labels.astype(np.int64))
    return tallies


def scenes_of(set_name: str, seed: int, count: int) -> Iterator[Scene]:
    """The first ``count`` scenes of a set under a seed, rendered one by one."""
    return (render(set_name, seed, index) for index in range(count))


@cache
def loaded(folder: Path) -> tuple[ProxyCLIP, dict[str, Proxy]]:
    """CLIP and every proxy with the weights of a folder, loaded once per process."""
    weights = folder / "tiny_clip.safetensors"
    return load(clip="tiny_clip", clip_weights=weights, vfm="tiny_sam", vfm_weights="random"), proxies(folder)


def measure(
    job: tuple[str, int], folder: Path, count: int, rules: Sequence[str]
) -> dict[tuple[str, str], Confusion]:
    """Confusions of one (set, seed): every proxy with these masking rules, and the baselines."""
    (model, features), (set_name, seed) = loaded(folder), job
    masking = [rule for rule in map(parse_rule, rules) if isinstance(rule, MaskingRule)]
    baselines = [parse_rule(name) for name in BASELINES]
    chosen: dict[str, Sequence[Rule]] = {"": baselines, **dict.fromkeys(features, masking)}
    return dense_scores(model, set_name, scenes_of(set_name, seed, count), features, chosen)


def as_frame(set_name: str, seed: int, tallies: dict[tuple[str, str], Confusion]) -> pd.DataFrame:
    """One row for each proxy and rule: set, seed, proxy ("" for baselines), rule, miou (per cent)."""
    rows = [(set_name, seed, proxy, rule, c.compute().miou) for (proxy, rule), c in tallies.items()]
    return pd.DataFrame(rows, columns=["set", "seed", "proxy", "rule", "miou"])


def by_caption(confusion: Confusion) -> dict[str, float]:
    """Mean IoU (per cent) of the long tail's combinations that training captions named in full, and of the others."""
    scores = confusion.compute()
    iou, visible = scores.iou[len(STUFF) :], scores.pixels[len(STUFF) :] > 0
    unseen = np.array([held_out(*combination) for combination in COMBINATIONS])
    return {"captioned": float(iou[visible & ~unseen].mean()), "held_out": float(iou[visible & unseen].mean())}


def present(scene: Scene, top: int, left: int) -> np.ndarray:
    """Classes in a 64-px window: 1 visible, 0 absent, -1 barely visible and not scored; (classes,) int."""
    whole = np.bincount(scene.instances.ravel(), minlength=len(scene.items))
    part = np.bincount(scene.instances[top : top + 64, left : left + 64].ravel(), minlength=len(scene.items))
    labels = np.zeros(len(CLASSES), int)
    for item, inside, area in zip(scene.items, part / 64**2, part / np.maximum(whole, 1), strict=True):
        c = CLASSES.index(item.name)
        if inside > 0.07 if c < len(STUFF) else inside > 0.1 or (inside > 0.012 and area > 0.35):
            labels[c] = 1
        elif inside > 0 and labels[c] == 0:
            labels[c] = -1
    return labels


@torch.inference_mode()
def average_precision(clip: DenseCLIP, seed: int, count: int, set_name: str = "tiny/context") -> pd.Series:
    """Average precision (per cent) of the image embedding of 64-px windows, per class."""
    text = encode_vocabulary(clip, Vocabulary.parse(CLASSES)).embeddings
    scores, truth = [], []
    for index in range(count):
        scene = render(set_name, seed, index)
        places = [(y, x) for y in (0, 64) for x in (0, 64)]
        windows = np.stack([scene.image[y : y + 64, x : x + 64] for y, x in places])
        pixels = clip.normalize(torch.from_numpy(windows).permute(0, 3, 1, 2).float() / 255)
        scores.append(F.normalize(clip.model.encode_image(pixels), dim=-1) @ text.T)
        truth += [present(scene, y, x) for y, x in places]
    score, label = torch.cat(scores).numpy(), np.stack(truth)
    out = {}
    for c, name in enumerate(CLASSES):
        scored = label[:, c] >= 0
        hit = label[scored, c][np.argsort(-score[scored, c], kind="stable")]
        out[name] = 100 * float((np.cumsum(hit) / np.arange(1, len(hit) + 1) * hit).sum() / max(hit.sum(), 1))
    return pd.Series(out)


def by_kind(precision: pd.Series | pd.DataFrame) -> Any:
    """Average precision (per cent) of stuff and of things, means over their classes."""
    return precision.groupby(np.where(precision.index.isin(STUFF), "stuff", "things")).mean()


def into_cards(record: dict[str, Any], folder: Path) -> None:
    """Write the scores of each VFM, as :func:`main` records them, beside ``identity`` on its grid, into its card."""
    frame = pd.DataFrame(record["miou"])
    means = frame.groupby(["proxy", "rule", "set"], sort=False)["miou"].mean().unstack("set")
    for proxy in (name for name in models.MODELS if name in means.index.levels[0]):
        path = folder / f"{proxy}.json"
        rows = {rule: {**row.round(1).to_dict(), "mean": round(float(row.mean()), 1)}
                for rule, row in means.loc[proxy].iterrows()}
        card = json.loads(path.read_text())
        card["scores"] = {"seeds": record["seeds"], "scenes": record["scenes"], "miou": rows}
        write_text(path, json.dumps(card, indent=1) + "\n")


def main(
    seeds: Annotated[list[int] | None, typer.Option(help="world seeds; the validation seed by default")] = None,
    sets: Annotated[list[str] | None, typer.Option(help="sets; all but tiny/medley by default")] = None,
    count: Annotated[int, typer.Option(help="scenes per set and seed")] = 64,
    weights: Annotated[Path, typer.Option(help="folder of safetensors")] = models.WEIGHTS,
    rules: Annotated[list[str] | None, typer.Option(help="masking rules; adaptive and identity by default")] = None,
    workers: Annotated[int | None, typer.Option(help="processes; as many as cores by default")] = None,
    out: Annotated[Path | None, typer.Option(help="write the scores here as JSON")] = None,
    cards: Annotated[bool, typer.Option(help="also write the scores into the models' cards")] = False,
) -> None:
    """Print the image-level average precision and a table of mIoU, means over the seeds."""
    model, features = loaded(weights)
    rules = rules or ["adaptive", "identity"]
    seeds = seeds or [VAL_SEED]
    scenes_of_precision = PRECISION_SCENES * count  # cheap, and rare classes need many windows
    precision = pd.concat([average_precision(model.clip, s, scenes_of_precision) for s in seeds], axis=1)
    kinds = by_kind(precision)
    typer.echo("image-level AP: stuff {stuff:.1f}, things {things:.1f}".format(**kinds.mean(axis=1)))
    typer.echo(" ".join(f"{name}:{ap:.0f}" for name, ap in precision.mean(axis=1).items()))
    jobs = [(name, seed) for name in sets or SETS_AVERAGED for seed in seeds]
    of_job = partial(measure, folder=weights, count=count, rules=rules)
    found = dict(parallel_map(of_job, jobs, workers, "sets and seeds"))
    groups = None
    if tails := [found[job] for job in jobs if job[0] == "tiny/longtail"]:
        key = ("tiny_sam" if "tiny_sam" in features else "oracle", parse_rule(rules[0]).name)
        together = Confusion(len(LONGTAIL))
        for tallies in tails:
            together.merge(tallies[key])
        groups = by_caption(together)
        typer.echo("long tail: captioned {captioned:.1f}, never captioned {held_out:.1f} mean IoU".format(**groups))
    frame = pd.concat([as_frame(*job, found[job]) for job in jobs], ignore_index=True)
    frame["what"] = (frame["proxy"] + " " + frame["rule"]).str.strip()
    table = frame.groupby(["what", "set"], sort=False)["miou"].mean().unstack()
    typer.echo(table.assign(mean=table.mean(axis=1)).round(1).to_string())
    if out is not None:
        record = {
            "seeds": seeds,
            "scenes": count,
            "weights": models.digests(weights),
            "precision_scenes": scenes_of_precision,
            "average_precision": precision.mean(axis=1).round(2).to_dict(),
            "average_precision_by_seed": {kind: row.round(2).tolist() for kind, row in kinds.iterrows()},
            "longtail": groups,
            "miou": frame.drop(columns="what").round(3).to_dict(orient="records"),
        }
        write_text(out, json.dumps(record, indent=1) + "\n")
        if cards:
            into_cards(record, weights)


if __name__ == "__main__":
    typer.run(main)
