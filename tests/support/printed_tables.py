"""The rows of Tables 1 to 4, copied from the supplement, apart from the package."""

from pathlib import Path

PRINTED = (Path(__file__).parent / "printed_tables.txt").read_text(encoding="utf-8")


def printed(number: int) -> list[list[str]]:
    """The cells of a table's rows."""
    rows = PRINTED.split(f"# Table {number}\n")[1].split("#")[0].splitlines()
    return [row.split("\t") for row in rows]
