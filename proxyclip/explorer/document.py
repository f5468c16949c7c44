"""Explorers as HTML: a self-contained page, a frame in a notebook, or a part of a page of the book."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from urllib.parse import urlencode

from proxyclip.explorer.assets import ASSETS
from proxyclip.explorer.export import Scene
from proxyclip.rules import Adaptive, ClipAttention, HardMask, Identity, Rule
from proxyclip.system.atomic import write_text

#: Height of the frame in a notebook until the page has measured itself, pixels.
FRAME_HEIGHT = 1100

WITHOUT_SCRIPT = ("This figure is interactive: it shows how one patch attends to all others, and how the labels of the "
                  "whole image change with the threshold. It needs JavaScript.")


def fragment(scenes: Sequence[Scene], state: Mapping[str, object] | None = None) -> str:
    """An explorer as a part of a page that loads ``explorer.js`` and ``explorer.css`` itself, as HTML.

    The scenes are those of :func:`proxyclip.explorer.export.export_scene`. The initial state has the keys ``scene, vfm,
    rule, beta, gamma, alpha, x, y``, as in the address ``#explorer?rule=hard&alpha=0.4``.
    """
    if not scenes:
        raise ValueError("an explorer needs at least one scene")
    data = json.dumps({"scenes": list(scenes), "state": dict(state or {})}, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # "</script>" inside a script would end it
    first = scenes[0]
    title = html.escape(str(first["title"]) or "the image")
    still = f'<img class="pce-still" src="{first["image"]}" alt="{title}">'
    return ('<div class="pce" id="explorer" data-explorer="explorer">'
            f"<noscript>{still}<p>{WITHOUT_SCRIPT}</p></noscript></div>"
            f'<script type="application/json" id="explorer-data">{data}</script>')


@dataclass(frozen=True)
class Explorer:
    """A page that shows the attention on an image without loading the models; notebooks display it."""

    scenes: list[Scene]  #: As :func:`proxyclip.explorer.export.export_scene` makes them.
    title: str = "Attention explorer"  #: Title of the page.
    state: Mapping[str, object] = field(default_factory=dict)  #: The initial state, see :func:`fragment`.

    @property
    def html(self) -> str:
        """The whole page: one file that loads nothing else, neither from a network nor from the disk."""
        style, script = ((ASSETS / f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
        title, figure = html.escape(self.title), fragment(self.scenes, state=self.state)
        return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f'<link rel="icon" href="data:,">\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n'
                f'<body class="pce-page">\n<main>\n<h1>{title}</h1>\n{figure}\n</main>\n'
                f"<script>\n{script}</script>\n</body>\n</html>\n")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page, atomically; its name ends in .html or .htm."""
        path = Path(path)
        if not path.parent.is_dir():
            raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist")
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"cannot write {path}: an explorer is a page, its name ends in .html")
        write_text(path, self.html)
        return path

    def _repr_html_(self) -> str:
        grow = ("const frame=this,page=this.contentDocument,"
                "fit=()=>{frame.style.height=page.documentElement.offsetHeight+'px'};"
                "fit();new this.contentWindow.ResizeObserver(fit).observe(page.body)")
        return (f'<iframe title="{html.escape(self.title)}" srcdoc="{html.escape(self.html)}" onload="{grow}" '
                f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>')


def state_of(rule: Rule) -> dict[str, object]:
    """The initial state of an explorer for a rule; ``ValueError`` if the explorer does not offer the rule."""
    if isinstance(rule, Adaptive):
        return {"rule": "adaptive", "beta": rule.beta, "gamma": rule.gamma}
    if isinstance(rule, HardMask):
        return {"rule": "hard", "alpha": rule.alpha}
    if isinstance(rule, Identity):
        return {"rule": "identity"}
    if (isinstance(rule, ClipAttention) and (rule.heads, rule.measure) == ("joined", "cosine")
            and isinstance(rule.masking, Adaptive)):
        return {**state_of(rule.masking), "rule": rule.kind}
    raise ValueError(f"the explorer does not offer the rule {rule.name}; it offers adaptive, hard:ALPHA, identity, qk, "
                     "qq and kk")


@dataclass(frozen=True)
class ExplorerLink:
    """A link to the explorer on the page *The method*, in a given state."""

    text: str
    state: Mapping[str, object]  #: See :func:`fragment`.

    @property
    def address(self) -> str:
        """Address relative to the page of a chapter."""
        return f"../method.html#explorer?{urlencode(self.state)}"

    def _repr_html_(self) -> str:
        return f'<p><a class="reference internal" href="{html.escape(self.address)}">{html.escape(self.text)}</a></p>'
