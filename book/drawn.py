"""Parts of the written pages that are made from the package and its weights alone, while chapters run beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from book.checkout import Layout, installed_parts, is_current, package_files
from book.pages.rendering import write_fragments
from book.running import Job
from book.stamps import Stamp, content_key

#: The clone that holds this module.
PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Drawing:
    """Pictures that are kept while the package and their own sources are the same."""

    label: str
    #: Each has a function ``fragments`` that returns HTML by the name of its file. They load models, so they are
    #: imported by the process that draws.
    modules: tuple[str, ...]
    sources: tuple[str, ...]  #: Files and folders of the clone from which they are made, besides the package.

    def key(self) -> str:
        """Hash of everything that the pictures depend on."""
        return content_key(PROJECT, [*package_files(PROJECT), *(PROJECT / source for source in self.sources)],
                           installed=installed_parts())

    def stamp(self, layout: Layout) -> Stamp:
        """Says from what the pictures of a build were made."""
        return Stamp(layout.build / "stamps" / f"{self.label}.json")

    def draw(self, layout: Layout) -> None:
        """Make the pictures."""
        made = {name: part for module in self.modules for name, part in import_module(module).fragments().items()}
        write_fragments(layout.generated, made)
        self.stamp(layout).write(self.key(), [layout.generated / f"{name}.html" for name in made])


DRAWINGS = (
    Drawing("explorers", ("book.pages.explorer_pages",), ("book/pages/explorer_pages.py", "proxyclip/explorer")),
    Drawing("pictures", ("book.drawings.walkthrough", "book.pages.tiny_pictures", "book.pages.field_since"),
            ("book/drawings", "book/pages/tiny_pictures.py", "book/pages/field_since.py", "book/published.csv",
             "book/pages/templates")),
)


def _diagnose(layout: Layout, page: Path) -> None:
    from book.pages.protocol_pages import save_diagnosis  # it loads models

    save_diagnosis(layout, page)


def jobs(layout: Layout, force: bool = False) -> Iterator[Job]:
    """What has to be made for the written pages, changed or with ``force`` all: the diagnosis, and drawings."""
    page = layout.sources / "what_moves_the_number.md"
    if force or not is_current(layout, page):
        yield Job("diagnosis", partial(_diagnose, layout, page))
    for drawing in DRAWINGS:
        if force or not drawing.stamp(layout).fits(drawing.key()):
            yield Job(drawing.label, partial(drawing.draw, layout))
