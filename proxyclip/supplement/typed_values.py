"""Values as people type them for a parameter: ``None``, ``2024``, ``[1.0, 1e-3]``, ``{dino_vitb8: "C:\\weights"}``."""

import re
from typing import Any

import yaml


class _Plain(yaml.SafeLoader):
    """YAML without dates and without ``on`` and ``off``, which are names here, and with ``1e-3`` as a number."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in pairs if not tag.endswith((":timestamp", ":bool"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Plain.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
                             list("-+0123456789"))


def from_command_line(text: str) -> Any:
    """The value of ``-p NAME=VALUE``, as papermill reads it: None, a truth value, a number, or else the text itself.

    Lists and mappings stay text, which the chapter reads with :func:`from_yaml`.
    """
    text = text.strip()
    if text in ("None", "null", "~", ""):
        return None if text else ""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def from_yaml(text: str, example: str) -> Any:
    """Read a list or mapping; a backslash in quotes is one, as in Windows' paths. ``example`` is for the error."""
    try:
        return yaml.load(re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace("\\", "\\\\"), text), _Plain)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ValueError(f"{example} is expected, got {text!r}") from None
