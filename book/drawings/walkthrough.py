"""One scene through all steps of the method under the shipped models, as the first page and *The method* show it."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib import pyplot
from PIL import Image
from scipy import ndimage

from book.drawings.flow import diagram
from book.pages.rendering import shown
from proxyclip.data.datasets import dataset
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.loading import PROFILES, load
from proxyclip.rules import Adaptive, HardMask, Vanilla
from proxyclip.supplement import figures
from proxyclip.supplement.figures import scene_pictures as scenes
from proxyclip.supplement.figures.palette import INK, style_of
from proxyclip.supplement.figures.tables import Shown
from proxyclip.supplement.measures.attention_maps import AttentionMap, attention_map
from proxyclip.supplement.measures.similarities import window_similarities
from proxyclip.text import Vocabulary

#: The scene: the first image of a test set, so that nobody chose it.
SET, INDEX = "tiny/context", 0
#: The foundation model that is drawn if the marked patch keeps only itself under the profile's own.
SECOND = "tiny_sam"
#: With a threshold above the cosine of any two different patches, each patch keeps only itself.
ALONE = HardMask(0.9999)


@dataclass(frozen=True)
class Walk:
    """The results of all steps."""

    vfm: str
    vocabulary: Vocabulary
    image: np.ndarray  #: (H, W, 3) uint8
    truth: np.ndarray  #: (H, W) int64
    point: tuple[int, int]  #: (row, column) of the pixel whose patch is followed.
    attention: AttentionMap  #: Of that patch under the default rule.
    cosines: np.ndarray  #: (N * N,) float32: all similarities in the patch's window.
    mean: float  #: Their mean.
    #: (H, W) int64 by reading: ``CLIP``, ``alone`` (each patch its own value), ``labels`` (ProxyCLIP).
    labels: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]  #: (H, W) float32: cosine of every pixel with some of the words.


def walk(words: int = 3) -> Walk:
    """Run the scene through the default model and keep the result of each step.

    Scores are kept for so many ``words``, those of the largest regions.
    """
    data, rule = dataset(SET), Adaptive()
    sample = data[INDEX]
    image, truth = np.asarray(sample.image), sample.labels
    point = _inside_an_object(truth)
    vfm = PROFILES["tiny"].vfm
    model = load("tiny")
    attention = attention_map(model, image, point, rule)
    if int((attention.weights > 0).sum()) == 1:  # the patch keeps only itself, so that no step would be visible
        vfm = SECOND
        model = load("tiny", vfm=vfm)
        attention = attention_map(model, image, point, rule)
    text = model.encode_classes(data.vocabulary)
    embeddings = model.embed(image, [Vanilla(), ALONE, rule])
    labels = {name: labels_from_embedding(embedding, text, None).cpu().numpy()
              for name, embedding in zip(("CLIP", "alone", "labels"), embeddings, strict=True)}
    logits = embeddings[-1].logits(text.embeddings).cpu().numpy()
    order = np.argsort(-np.bincount(truth[truth >= 0], minlength=len(data.vocabulary)))[:words]
    queries = np.asarray(text.vocabulary.class_of_query)
    scores = {data.vocabulary.names[index]: logits[queries == index].max(axis=0) for index in order}
    similarity, mean = next((similarity, mean) for box, _, similarity, mean in window_similarities(model, image)
                            if box == attention.box)
    cosines = similarity.clamp(-1, 1).flatten().cpu().numpy()
    return Walk(vfm, data.vocabulary, image, truth, point, attention, cosines, float(mean), labels, scores)


def _inside_an_object(truth: np.ndarray) -> tuple[int, int]:
    """The innermost pixel of the smallest region that fills at least 3 % of the scene: an object, not a background."""
    regions = (numbered == region for label in np.unique(truth[truth >= 0])
               for numbered, count in [ndimage.label(truth == label)] for region in range(1, count + 1))
    large = [region for region in regions if region.mean() >= 0.03]
    if not large:
        return truth.shape[0] // 2, truth.shape[1] // 2
    depth = ndimage.distance_transform_edt(np.pad(min(large, key=np.mean), 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


# ------------------------------------------------------------------------------------------------------------- pictures


def _window(found: Walk) -> np.ndarray:
    box = found.attention.box
    part = found.image[box.top : box.bottom, box.left : box.right]
    side = part.shape[0] * scenes.ENLARGE * 2
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BICUBIC))


def pictures(found: Walk, wrong: dict[str, float]) -> dict[str, scenes.Picture]:
    """The picture of each step, by the step's name; ``wrong`` has the share of mislabelled pixels by reading."""
    box, at, window = found.attention.box, found.attention, _window(found)
    size = window.shape[:2]
    similarity, weights, threshold = at.similarity.cpu().numpy(), at.weights.cpu().numpy(), at.threshold
    kept = similarity >= threshold
    colours = scenes.vocabulary_colours(found.vocabulary)
    marked = scenes.framed(scenes.plain(found.image), (box.top, box.left, box.bottom - box.top, box.right - box.left))
    marked = scenes.framed(marked, (found.point[0] - 3, found.point[1] - 3, 6, 6))
    row = scenes.heat((similarity + 1) / 2, size, at.patch)
    grey = (row.mean(axis=2, keepdims=True) * 0.25 + 40).astype(np.uint8)  # what the mask removes
    mask = np.where(np.kron(kept, np.ones([side // len(kept) for side in size], bool))[..., None], row, grey)
    laid = {name: scenes.overlay(found.image, labels, colours) for name, labels in found.labels.items()}
    return {
        "image": scenes.Picture(marked, "the image, a window and a patch in it",
                                "A scene with a framed window and a marked patch inside it."),
        "window": scenes.Picture(window, "the window", "The window, enlarged."),
        "similarity": scenes.Picture(row, "S: how similar is each patch to the marked one?",
                                     f"Cosines of the marked patch, {similarity.min():.2f} to 1."),
        "mask": scenes.Picture(mask, f"mask: {100 * float(kept.mean()):.0f} % lie at or above {threshold:.2f}",
                               f"The same cosines, those below {threshold:.2f} in grey."),
        "attention": scenes.Picture(scenes.heat(weights, size, at.patch),
                                    f"P: up to {float(at.multiples.max()):.1f} times the uniform weight",
                                    "Attention of the marked patch; nothing outside the mask."),
        "CLIP": scenes.Picture(laid["CLIP"], f"CLIP as trained: {wrong['CLIP']:.0f} % wrong",
                               "Labels of CLIP as trained."),
        "alone": scenes.Picture(laid["alone"], f"each patch its own value: {wrong['alone']:.0f} % wrong",
                                "Labels when each patch reads only its own value."),
        "labels": scenes.Picture(laid["labels"], f"ProxyCLIP: {wrong['labels']:.0f} % wrong",
                                 "Labels under ProxyCLIP."),
        "truth": scenes.Picture(scenes.overlay(found.image, found.truth, colours), "ground truth", "The true regions."),
        **{f"word {word}": scenes.Picture(
            scenes.heat(np.clip((score - score.min()) / max(float(np.ptp(score)), 1e-9), 0, 1),
                        tuple(2 * n for n in score.shape)),
            f"“{word}”: {score.min():.2f} to {score.max():.2f}", f"Cosine of every pixel with the word {word}.")
           for word, score in found.scores.items()},
    }


def histogram(found: Walk, models: str) -> Shown:
    """All cosines of the window, the masked ones pale, with the mean and the threshold as lines."""
    threshold, share = found.attention.threshold, 100 / found.cosines.size
    kept = found.cosines >= threshold
    figures.theme()
    figure, axes = pyplot.subplots(figsize=(figures.WIDTH, 3.3))
    for part, alpha in ((~kept, 0.25), (kept, 0.9)):
        axes.hist(found.cosines[part], bins=60, range=(min(-0.5, float(found.cosines.min())), 1), alpha=alpha,
                  color=style_of("ProxyCLIP").light, weights=np.full(int(part.sum()), share))
    for at, text, height in ((found.mean, "mean", 0.99), (threshold, "threshold β · mean", 0.86)):
        axes.axvline(at, color=INK, linewidth=1.3)
        axes.text(at, height, f"{text} ", transform=axes.get_xaxis_transform(), va="top", ha="right")
    axes.set(title="The cosines of one window", xlabel="cosine of two patches", ylabel="pairs of patches, %")
    return figures.captioned(
        figure, f"All {found.cosines.size:,} cosines of the window (scene {INDEX} of {SET}, {models}). In this window "
        f"mean(S) is {found.mean:.2f}, so the threshold is {Adaptive().beta:g} times that, {threshold:.2f}; "
        f"{100 * kept.mean():.0f} % of all pairs of patches lie at or above it.",
        f"Histogram of cosines with the mean at {found.mean:.2f} and the threshold at {threshold:.2f}.")


def fragments() -> dict[str, Markup]:
    """The figures of the first page and of the method, as HTML by name."""
    found = walk()
    wrong = {name: scenes.error_share(labels, found.truth) for name, labels in found.labels.items()}
    parts = pictures(found, wrong)
    name, usual = found.vfm, PROFILES["tiny"].vfm
    why = "" if name == usual else f", because {usual}, the profile's own, leaves the marked patch alone with itself"
    models = f"VFM {name}{why}; profile tiny"
    where = f"Scene {INDEX} of {SET}, {models}"
    classes = scenes.visible([found.truth, *found.labels.values()], found.vocabulary)

    def figure(steps: list[str], caption: str, seen: str = "", names: tuple = ()) -> Markup:
        chosen, across = tuple(parts[step] for step in steps), min(len(steps), 3)
        return shown(scenes.SceneFigure(chosen, across, names, f"{where}: {caption}", seen, rows=across == 3))

    at = found.attention
    kept = 100 * float((at.similarity >= at.threshold).float().mean())
    return {
        "walk_windows": figure(["image", "window"], "the image with a window, and the window."),
        "walk_attention": figure(
            ["similarity", "mask", "attention"],
            "the row of the marked patch in S, what the mask leaves of it, and the row of P.",
            f"Of the {at.similarity.numel()} patches of the window {kept:.0f} % are similar enough to the marked one "
            f"to be kept; the most similar weigh {float(at.multiples.max()):.1f} times as much as they would if all "
            "weighed the same."),
        "walk_values": figure(
            ["CLIP", "alone", "labels"], "three ways to read the same CLIP.",
            f"CLIP as trained mislabels {wrong['CLIP']:.0f} % of this scene's pixels; its values, read patch by patch, "
            f"{wrong['alone']:.0f} %; the same values averaged with P, {wrong['labels']:.0f} %.", classes),
        "walk_words": figure([f"word {word}" for word in found.scores],
                             "the cosine of every pixel with three words; dark is low."),
        "walk_labels": figure(["labels", "truth"], "labels and ground truth.", names=classes),
        "walk_histogram": shown(histogram(found, models)),
        "flow": diagram(parts, wrong, f"image {INDEX} of {SET}, {models}",
                        scenes.visible([found.labels["alone"], found.labels["labels"]], found.vocabulary)),
    }
