"""DenseCLIP: an open_clip model, split into blocks that all rules share and a last block that each rule replaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from proxyclip.attention import sides
from proxyclip.models.cpu_bfloat16 import faster_products
from proxyclip.models.positions import resize_positions
from proxyclip.rules import ClipRule, MaskingRule, Rule
from proxyclip.rules.block import (
    BlockView,
    image_blocks,
    image_head,
    image_tokens,
    patch_side,
    refuse_unreadable,
    text_features,
    tower_widths,
    trained_grid,
)
from proxyclip.rules.proxy_readout import project, read_by_proxy
from proxyclip.system.finite import check_finite
from proxyclip.system.recent import Recent
from proxyclip.text import TextEmbeddings, Vocabulary


@dataclass(frozen=True)
class Trunk:
    """The output of CLIP's shared blocks, from which the rules go on."""

    states: tuple[Tensor, ...]  #: Inputs of the last ``len(states)`` blocks, in the order of the blocks.
    grid: tuple[int, int]  #: (rows, columns): ``N = rows * columns`` patch tokens.
    #: The blocks that take all states but the last one, with the projections that were computed when they ran.
    views: tuple[BlockView, ...] = ()


class DenseCLIP(nn.Module):
    """An open_clip model that yields an embedding per patch, under any rule.

    Parameters
    ----------
    model : open_clip.model.CLIP
        With a Vision Transformer of plain residual attention blocks and a causal text tower.
    tokenizer : callable
        ``list[str] -> (n, context) int64``.
    mean, std : sequences of three floats
        Normalisation of the pixels (in 0..1) that the model was trained with.
    templates : sequence of callables
        Prompts: each turns a query into a sentence.
    name : str
        Architecture and weights, for provenance.

    Raises
    ------
    ValueError
        If the method cannot read this architecture; the sentence says why.
    """

    #: How positional embeddings are resized, a mode of :func:`proxyclip.models.positions.resize_positions`.
    position_mode = "bicubic-offset"

    def __init__(
        self, model: CLIP, tokenizer: Callable[[list[str]], Tensor], mean: Sequence[float], std: Sequence[float],
        templates: Sequence[Callable[[str], str]], name: str = "clip",
    ) -> None:
        super().__init__()
        refuse_unreadable(model, name)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.templates, self.name = tokenizer, tuple(templates), name
        self.mean, self.std = tuple(mean), tuple(std)
        self.source = "the given weights"  # for messages; whoever loads a file names it here
        self._text_cache: dict[tuple[str, ...], Tensor] = {}
        self.recent = Recent[Trunk]()

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return patch_side(self.model)

    @property
    def embed_dim(self) -> int:
        """Width of the space shared by image and text."""
        return tower_widths(self.model)[1]

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1, (..., 3, H, W), to the model's normalisation, in the dtype of the pixels."""
        mean, std = (pixels.new_tensor(three)[:, None, None] for three in (self.mean, self.std))
        return (pixels - mean) / std

    def embed(self, pixels: Tensor, rules: Sequence[Rule], proxy: Tensor | None = None) -> list[Tensor]:
        """Unit embeddings of the patches under each rule: :meth:`trunk` and :meth:`readout`, whose arguments these are.

        The trunk runs once, as deep as the rules read, for all rules that resize positional embeddings in the same way,
        and for all rules where nothing has to be resized.
        """
        height, width = sides(pixels)
        fits = (height // self.patch_size, width // self.patch_size) == trained_grid(self.model)
        sharing: dict[str, list[int]] = {}
        for number, rule in enumerate(rules):
            mode = self.position_mode if fits or rule.positions is None else rule.positions
            sharing.setdefault(mode, []).append(number)
        found: dict[int, Tensor] = {}
        for mode, numbers in sharing.items():
            chosen = [rules[number] for number in numbers]
            depth = max(rule.depth for rule in chosen)
            trunk = self.recent.of(pixels, depth, mode, compute=partial(self.trunk, pixels, depth, mode))
            found.update(zip(numbers, self.readout(trunk, chosen, proxy), strict=True))
        return [found[number] for number in range(len(rules))]

    def trunk(self, pixels: Tensor, depth: int = 1, positions: str | None = None) -> Trunk:
        """Run all blocks but the last, which the rules share, and keep the inputs of the last ``depth`` blocks.

        The pixels, (B, 3, H, W) float, are normalised, H and W at least one patch; those beyond a whole number of
        patches are ignored. ``positions`` is how positional embeddings are resized, by default :attr:`position_mode`.
        """
        def resized(table: Tensor, grid: tuple[int, int]) -> Tensor:
            return resize_positions(table, trained_grid(self.model), grid, 1, positions or self.position_mode)

        tokens, grid = image_tokens(self.model, pixels, resized)
        blocks = image_blocks(self.model)
        if depth > len(blocks):
            raise ValueError(f"the rule reads the last {depth} blocks, {self.name} has {len(blocks)}")
        views = []
        for index, block in enumerate(blocks[:-1]):
            view = BlockView(block, tokens)
            if index >= len(blocks) - depth:
                views.append(view)
            with faster_products(tokens.dtype, tokens.device):
                tokens = view.forward()
        return Trunk((*(view.tokens for view in views), tokens), grid, tuple(views))

    def readout(self, trunk: Trunk, rules: Sequence[Rule], proxy: Tensor | None = None) -> list[Tensor]:
        """Unit embeddings of the patches under each rule, (B, embed_dim, rows, columns), float32 at least.

        ``proxy`` are the patch features of the vision foundation model, (B, C, h, w) float, which masking rules need.
        Their embeddings are on its grid, those of the other rules on CLIP's.
        """
        block = BlockView(image_blocks(self.model)[-1], trunk.states[-1], trunk.views, trunk.grid)
        masking = [rule for rule in rules if isinstance(rule, MaskingRule)]
        by_proxy = read_by_proxy(image_head(self.model), block, proxy, masking)
        embeddings = []
        for rule in rules:
            if isinstance(rule, MaskingRule):
                embeddings.append(next(by_proxy))
            elif isinstance(rule, ClipRule):
                rows, columns = trunk.grid
                embeddings.append(self.project(rule.read(block), (rule.finer * rows, rule.finer * columns)))
            else:
                raise ValueError(f"{rule!r} is not an attention rule")
        return embeddings

    def project(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """``ln_post``, visual projection, L2 normalisation: (B, N, width) -> (B, embed_dim, rows, columns)."""
        return project(image_head(self.model), tokens, grid)

    def forget_queries(self) -> None:
        """Drop the embeddings that are kept, after the weights have changed."""
        self._text_cache = {}

    def encode_queries(self, queries: Sequence[str]) -> Tensor:
        """Unit text embedding of each query, (len(queries), embed_dim) float32.

        It is the normalised mean of the normalised embeddings of the query's prompts. Embeddings are kept, so that a
        model encodes the same prompts once. The prompts of a query are a batch of their own: products of another
        shape round otherwise, so in a common batch an embedding would depend on the queries beside it, and so would
        labels where two classes tie. Warns of a query that the text tower does not read to its end.
        """
        every = [tuple(template(query) for template in self.templates) for query in queries]
        for query, prompts in zip(queries, every, strict=True):
            if prompts not in self._text_cache:
                if self._is_cut(max(prompts, key=len)):
                    warnings.warn(f"class {query!r} is too long: CLIP's text tower reads only the beginning of its "
                                  "prompts, so classes that differ only at the end are the same to it", stacklevel=4)
                embeddings = self.encode_text(self.tokenizer(list(prompts)))
                check_finite([embeddings], self, "text embeddings")
                self._text_cache[prompts] = F.normalize(F.normalize(embeddings, dim=-1).mean(dim=0), dim=-1)
        return torch.stack([self._text_cache[prompts] for prompts in every])

    def _is_cut(self, sentence: str) -> bool:
        """Whether the tokenizer cuts a sentence: it fills the row, and its last letter is not read."""
        tokens = self.tokenizer([sentence])
        return bool(tokens[0, -1] != 0) and torch.equal(tokens, self.tokenizer([sentence[:-1]]))

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embed sentences: tokens (n, context) int64 -> (n, embed_dim) float32, not normalised."""
        return text_features(self.model, tokens)


def encode_vocabulary(clip: DenseCLIP, classes: Sequence[str] | Vocabulary) -> TextEmbeddings:
    """Embed every query of a vocabulary with the model's prompts; see :meth:`DenseCLIP.encode_queries`."""
    vocabulary = Vocabulary.parse(classes)
    return TextEmbeddings(vocabulary, clip.encode_queries(vocabulary.queries))
