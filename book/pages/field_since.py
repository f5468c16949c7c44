"""The page *The field since*: published numbers after ProxyCLIP as a table to sort and filter, and a figure."""

from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from book.pages.rendering import render, shown
from proxyclip.supplement.figures import captioned, theme
from proxyclip.supplement.figures.palette import FAMILIES

#: Every row as its source prints it; nothing in it was measured here.
PUBLISHED = Path(__file__).resolve().parents[1] / "published.csv"

#: Column -> heading of the eight sets.
SETS = {"voc21": "VOC 21", "context60": "Context 60", "coco_object": "COCO Obj.", "voc20": "VOC 20",
        "context59": "Context 59", "coco_stuff": "COCO Stuff", "cityscapes": "City", "ade150": "ADE 150"}

#: Where each source's table can be read.
SOURCES = {
    "Trident": "https://github.com/YuHengsss/Trident", "OV-Stitcher": "https://github.com/atw617/OV-Stitcher",
    "ActiveSAM": "https://github.com/VILA-Lab/ActiveSAM", "CorrCLIP": "https://github.com/zdk258/CorrCLIP",
    "CorrCLIPv2": "https://github.com/zdk258/CorrCLIP",
}

#: What is added to CLIP -> colour and marker in the figure.
GROUPS = {"CLIP alone": FAMILIES["DINO"], "CLIP + foundation model": FAMILIES["SAM"],
          "CLIP + masks": FAMILIES["Stable Diffusion"], "trained on images or captions": FAMILIES["MAE"],
          "trained on masks and words": FAMILIES["DINOv2"]}
GROUP_OF = {"clip": "CLIP alone", "clip and foundation model": "CLIP + foundation model",
            "clip and masks": "CLIP + masks", "clip and masks and a memory bank": "CLIP + masks",
            "trained on captions": "trained on images or captions",
            "trained on images": "trained on images or captions",
            "trained on masks and words": "trained on masks and words"}


def published() -> pd.DataFrame:
    """The file with three columns more: ``mean`` of the eight sets in %, ``group``, and ``note``."""
    frame = pd.read_csv(PUBLISHED).fillna({"venue": "", "reads": "", "clip": ""})
    frame["mean"] = frame[list(SETS)].mean(axis=1)
    frame["group"] = frame["kind"].map(GROUP_OF)
    frame["note"] = [_note(row, frame) for row in frame.itertuples()]
    return frame


def _note(row: Any, frame: pd.DataFrame) -> str:
    """What a reader must know before comparing a row: another source's numbers, or a mean that its columns lack."""
    notes = []
    alike = frame["clip"].map(lambda clip: clip == row.clip
                              or "OpenAI" in (clip, row.clip) and clip[:6] == row.clip[:6])
    others = frame[alike & (frame["source"] != row.source)]
    same = others[(others["method"] == row.method) & (others["reads"] == row.reads)]
    differing = [SETS[name] for name in SETS if (same[name] != getattr(row, name)).any()]
    if differing:
        where = ", ".join(differing) if len(differing) < 4 else f"{len(differing)} of the {len(SETS)} sets"
        notes.append(f"other numbers in {' and '.join(dict.fromkeys(same['source']))} ({where})")
    if pd.notna(row.printed_mean) and abs(row.printed_mean - row.mean) > 0.0501:
        notes.append(f"the source prints the mean {row.printed_mean:.1f}")
    return "; ".join(notes)


def table(frame: pd.DataFrame) -> Markup:
    """The rows, the highest mean first, with controls that a script of the book makes work."""
    rows = frame.sort_values("mean", ascending=False, kind="stable").to_dict("records")
    return render("field_since", rows=rows, sets=SETS, groups=list(GROUPS), sources=SOURCES)


def figure(frame: pd.DataFrame) -> Markup:
    """The mean of the eight sets by year and by what is added to CLIP; the best of each kind and ProxyCLIP named."""
    import seaborn as sns
    from matplotlib import pyplot

    theme()
    order = list(GROUPS)
    drawn = frame.assign(at=frame["year"] + [(order.index(group) - 2) / 7 for group in frame["group"]])
    canvas, axes = pyplot.subplots(figsize=(9.5, 5.6))
    sns.scatterplot(drawn, x="at", y="mean", hue="group", style="group", hue_order=order, style_order=order, s=45,
                    palette={name: style.light for name, style in GROUPS.items()},
                    markers={name: style.marker for name, style in GROUPS.items()}, ax=axes, linewidth=0)
    named = {*drawn.groupby("group")["mean"].idxmax(), drawn.loc[drawn["method"] == "ProxyCLIP", "mean"].idxmax()}
    for row in drawn.loc[sorted(named)].itertuples():
        below = row.group == "trained on images or captions"  # else its name lies on another
        axes.annotate(row.method, (row.at, row.mean), (0, -14 if below else 6), textcoords="offset points", ha="center",
                      fontsize=10)
    axes.set(xlabel="year", ylabel="mean of the eight sets, mIoU in %", xticks=sorted(set(frame["year"])))
    axes.legend(loc="upper left", title=None)
    best = frame.loc[frame.groupby("group")["mean"].idxmax()].set_index("group")
    words = "; ".join(f"{name}: at most {best.loc[name, 'mean']:.1f} ({best.loc[name, 'method']}, "
                      f"{best.loc[name, 'year']})" for name in order)
    return shown(captioned(canvas, f"Published numbers of {frame['method'].nunique()} methods, a dot for each row of "
                           "the table: the mean of the eight sets by year and by what is added to CLIP. Named: the "
                           "best of each kind, and ProxyCLIP. Nothing here was measured by this book.", words + "."))


def fragments() -> dict[str, Markup]:
    """The generated parts of the page by the names of their files."""
    frame = published()
    return {"field_since_table": table(frame), "field_since_figure": figure(frame)}
