"""Colours: one per class, one per method, one per vision foundation model, the same in every figure."""

from __future__ import annotations

#: Okabe and Ito's palette, distinguishable with the common forms of colour blindness.
OKABE_ITO = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442",
    "blue": "#0072B2", "vermilion": "#D55E00", "purple": "#CC79A7", "black": "#000000", "grey": "#8A8A8A",
}

#: Methods (attention rules).
METHOD_COLOURS = {
    "CLIP": OKABE_ITO["grey"], "MaskCLIP": OKABE_ITO["sky"], "SCLIP": OKABE_ITO["yellow"], "GEM": OKABE_ITO["black"],
    "q-k": OKABE_ITO["orange"], "q-q": OKABE_ITO["green"], "k-k": OKABE_ITO["purple"], "ProxyCLIP": OKABE_ITO["blue"],
    "identity": OKABE_ITO["vermilion"],
}

#: Families of vision foundation models.
VFM_COLOURS = {
    "DINO": OKABE_ITO["blue"], "DINOv2": OKABE_ITO["vermilion"], "DINOv3": OKABE_ITO["black"],
    "SAM": OKABE_ITO["green"], "MAE": OKABE_ITO["purple"], "Stable Diffusion": OKABE_ITO["orange"],
}

#: The paper's own values.
PAPER_COLOUR = "#6E6E6E"
