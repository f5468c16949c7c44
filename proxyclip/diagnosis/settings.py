"""The settings that a diagnosis changes, as data: what the protocol card says, and what is often done instead."""

from dataclasses import dataclass, replace
from pathlib import Path

from proxyclip.data.base import Dataset
from proxyclip.data.benchmarks import VARIANTS
from proxyclip.rules import MaskingRule, Rule
from proxyclip.segment import ProxyCLIP
from proxyclip.system.own_files import shipped


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


#: Read from ``settings.toml``, in the order written there.
SETTINGS = shipped(Path(__file__).with_suffix(".toml"), dict[str, tuple[Setting, ...]])["setting"]
BY_NAME = {setting.name: setting for setting in SETTINGS}


def obstacle(setting: Setting, model: ProxyCLIP, data: Dataset, rule: Rule, other_labels: bool) -> str | None:
    """The reason why a setting cannot be changed for this model, set and rule; None if it can."""
    reads_vfm = isinstance(rule, MaskingRule)
    words = data.vocabulary.class_of_query
    no_vfm = (not reads_vfm, "the rule reads no VFM")
    checks = {
        **dict.fromkeys(("vfm-as-clip", "vfm-raw", "vfm-twice", "vfm-upscaled"), no_vfm),
        "clip-as-vfm": (model.vfm is None, "no VFM is loaded"),
        "threshold": (data.protocol.threshold(rule) is None, "the set has no threshold"),
        "clip-threshold": (data.protocol.baseline_threshold in (None, data.protocol.threshold(rule)),
                           "the set has no other threshold for CLIP"),
        "logit-scale": (data.protocol.threshold(rule) is None, "without a threshold it changes no label"),
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
