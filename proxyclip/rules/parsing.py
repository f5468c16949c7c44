"""Rules by name: what the command line and the notebooks write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from proxyclip.rules.baselines import GEM, NACLIP, OWN_POSITIONS, SCLIP, ClearCLIP, MaskCLIP, Vanilla
from proxyclip.rules.clip_attention import ClipAttention
from proxyclip.rules.masking import Adaptive, HardMask, Identity, MaskingRule, Rule

#: The baselines of the paper by name.
BASELINES = {"vanilla": Vanilla, "maskclip": MaskCLIP, "sclip": SCLIP, "gem": GEM}

RULE_FORMS = ("adaptive", "adaptive:BETA,GAMMA", "hard:ALPHA", "identity", "qk", "qq", "kk", "qk/each", "qk/dot",
              *BASELINES, "vanilla/attention", "gem:DEPTH", "clearclip", "naclip", "naclip:SIGMA")


def parse_rule(text: str) -> Rule:
    """Read a rule from its name, the inverse of ``rule.name``.

    Parameters
    ----------
    text : str
        For example ``"adaptive"``, ``"adaptive:1.2,3"``, ``"hard:0.4"``, ``"qq"``, ``"qk/each/dot"``,
        ``"maskclip/attention"``.

    Raises
    ------
    ValueError
        One sentence with the forms that are understood.

    Examples
    --------
    >>> parse_rule("adaptive:1.2,3")
    Adaptive(beta=1.2, gamma=3.0)
    >>> parse_rule("hard:0.4").name
    'hard:0.4'
    >>> parse_rule("adaptive").name  # the paper's beta and gamma
    'adaptive:1.2,3'
    """
    head, *options = text.strip().split("/")
    problem = ""
    try:
        rule = _parse(head, options)
    except ValueError as error:
        rule, problem = None, f" ({error})"
    if rule is None:
        raise ValueError(f"unknown rule {text!r}{problem}; allowed are {', '.join(RULE_FORMS)}")
    return rule


def parsed_rules(rules: Iterable[Rule | str]) -> list[Rule]:
    """Rules, of which some may be given by name; each once."""
    return list(dict.fromkeys(parse_rule(rule) if isinstance(rule, str) else rule for rule in rules))


def _parse(head: str, options: Sequence[str]) -> Rule | None:
    """The rule of a name, of the numbers behind its colon and of the options behind slashes; None where none fits."""
    kind, colon, tail = head.partition(":")
    numbers = tail.split(",") if colon else []
    match kind, numbers, options:
        case "adaptive", [] | [_, _], []:
            return Adaptive(*map(float, numbers))
        case "hard", [alpha], []:
            return HardMask(float(alpha))
        case "identity", [], []:
            return Identity()
        case "qk" | "qq" | "kk", [], _:
            return _parse_clip_attention(kind, options)
        case "gem", _, _:
            return _parse_gem(numbers, options)
        case "vanilla" | "maskclip" | "sclip", [], [] | [_]:
            return BASELINES[kind](*options)
        case "clearclip", [], []:
            return ClearCLIP()
        case "naclip", [] | [_], []:
            return NACLIP(*map(float, numbers))
    return None


def _parse_clip_attention(kind: Literal["qk", "qq", "kk"], options: Sequence[str]) -> ClipAttention:
    rule = ClipAttention(kind)
    for option in options:
        if option == "each":
            rule = replace(rule, heads="each")
        elif option == "dot":
            rule = replace(rule, measure="dot")
        elif isinstance(masking := _parse(option, []), MaskingRule):
            rule = replace(rule, masking=masking)
        else:
            raise ValueError(option)
    return rule


def _parse_gem(numbers: Sequence[str], options: Sequence[str]) -> GEM | None:
    """Depth, iterations and temperature; then the readout, ``"own-positions"``, or both in this order."""
    fields: dict[str, Any] = {}
    if options and options[-1] == OWN_POSITIONS:
        options, fields = options[:-1], {"positions": None}
    if len(numbers) > 3 or len(options) > 1:
        return None
    if options:
        fields["readout"] = options[0]
    for name, number in zip(("depth", "iterations", "temperature"), numbers, strict=False):
        fields[name] = None if number == "adaptive" else float(number) if name == "temperature" else int(number)
    return GEM(**fields)
