"""``python -m book``: run the chapters that changed and build the book."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from book.build import build_book
from book.checkout import BookError, Layout
from book.site.pdf import build_pdf
from proxyclip.supplement.chapters.notebooks import NotebookError, find_root


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``python -m book``; the last line printed is the path of the first page."""
    parser = argparse.ArgumentParser("python -m book", description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="letters or names of the chapters to run (default: all)")
    parser.add_argument("--force", action="store_true", help="run and build everything, changed or not")
    parser.add_argument("--pdf", action="store_true", help="print the whole book to a PDF as well (needs Chromium)")
    parser.add_argument("--profile", help="tiny (default) or paper: published weights, real benchmarks")
    parser.add_argument("--data", help="folder of the benchmarks, for the profile paper (default: $PROXYCLIP_DATA)")
    parser.add_argument("--device", help="where the models run, such as cuda")
    parser.add_argument("--limit", help="images per data set, or all (default: each notebook's own)")
    options = parser.parse_args(arguments)
    parameters = {name: getattr(options, name) for name in ("profile", "device") if getattr(options, name)}
    try:
        if options.data:
            parameters["data"] = str(Path(options.data).resolve())  # the notebooks run in another folder
        if options.limit:
            parameters["limit"] = None if options.limit == "all" else _positive(options.limit)
        index = build_book(force=options.force, only=options.chapters, parameters=parameters, pdf=options.pdf)
        if options.pdf:
            print(build_pdf(Layout(find_root())))
    except BrokenProcessPool:
        print("error: a process of the build was killed, perhaps for want of memory; the same command continues",
              file=sys.stderr)
        return 1
    except (BookError, NotebookError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    print(index.with_name("status.html"))
    print(index)
    return 0


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise BookError(f'limit must be a whole number of at least 1 or "all", got {text!r}')
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
