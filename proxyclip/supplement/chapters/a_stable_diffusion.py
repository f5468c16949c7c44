"""Section A's facts about Stable Diffusion, computed on the architecture and compared with the stated ones."""

from __future__ import annotations

import pandas as pd

from proxyclip.models.unet import BlockShape, block_shapes
from proxyclip.supplement.claims.claim import Value, enumerated
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import lines
from proxyclip.supplement.paper import STABLE_DIFFUSION

#: Side of the window and of the enlarged input, pixels.
WINDOW, INPUT = (STABLE_DIFFUSION[name][0] for name in ("input side", "resized side"))
#: The input as it is, and padded to a multiple of this: three halvings of a latent at an eighth of the image.
PADDINGS = {"as it is": 1, "padded": 64}
#: Readings of "the 9th block" that come near the stated shape: block, padding.
READINGS = {
    "ninth block, input padded to a multiple of 64 (the default here)": ("encoder-9", "padded"),
    "ninth block, input as it is": ("encoder-9", "as it is"),
    "third block of the decoder, input as it is": ("decoder-3", "as it is"),
}
FACTS = ("rows", "columns", "channels", "factor")


def shapes(name: str = "sd15") -> dict[str, dict[str, BlockShape]]:
    """Shape of every block, by padding and block; nothing is loaded, it takes seconds."""
    return {words: {shape.block: shape for shape in block_shapes(name, INPUT, multiple)}
            for words, multiple in PADDINGS.items()}


def facts(shape: BlockShape) -> dict[str, float]:
    """Rows, columns, channels, and the factor between the window and the rows of the map."""
    return {"rows": shape.rows, "columns": shape.columns, "channels": shape.channels, "factor": WINDOW / shape.rows}


def block_table(found: dict[str, dict[str, BlockShape]]) -> pd.DataFrame:
    """A row per block: channels, rows x columns for each padding, and where the stated shape is met."""
    stated = [STABLE_DIFFUSION[name][0] for name in FACTS[:3]]
    columns = {"channels": {block: str(shape.channels) for block, shape in found["as it is"].items()}}
    for words, blocks in found.items():
        columns[f"map, input {words}"] = {block: f"{shape.rows} x {shape.columns}" for block, shape in blocks.items()}
    met = {block: ", ".join(words for words, blocks in found.items()
                            if [*facts(blocks[block]).values()][:3] == stated) for block in found["as it is"]}
    return pd.DataFrame({**columns, "the stated shape": met})


def reading_table(found: dict[str, dict[str, BlockShape]]) -> pd.DataFrame:
    """Paper, computed and difference for each fact and reading, in rows (reading, fact)."""
    rows = []
    for reading, (block, words) in READINGS.items():
        for fact, value in facts(found[words][block]).items():
            stated = STABLE_DIFFUSION[fact][0]
            difference = round(round(value, 1) - stated, 1)  # the factor is stated with one decimal
            rows.append({"reading": reading, "fact": fact, "paper": f"{stated:g}", "computed": f"{value:.4g}",
                         "difference": f"{difference:+g}" if difference else "0"})
    return pd.DataFrame(rows).set_index("reading")


def along_time(values: pd.Series, errors: pd.Series, note: str) -> BookFigure:
    """mIoU of the adaptive rule along the time step of the diffusion process, with its standard errors."""
    picture = lines({"Stable Diffusion": values}, "time step t", "mIoU, %", "More noise to the right", mark=0.0,
                    errors={"Stable Diffusion": errors})
    best = values.idxmax()
    level = [step for step in values.index if step != best and not Value(values[best], errors[best]).exceeds(
        Value(values[step], errors[step]))]
    shown = [f"{Value(values[step], errors[step])} at step {step:g}" for step in values.index]
    seen = f"The score is {enumerated(shown)}. The highest is at step {best:g}" + (
        f"; {'that' if len(level) == 1 else 'those'} at step {enumerated(f'{step:g}' for step in level)} "
        f"{'is' if len(level) == 1 else 'are'} within the standard error." if level else
        ", by more than the standard error.")
    return show([picture], "mIoU along the time step with its standard error over the images; dashed: the step of the "
                           f"supplement; {note}.",
                f"mIoU {', '.join(f'{value:.1f} at step {step}' for step, value in values.items())}.", seen)
