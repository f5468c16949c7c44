"""Words of the tiny world: the vocabulary, the tokenizer and the prompt templates."""

import re
import warnings

import torch
from torch import Tensor

from proxyclip.tiny.world.classes import CLASSES, COLOURS, LISTS, PATTERNS

CONTEXT_LENGTH = 20

TEMPLATES = LISTS["templates"]
#: Every word that the tokenizer knows, in the order of the ids. Id 0 is padding, 1 the start token; the end token has
#: the largest, since CLIP pools at the argmax.
WORDS: tuple[str, ...] = (*LISTS["grammar"], *CLASSES, *COLOURS, *PATTERNS)


class Tokenizer:
    """A word-level tokenizer, called as open_clip's are: a text, or a list of them, in."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {word: i + 2 for i, word in enumerate(WORDS)}
        self.sot_token_id = 1
        self.eot_token_id = len(WORDS) + 2
        self.vocab_size = len(WORDS) + 3
        self._unknown: set[str] = set()

    def encode(self, text: str) -> list[int]:
        """Ids of the words of ``text``, without start and end.

        A word that training never showed is read as a blank (the padding id), with one warning for each such word.
        """
        words = re.findall(r"[^\s,.;:!?]+", text.lower())
        for word in words:
            if word not in self.ids and word not in self._unknown:
                self._unknown.add(word)
                known = ", ".join((*CLASSES, *COLOURS, *PATTERNS))
                message = f'the tiny CLIP was never taught "{word}" and reads a blank; it knows {known}'
                warnings.warn(message, stacklevel=2)
        return [self.ids.get(word, 0) for word in words]

    def __call__(self, texts: str | list[str]) -> Tensor:
        """Encode texts, (n, CONTEXT_LENGTH) int64, padded with 0; ``ValueError`` for a text that is too long."""
        texts = [texts] if isinstance(texts, str) else texts
        rows = torch.zeros(len(texts), CONTEXT_LENGTH, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.sot_token_id, *self.encode(text), self.eot_token_id]
            if len(ids) > CONTEXT_LENGTH:
                raise ValueError(f'"{text}" has {len(ids) - 2} words; the tiny CLIP reads at most {CONTEXT_LENGTH - 2}')
            row[: len(ids)] = torch.tensor(ids)
        return rows
