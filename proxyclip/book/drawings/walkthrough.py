"""One scene through all steps of the method, from the shipped models: the first page's diagram, the method's "
  "pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from proxyclip.attention import mean_similarity, unit
from proxyclip.book.drawings.flow import diagram
from proxyclip.data.datasets import dataset
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.windows import cut_windows
from proxyclip.loading import PROFILES, load
from proxyclip.rules import Adaptive, HardMask, Vanilla
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.figures import scene_pictures as scenes
from proxyclip.supplement.figures.histograms import cosine_histogram
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.measures.attention_maps import AttentionMap, attention_map
from proxyclip.text import Vocabulary

#: The scene: the first image of a test set, not a chosen one.
SET, INDEX = "tiny/context", 0
#: The foundation model that is drawn where the profile's own leaves the patch alone with itself.
SECOND = "tiny_sam"
#: Above every cosine of two different patches: each patch keeps only itself.
ALONE = HardMask(0.9999)


@dataclass(frozen=True)
class Walk:
    """Everything that the pictures need.

    Parameters
    ----------
    image : (H, W, 3) uint8
    truth : (H, W) int64
    point : (row, column)
        The pixel whose patch is followed.
    attention : AttentionMap
        Of that patch under the default rule.
    cosines : (N * N,) float32
        All similarities of the patch's window.
    mean : float
        Of them.
    labels : dict of str to (H, W) int64
        By reading: ``CLIP``, ``values alone``, ``ProxyCLIP``.
    scores : dict of str to (H, W) float32
        Cosine of every pixel with some of the words.
    """

    model: ProxyCLIP
    vocabulary: Vocabulary
    image: np.ndarray
    truth: np.ndarray
    point: tuple[int, int]
    attention: AttentionMap
    cosines: np.ndarray
    mean: float
    labels: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]


def walk(words: int = 3) -> Walk:
    """Run the scene through the default model and keep what each step gives.

    Parameters
    ----------
    words : int
        Number of words whose scores are kept: those of the largest regions.
    """
    data, rule = dataset(SET), Adaptive()
    sample = data[INDEX]
    image, truth = np.asarray(sample.image), sample.labels
    point = _inside_an_object(truth)
    model = load("tiny")
    attention = attention_map(model, image, point, rule)
    if int((attention.weights > 0).sum()) == 1:  # the patch keeps only itself: nothing of the steps would be seen
        model = load("tiny", vfm=SECOND)
        attention = attention_map(model, image, point, rule)
    text = model.encode_classes(data.vocabulary)
    embeddings = model.embed(image, [Vanilla(), ALONE, rule])
    labels = {name: labels_from_embedding(embedding, text, None).cpu().numpy()
              for name, embedding in zip(("CLIP", "values alone", "ProxyCLIP"), embeddings, strict=True)}
    logits = embeddings[-1].logits(text.embeddings).cpu().numpy()
    order = np.argsort(-np.bincount(truth[truth >= 0], minlength=len(data.vocabulary)))[:words]
    queries = np.asarray(text.vocabulary.class_of_query)
    scores = {data.vocabulary.names[index]: logits[queries == index].max(axis=0) for index in order}
    cosines, mean = _cosines(model, image, attention)
    return Walk(model, data.vocabulary, image, truth, point, attention, cosines, mean, labels, scores)


def _inside_an_object(truth: np.ndarray) -> tuple[int, int]:
    """The innermost pixel of the smallest region that fills at least 3 % of the scene: an object, not its "
      "surroundings."""
    best: tuple[float, tuple[int, int]] | None = None
    for label in np.unique(truth[truth >= 0]):
        regions, count = ndimage.label(truth == label)
        for region in range(1, count + 1):
            inside = regions == region
            share = inside.mean()
            if share >= 0.03 and (best is None or share < best[0]):
                depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
                place = np.unravel_index(int(depth.argmax()), depth.shape)
                best = float(share), (int(place[0]), int(place[1]))
    return best[1] if best else (truth.shape[0] // 2, truth.shape[1] // 2)


def _cosines(model: ProxyCLIP, image: np.ndarray, attention: AttentionMap) -> tuple[np.ndarray, float]:
    _, pixels, _, padding = model.prepare_windows(image)
    window = cut_windows(model.vfm.normalize(pixels).to(model.dtype), [attention.box], padding)
    features = unit(model.vfm.features(window).flatten(2).transpose(1, 2)).detach()
    similarity = (features @ features.transpose(1, 2)).clamp(-1, 1)
    return similarity.flatten().float().cpu().numpy(), float(mean_similarity(features, features))


# ------------------------------------------------------------------------------------------------------------- pictures


def _window(found: Walk) -> np.ndarray:
    box = found.attention.box
    part = found.image[box.top : box.bottom, box.left : box.right]
    side = part.shape[0] * scenes.ENLARGE * 2
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def pictures(found: Walk) -> dict[str, scenes.Picture]:
    """The picture of each step, by the step's name."""
    box, at = found.attention.box, found.attention
    side = _window(found).shape[0]
    similarity, weights = at.similarity.cpu().numpy(), at.weights.cpu().numpy()
    threshold = float(at.threshold)
    kept = similarity >= threshold
    colours = scenes.vocabulary_colours(found.vocabulary)
    marked = scenes.framed(scenes.plain(found.image), (box.top, box.left, box.bottom - box.top, box.right - box.left))
    marked = scenes.framed(marked, (found.point[0] - 3, found.point[1] - 3, 6, 6))
    row = scenes.heat((similarity + 1) / 2, (side, side), at.patch)
    # what the mask drops is laid in grey
    mask = np.where(np.kron(kept, np.ones((side // kept.shape[0], side // kept.shape[1]), bool))[..., None], row,
                    (row.mean(axis=2, keepdims=True) * 0.25 + 40).astype(np.uint8))
    share = 100 * float(kept.mean())
    most = float(at.multiples.max())

    def laid(name: str) -> np.ndarray:
        return scenes.overlay(found.image, found.labels[name], colours)

    wrong = {name: scenes.error_share(labels, found.truth) for name, labels in found.labels.items()}
    return {
        "image": scenes.Picture(marked, "the image, a window and a patch in it",
                                "A scene with a framed window and a marked patch inside it."),
        "window": scenes.Picture(_window(found), "the window", "The window, enlarged."),
        "similarity": scenes.Picture(row, "S: how similar is each patch to the marked one?",
                                     f"Cosines of the marked patch, {similarity.min():.2f} to 1."),
        "mask": scenes.Picture(mask, f"mask: {share:.0f} % lie at or above {threshold:.2f}",
                               f"The same cosines, those below {threshold:.2f} in grey."),
        "attention": scenes.Picture(scenes.heat(weights, (side, side), at.patch),
                                    f"P: up to {most:.1f} times the uniform weight",
                                    "Attention of the marked patch; nothing outside the mask."),
        "CLIP": scenes.Picture(laid("CLIP"), f"CLIP as trained: {wrong['CLIP']:.0f} % wrong", "Labels of CLIP as "
                                                                                              "trained."),
        "alone": scenes.Picture(laid("values alone"), f"each patch its own value: {wrong['values alone']:.0f} % wrong",
                                "Labels when each patch reads only its own value."),
        "labels": scenes.Picture(laid("ProxyCLIP"), f"ProxyCLIP: {wrong['ProxyCLIP']:.0f} % wrong",
                                 "Labels under ProxyCLIP."),
        "truth": scenes.Picture(scenes.overlay(found.image, found.truth, colours), "ground truth", "The true regions."),
        **{f"word {word}": scenes.Picture(
            scenes.heat(np.clip((score - score.min()) / max(float(np.ptp(score)), 1e-9), 0, 1),
                        tuple(2 * n for n in score.shape)),
            f"“{word}”: {score.min():.2f} to {score.max():.2f}", f"Cosine of every pixel with the word {word}.")
           for word, score in found.scores.items()},
    }


def _row(found: Walk) -> str:
    kept = 100 * float((found.attention.similarity >= found.attention.threshold).float().mean())
    receives = float(found.attention.multiples.max())
    return (f"Of the {found.attention.similarity.numel()} patches of the window {kept:.0f} % are similar enough to the "
            f"marked one to be kept; the most similar weigh {receives:.1f} times as much as they would if all weighed "
            "the same.")


def _numbers(found: Walk) -> str:
    threshold = float(found.attention.threshold)
    kept = 100 * float((found.cosines >= threshold).mean())
    return (f"In this window mean(S) is {found.mean:.2f}, so the threshold is {Adaptive().beta:g} times that, "
            f"{threshold:.2f}; {kept:.0f} % of all pairs of patches lie at or above it.")


def histogram(found: Walk) -> BookFigure:
    """All cosines of the window with the threshold as a line."""
    threshold = float(found.attention.threshold)
    panel = cosine_histogram(found.cosines, threshold, found.mean)
    caption = f"All {found.cosines.size:,} cosines of the window (scene {INDEX} of {SET}, {_models(found)})."
    return show([panel], caption,
                f"Histogram of cosines with the mean at {found.mean:.2f} and the threshold at {threshold:.2f}.",
                _numbers(found))


def _models(found: Walk) -> str:
    name, usual = found.model.vfm.name, PROFILES["tiny"].vfm
    why = "" if name == usual else f", because {usual}, the profile's own, leaves the marked patch alone with itself"
    return f"VFM {name}{why}; profile tiny"


def _figure(found: Walk, names: list[str], caption: str, seen: str = "", classes: bool = False) -> scenes.SceneFigure:
    parts = pictures(found)
    chosen = tuple(parts[name] for name in names)
    listed = scenes.visible([found.truth, *found.labels.values()], found.vocabulary) if classes else ()
    return scenes.SceneFigure(chosen, 3 if len(names) > 2 else 2, listed, caption, seen, rows=len(names) == 3)


def fragments() -> dict[str, str]:
    """The figures of the first page and of the method, as HTML by name."""
    found = walk()
    wrong = {name: scenes.error_share(labels, found.truth) for name, labels in found.labels.items()}
    words = [f"word {word}" for word in found.scores]
    where = f"Scene {INDEX} of {SET}, {_models(found)}"
    figures = {
        "walk_windows": _figure(found, ["image", "window"], f"{where}: the image with a window, and the window."),
        "walk_attention": _figure(
            found, ["similarity", "mask", "attention"],
            f"{where}: the row of the marked patch in S, what the mask leaves of it, and the row of P.", _row(found)),
        "walk_values": _figure(
            found, ["CLIP", "alone", "labels"], f"{where}: three ways to read the same CLIP.",
            f"CLIP as trained mislabels {wrong['CLIP']:.0f} % of this scene's pixels; its values, read patch by patch, "
            f"{wrong['values alone']:.0f} %; the same values averaged with P, {wrong['ProxyCLIP']:.0f} %.", True),
        "walk_words": _figure(found, words, f"{where}: the cosine of every pixel with three words; dark is low."),
        "walk_labels": _figure(found, ["labels", "truth"], f"{where}: labels and ground truth.", classes=True),
    }
    legend = scenes.visible([found.labels["values alone"], found.labels["ProxyCLIP"]], found.vocabulary)
    rendered = {name: figure._repr_html_() for name, figure in figures.items()}
    where_drawn = f"image {INDEX} of {SET}, {_models(found)}"
    return {**rendered, "walk_histogram": histogram(found)._repr_html_(),
            "flow": diagram(pictures(found), wrong, where_drawn, legend)}
