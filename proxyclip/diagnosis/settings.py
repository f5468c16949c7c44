"""The settings that a diagnosis changes, as data: what the protocol card says, and what is often done instead."""

from __future__ import annotations

from dataclasses import dataclass, replace

from proxyclip.data.base import Dataset
from proxyclip.data.benchmarks import VARIANTS
from proxyclip.rules import MaskingRule, Rule
from proxyclip.segment import ProxyCLIP


@dataclass(frozen=True)
class Configuration:
    """One way of evaluating; the defaults are what the protocol card says.

    Configurations with equal values in the first nine fields share the passes of the backbones; the other fields only
    change how the features are used.
    """

    channels: str = "rgb"
    clip_input: str = "own"
    vfm_input: str = "own"
    enlarged: str = "once"
    activation: str = "own"
    resize: str = "plain"
    padding: str = "after"
    positions: str = "own"
    precision: str = "own"
    feature: str = "last"
    readout: str = "attention"
    stride: str = "card"
    prompts: str = "all"
    background: str = "words"
    queries: str = "largest"
    threshold: str = "card"
    scale: str = "card"
    ignored: str = "card"
    conversion: str = "card"
    metric: str = "set"


@dataclass(frozen=True)
class Setting:
    """One setting, and the value that it is changed to."""

    name: str  #: As it is printed and given on the command line.
    #: A field of :class:`Configuration`, and its new value.
    field: str
    value: str
    #: What the card says, and what is done instead.
    card: str
    changed: str

    def apply(self, configuration: Configuration) -> Configuration:
        """The configuration with this one setting changed."""
        return replace(configuration, **{self.field: self.value})


SETTINGS: tuple[Setting, ...] = (
    Setting("activation", "activation", "other", "the activation that CLIP was trained with",
            "GELU instead of QuickGELU, or the reverse"),
    Setting("threshold", "threshold", "none", "the method's threshold for background", "no threshold"),
    Setting("clip-threshold", "threshold", "vanilla", "the method's threshold for background",
            "the CLIP baseline's threshold"),
    Setting("background", "background", "one", "the words that stand for background", 'the one word "background"'),
    Setting("queries", "queries", "mean", "the largest probability of a class's queries",
            "one embedding a class, the mean of its queries'"),
    Setting("prompts", "prompts", "one", "all prompts", "one prompt"),
    Setting("logit-scale", "scale", "100", "logit scale 40", "logit scale 100, CLIP's own"),
    Setting("antialiasing", "resize", "antialias", "images resized without antialiasing", "with antialiasing"),
    Setting("stride", "stride", "none", "overlapping windows", "windows side by side"),
    Setting("padding", "padding", "before", "zeros after the VFM's normalisation", "zeros before it"),
    Setting("positions", "positions", "other", "CLIP's positions resized with scale factor (n + 0.1) / N",
            "resized with antialiasing to the exact size"),
    Setting("residual", "readout", "block", "attention alone in the last block", "its residual and MLP kept"),
    Setting("float16", "precision", "float16", "the model's precision", "half precision"),
    Setting("bfloat16", "precision", "bfloat16", "the model's precision", "bfloat16"),
    Setting("vfm-keys", "feature", "keys", "the VFM's last-layer features", "the keys of its last attention"),
    Setting("bgr", "channels", "bgr", "red, green, blue", "blue, green, red, as OpenCV reads images"),
    Setting("clip-as-vfm", "clip_input", "other", "CLIP's own mean and deviation", "the VFM's for CLIP too"),
    Setting("clip-raw", "clip_input", "none", "CLIP's own mean and deviation", "pixels in 0..1 for CLIP"),
    Setting("clip-twice", "clip_input", "twice", "CLIP's own mean and deviation", "normalised twice for CLIP"),
    Setting("vfm-as-clip", "vfm_input", "other", "the VFM's own mean and deviation", "CLIP's for the VFM too"),
    Setting("vfm-raw", "vfm_input", "none", "the VFM's own mean and deviation", "pixels in 0..1 for the VFM"),
    Setting("vfm-twice", "vfm_input", "twice", "the VFM's own mean and deviation", "normalised twice for the VFM"),
    Setting("vfm-upscaled", "enlarged", "twice", "windows resized once, to what the VFM reads",
            "enlarged to twice their side before"),
    Setting("ignore-255", "ignored", "255", "void (65535) ignored", "255 ignored, void counted as wrong"),
    Setting("conversion", "conversion", "other", "the set's label files", "those of the folder given with --labels"),
    Setting("per-image", "metric", "image", "mIoU over the whole set", "the mean of every image's mIoU"),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}


def obstacle(setting: Setting, model: ProxyCLIP, data: Dataset, rule: Rule, other_labels: bool) -> str | None:
    """The reason why a setting cannot be changed for this model, set and rule; None if it can."""
    reads_vfm = isinstance(rule, MaskingRule)
    words = data.vocabulary.class_of_query
    no_vfm = (not reads_vfm, "the rule reads no VFM")
    checks = {
        **dict.fromkeys(("vfm-as-clip", "vfm-raw", "vfm-twice", "vfm-upscaled"), no_vfm),
        "clip-as-vfm": (model.vfm is None, "no VFM is loaded"),
        "threshold": (data.protocol.threshold(rule.name) is None, "the set has no threshold"),
        "clip-threshold": (data.protocol.baseline_threshold in (None, data.protocol.threshold(rule.name)),
                           "the set has no other threshold for CLIP"),
        "logit-scale": (data.protocol.threshold(rule.name) is None, "without a threshold it changes no label"),
        "background": (data.protocol.prob_threshold is None or words.count(0) == 1,
                       "the set has no list of words for background"),
        "queries": (len(words) == len(data.vocabulary), "every class has one query"),
        "prompts": (len(model.clip.templates) == 1, "the model has one prompt"),
        "antialiasing": (data.protocol.short_side is None, "images keep their size"),
        "stride": (data.protocol.stride == data.protocol.window, "windows do not overlap"),
        "residual": (not reads_vfm, "the rule says itself whether it keeps them"),
        "padding": no_vfm,
        "vfm-keys": (model.vfm is None or not reads_vfm or not hasattr(model.vfm.backbone, "blocks"),
                     "no VFM of transformer blocks is read"),
        "float16": (model.dtype.itemsize < 4, "the model runs in half precision already"),
        "bfloat16": (model.dtype.itemsize < 4, "the model runs in half precision already"),
        "ignore-255": (f"{data.name.partition('@')[0]}@published" not in VARIANTS, "labels have 8 bits"),
        "conversion": (not other_labels, "no second folder of labels is given"),
    }
    stops, reason = checks.get(setting.name, (False, ""))
    return reason if stops else None
