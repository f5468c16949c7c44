"""The mark of a verdict on a page, readable without its colour."""

from markupsafe import Markup

from proxyclip.supplement.records import Status

#: Sign of a verdict, and the class of the page's style that colours it.
MARKS: dict[Status, tuple[str, str]] = {
    "holds": ("✓", "verdict-holds"), "does not hold": ("✗", "verdict-fails"),
    "not run": ("–", "verdict-open"),
}


def badge(status: Status, words: str = "") -> Markup:
    """A verdict as a mark with its words, by default those of its status."""
    mark, name = MARKS[status]
    return Markup('<span class="verdict {}">{}\u00a0{}</span>').format(name, mark, words or status)
