"""Vocabularies: the classes, and the queries that stand for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `proxyclip prepare` matches class names without waiting for torch
    from torch import Tensor


@dataclass(frozen=True)
class Vocabulary:
    """Classes and their queries."""

    names: tuple[str, ...]  #: One per class; the first query of the class.
    queries: tuple[str, ...]  #: All queries, grouped by class, in the order of the classes.
    class_of_query: tuple[int, ...]  #: Class of each query.

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def parse(cls, classes: Sequence[str] | Vocabulary) -> Vocabulary:
        """Read a list as the field writes it: one class per entry, its queries separated by ``"; "``.

        Raises
        ------
        ValueError
            If the list or an entry is empty, two classes have the same name, or a class repeats a query. A query may
            serve two classes (COCO-Object's background contains "bed", which is a class as well).
        """
        if isinstance(classes, Vocabulary):
            return classes
        if isinstance(classes, str):
            raise ValueError(f'classes must be a list such as ["sky; cloud", "horse"], got the string {classes!r}')
        grouped = [[" ".join(query.split()) for query in entry.split(";") if query.strip()] for entry in classes]
        if not grouped:
            raise ValueError("the class list is empty; give at least one class")
        names: dict[str, int] = {}
        for number, (entry, group) in enumerate(zip(classes, grouped, strict=True)):
            if not group:
                raise ValueError(f"class {number} is empty ({entry!r}); every class needs at least one query")
            if group[0] in names:
                raise ValueError(f"class {group[0]!r} occurs twice, as number {names[group[0]]} and as number {number}")
            if len(set(group)) < len(group):
                raise ValueError(f"class {number} repeats a query ({entry!r})")
            names[group[0]] = number
        owners = tuple(number for number, group in enumerate(grouped) for _ in group)
        return cls(tuple(names), tuple(query for group in grouped for query in group), owners)

    def plain(self) -> list[str]:
        """Return the list that :meth:`parse` reads."""
        groups: list[list[str]] = [[] for _ in self.names]
        for query, owner in zip(self.queries, self.class_of_query, strict=True):
            groups[owner].append(query)
        return ["; ".join(group) for group in groups]


@dataclass(frozen=True)
class TextEmbeddings:
    """A vocabulary with the unit text embedding of each query."""

    vocabulary: Vocabulary
    embeddings: Tensor  #: (Q, D) float32, unit rows


#: What the methods of a model take for a class list.
Classes = Sequence[str] | Vocabulary | TextEmbeddings
