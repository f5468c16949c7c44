"""Colours: one per class, one per method, one per vision foundation model, the same in every figure."""

from __future__ import annotations

import colorsys

import numpy as np

#: Okabe and Ito's palette, distinguishable with the common forms of colour blindness.
OKABE_ITO = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442",
    "blue": "#0072B2", "vermilion": "#D55E00", "purple": "#CC79A7", "black": "#000000", "grey": "#8A8A8A",
}

#: Methods (attention rules).
METHOD_COLOURS = {
    "CLIP": OKABE_ITO["grey"], "MaskCLIP": OKABE_ITO["sky"], "SCLIP": OKABE_ITO["yellow"], "GEM": OKABE_ITO["black"],
    "q-k": OKABE_ITO["orange"], "q-q": OKABE_ITO["green"], "k-k": OKABE_ITO["purple"], "ProxyCLIP": OKABE_ITO["blue"],
}

#: Families of vision foundation models.
VFM_COLOURS = {
    "DINO": OKABE_ITO["blue"], "DINOv2": OKABE_ITO["vermilion"], "DINOv3": OKABE_ITO["black"],
    "SAM": OKABE_ITO["green"], "MAE": OKABE_ITO["purple"], "Stable Diffusion": OKABE_ITO["orange"],
}

#: The paper's own values.
PAPER_COLOUR = "#6E6E6E"


def class_colours(count: int) -> np.ndarray:
    """Colours of class ids; neighbours in the list differ in hue and lightness.

    Parameters
    ----------
    count : int
        Number of classes.

    Returns
    -------
    (count, 3) uint8
    """
    golden = 0.61803398875
    rows = [colorsys.hls_to_rgb((0.58 + i * golden) % 1, (0.62, 0.42, 0.74, 0.53)[i % 4], (0.75, 0.6, 0.9)[i % 3])
            for i in range(count)]
    return (np.array(rows).reshape(-1, 3) * 255).round().astype(np.uint8)
