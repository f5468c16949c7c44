"""The attention of CLIP's last block: one frozen dataclass for each rule of the paper and of other work."""

from proxyclip.rules.baselines import GEM, NACLIP, SCLIP, ClearCLIP, MaskCLIP, Vanilla
from proxyclip.rules.block import ClipRule
from proxyclip.rules.clip_attention import ClipAttention
from proxyclip.rules.masking import Adaptive, HardMask, Identity, MaskingRule, Rule
from proxyclip.rules.parsing import RULE_FORMS, parse_rule

__all__ = ["GEM", "NACLIP", "RULE_FORMS", "SCLIP", "Adaptive", "ClearCLIP", "ClipAttention", "ClipRule", "HardMask",
           "Identity", "MaskCLIP", "MaskingRule", "Rule", "Vanilla", "parse_rule"]
