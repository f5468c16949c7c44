"""The generated parts of pages: made from templates that escape every value, and written where they changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proxyclip.system.atomic import write_text

#: Values are escaped unless they are HTML already (:class:`markupsafe.Markup`); a missing one is an error.
TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
                        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(template: str, **values: Any) -> Markup:
    """Fill a template of ``book/templates`` by its name without suffix."""
    return Markup(TEMPLATES.get_template(f"{template}.html").render(values))


def paragraph(text: str) -> Markup:
    """A sentence or several as a paragraph."""
    return Markup("<p>{}</p>").format(text)


def shown(figure: Any) -> Markup:
    """A figure or table as a notebook would show it; what draws it escapes its words."""
    return Markup(figure._repr_html_())


def write_fragments(folder: Path, fragments: Mapping[str, Markup]) -> None:
    """Write generated parts of pages, HTML by the name of its file without suffix, where they changed.

    A ``TypeError`` refuses plain text, of which nobody knows whether it was escaped.
    """
    for name, content in fragments.items():
        if not isinstance(content, Markup):
            raise TypeError(f"the generated part {name} is {type(content).__name__}; make it with a template or Markup")
        path = folder / f"{name}.html"
        if not path.is_file() or path.read_text(encoding="utf-8") != content + "\n":
            write_text(path, content + "\n")
