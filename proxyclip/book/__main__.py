"""``python -m proxyclip.book``: run the chapters that changed and build the book."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from proxyclip.book.build import build_book
from proxyclip.book.checkout import BookError, Layout, find_root
from proxyclip.book.finish import build_pdf


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``python -m proxyclip.book``; the last line printed is the path of the first page."""
    parser = argparse.ArgumentParser("python -m proxyclip.book", description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="letters or names of the chapters to run (default: all)")
    parser.add_argument("--force", action="store_true", help="run and build everything, changed or not")
    parser.add_argument("--pdf", action="store_true", help="print the whole book to a PDF as well (needs Chromium)")
    options = parser.parse_args(arguments)
    try:
        index = build_book(force=options.force, only=options.chapters)
        if options.pdf:
            print(build_pdf(Layout(find_root())))
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    print(index)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
