"""The style sheet of the figures' colours: ``python -m book.drawings.palette_sheet > book/_static/palette.css``."""

from __future__ import annotations

from collections.abc import Iterable

from proxyclip.supplement.figures.palette import css_variables


def style_sheet() -> str:
    """CSS that gives every variable its value on light pages, on dark ones, and on paper."""
    pairs = css_variables().items()

    def block(selector: str, values: Iterable[tuple[str, str]]) -> str:
        return f"{selector} {{\n" + "".join(f"  {name}: {value};\n" for name, value in values) + "}\n"

    light = [(name, pair[0]) for name, pair in pairs]
    dark = [(name, pair[1]) for name, pair in pairs]
    head = "`python -m book.drawings.palette_sheet`; the tables are in proxyclip/supplement/figures/palette.toml"
    return (f"/* Written by {head}. */\n\n" + block(":root", light) + "\n" + block('html[data-theme="dark"]', dark)
            + "\n@media print {\n" + block('html[data-theme]', light) + "}\n")


if __name__ == "__main__":
    print(style_sheet(), end="")
