"""Rules by name: what the command line and the notebooks write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxyclip.rules.baselines import GEM, OWN_POSITIONS, SCLIP, MaskCLIP, Vanilla
from proxyclip.rules.block import ClipRule
from proxyclip.rules.clearclip import ClearCLIP
from proxyclip.rules.clip_attention import ClipAttention
from proxyclip.rules.masking import Adaptive, HardMask, Identity, MaskingRule, Rule
from proxyclip.rules.naclip import NACLIP


def _temperature(text: str) -> float | None:
    return None if text == "adaptive" else float(text)

#: Baselines by name, with what builds each from the text behind its colon and its readout.
BASELINES: dict[str, Callable[..., ClipRule]] = {"vanilla": Vanilla, "maskclip": MaskCLIP, "sclip": SCLIP, "gem": GEM}


def parse_baseline(head: str, options: Sequence[str]) -> ClipRule | None:
    """The baseline of a name such as ``"sclip"`` or ``"gem:5"``; None where it names none.

    Parameters
    ----------
    head : str
        The name and, for GEM, a colon and its depth, iterations and temperature.
    options : sequence of str
        Empty, the readout, or for GEM ``"own-positions"``, behind the readout if there is one.

    Raises
    ------
    ValueError
        If a parameter is not allowed.
    """
    kind, _, numbers = head.partition(":")
    fields: dict[str, object] = {}
    if kind == "gem" and options and options[-1] == OWN_POSITIONS:
        options, fields = options[:-1], {"positions": None}
    if kind not in BASELINES or len(options) > 1 or (numbers and kind != "gem"):
        return None
    if options:
        fields["readout"] = options[0]
    parts = numbers.split(",") if numbers else []
    for name, read, part in zip(("depth", "iterations", "temperature"), (int, int, _temperature), parts, strict=False):
        fields[name] = read(part)
    return None if len(parts) > 3 else BASELINES[kind](**fields)


def _parse_masking(text: str) -> MaskingRule | None:
    head, _, tail = text.partition(":")
    numbers = [float(part) for part in tail.split(",")] if tail else []
    if head == "adaptive" and len(numbers) in (0, 2):
        return Adaptive(*numbers)
    if head == "hard" and len(numbers) == 1:
        return HardMask(*numbers)
    if text == "identity":
        return Identity()
    return None


def _parse_clip_attention(kind: str, options: list[str]) -> ClipAttention:
    fields: dict[str, object] = {}
    for option in options:
        if option == "each":
            fields["heads"] = option
        elif option == "dot":
            fields["measure"] = option
        elif (masking := _parse_masking(option)) is not None:
            fields["masking"] = masking
        else:
            raise ValueError(option)
    return ClipAttention(kind, **fields)


def _parse_successor(text: str) -> ClipRule | None:
    """Rules of work that came after the supplement."""
    head, _, number = text.partition(":")
    if text == "clearclip":
        return ClearCLIP()
    return NACLIP(*([float(number)] if number else [])) if head == "naclip" else None


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
        if not options and (masking := _parse_masking(head)) is not None:
            return masking
        if head in ("qk", "qq", "kk"):
            return _parse_clip_attention(head, options)
        if (baseline := parse_baseline(head, options)) is not None:
            return baseline
        if not options and (successor := _parse_successor(head)) is not None:
            return successor
    except ValueError as error:
        problem = f" ({error})"
    raise ValueError(f"unknown rule {text!r}{problem}; allowed are {', '.join(RULE_FORMS)}")
