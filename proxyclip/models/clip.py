"""DenseCLIP: an open_clip model, split into blocks that all rules share and a last block that each rule replaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from proxyclip.models.cpu_bfloat16 import faster_products
from proxyclip.models.positions import resize_positions
from proxyclip.models.proxy_readout import project, read_by_proxy
from proxyclip.rules import ClipRule, MaskingRule, Rule
from proxyclip.rules.block import BlockView
from proxyclip.system.finite import check_finite
from proxyclip.text import TextEmbeddings, Vocabulary


@dataclass(frozen=True)
class Trunk:
    """The output of CLIP's shared blocks, from which the rules go on.

    Parameters
    ----------
    states : tuple of (B, 1 + N, width)
        Inputs of the last ``len(states)`` blocks, in the order of the blocks.
    grid : (rows, columns)
        ``N = rows * columns`` patch tokens.
    views : tuple of BlockView
        The blocks that take all states but the last one, with the projections that were computed when they ran; built
        when none are given.
    """

    states: tuple[Tensor, ...]
    grid: tuple[int, int]
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
        self,
        model: CLIP,
        tokenizer: Callable[[list[str]], Tensor],
        mean: Sequence[float],
        std: Sequence[float],
        templates: Sequence[Callable[[str], str]],
        name: str = "clip",
    ) -> None:
        super().__init__()
        refuse_unreadable(model, name)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.templates = tuple(templates)
        self.name = name
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.source = "the given weights"  # for messages; whoever loads a file names it here
        self._text_cache: dict[str, Tensor] = {}

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.model.visual.patch_size[0]

    @property
    def embed_dim(self) -> int:
        """Width of the space shared by image and text."""
        return self.model.visual.output_dim

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1, (..., 3, H, W), to the model's normalisation, in the dtype of the pixels."""
        mean, std = (pixels.new_tensor(three)[:, None, None] for three in (self.mean, self.std))
        return (pixels - mean) / std

    def embed(self, pixels: Tensor, rules: Sequence[Rule], proxy: Tensor | None = None) -> list[Tensor]:
        """Unit embeddings of the patches under each rule: :meth:`trunk` and :meth:`readout`.

        The trunk runs once for all rules that resize positional embeddings in the same way.

        Parameters
        ----------
        pixels : (B, 3, H, W) float
            Normalised.
        rules, proxy
            As for :meth:`readout`.

        Returns
        -------
        list of (B, embed_dim, rows, columns) float, one per rule
        """
        return self.readout_of_trunks(self.trunks(pixels, rules), rules, proxy)

    def trunks(self, pixels: Tensor, rules: Sequence[Rule]) -> dict[str | None, Trunk]:
        """Run :meth:`trunk` as deep as the rules read, for each way in which they resize positional embeddings.

        Parameters
        ----------
        pixels : (B, 3, H, W) float
            Normalised.
        rules : sequence of Rule

        Returns
        -------
        dict of ``rule.positions`` to Trunk
            Ways that come to the same, as they all do where nothing has to be resized, share one trunk.
        """
        found: dict[str, Trunk] = {}
        grid = tuple(side // self.patch_size for side in pixels.shape[-2:])
        fits = grid == tuple(self.model.visual.grid_size)
        modes = {rule.positions: self.position_mode if fits or rule.positions is None else rule.positions
                 for rule in rules}
        for mode in dict.fromkeys(modes.values()):
            depth = max(rule.depth for rule in rules if modes[rule.positions] == mode)
            found[mode] = self.trunk(pixels, depth=depth, positions=mode)
        return {positions: found[mode] for positions, mode in modes.items()}

    def readout_of_trunks(
        self, trunks: Mapping[str | None, Trunk], rules: Sequence[Rule], proxy: Tensor | None = None
    ) -> list[Tensor]:
        """Read each rule from its own trunk with :meth:`readout`; rules that share a trunk are read together."""
        groups: dict[int, list[int]] = {}
        for number, rule in enumerate(rules):
            groups.setdefault(id(trunks[rule.positions]), []).append(number)
        embedded: dict[int, Tensor] = {}
        for numbers in groups.values():
            group = [rules[number] for number in numbers]
            embedded.update(zip(numbers, self.readout(trunks[group[0].positions], group, proxy), strict=True))
        return [embedded[number] for number in range(len(rules))]

    def trunk(self, pixels: Tensor, depth: int = 1, positions: str | None = None) -> Trunk:
        """Run all blocks but the last, which the rules share, and keep the inputs of the last ``depth`` blocks.

        Parameters
        ----------
        pixels : (B, 3, H, W) float
            Normalised; H and W at least one patch. Pixels beyond a whole number of patches are ignored.
        depth : int
            1 for rules that read the last block only.
        positions : str, optional
            How positional embeddings are resized; :attr:`position_mode` by default.
        """
        visual = self.model.visual
        patches = visual.conv1(pixels)
        grid = tuple(patches.shape[-2:])
        positions = resize_positions(visual.positional_embedding, visual.grid_size, grid, 1,
                                     positions or self.position_mode)
        class_token = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = visual.ln_pre(tokens + positions.to(patches.dtype))
        blocks = visual.transformer.resblocks
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
        """Unit embeddings of the patches under each rule.

        Parameters
        ----------
        trunk : Trunk
        rules : sequence of Rule
        proxy : (B, C, h, w) float or None
            Patch features of the vision foundation model. Masking rules need them and give embeddings on their grid.

        Returns
        -------
        list of (B, embed_dim, rows, columns) float, at least float32
            Unit vectors along dim 1; on the proxy's grid for masking rules, on CLIP's for the others.

        Raises
        ------
        ValueError
            If there are no proxy features for a masking rule, or a rule is of no known family.
        """
        blocks = self.model.visual.transformer.resblocks[-len(trunk.states) :]
        *earlier, last = zip(blocks, trunk.states, strict=True)
        block = BlockView(*last, trunk.views or tuple(BlockView(*one) for one in earlier), trunk.grid)
        masking = [rule for rule in rules if isinstance(rule, MaskingRule)]
        by_proxy = read_by_proxy(self.model.visual, block, proxy, masking)
        embeddings = []
        for rule in rules:
            if isinstance(rule, MaskingRule):
                embeddings.append(next(by_proxy))
            elif isinstance(rule, ClipRule):
                grid = tuple(rule.finer * side for side in trunk.grid)
                embeddings.append(self.project(rule.read(block), grid))
            else:
                raise ValueError(f"{rule!r} is not an attention rule")
        return embeddings

    def project(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """``ln_post``, visual projection, L2 normalisation: (B, N, width) -> (B, embed_dim, rows, columns)."""
        return project(self.model.visual, tokens, grid)

    def forget_queries(self) -> None:
        """Drop the embeddings that are kept, after the weights or the prompts have changed."""
        self._text_cache = {}

    def is_known(self, query: str) -> bool:
        """Whether the embedding of a query is kept."""
        return query in self._text_cache

    def encode_queries(self, queries: Sequence[str]) -> Tensor:
        """Unit text embedding of each query: the normalised mean of the normalised embeddings of its prompts.

        Embeddings are kept, so that a model encodes the prompts of a query once. The prompts of a query are a batch of
        their own: products of another shape round otherwise, so in a common batch an embedding would depend on the
        queries beside it, and so would labels where two classes tie.

        Returns
        -------
        (len(queries), embed_dim) float32

        Raises
        ------
        ValueError
            If an embedding is not finite.
        """
        for query in queries:
            if query not in self._text_cache:
                prompts = self.encode_text(self.tokenizer([template(query) for template in self.templates]))
                check_finite([prompts], self, "text embeddings")
                self._text_cache[query] = F.normalize(F.normalize(prompts, dim=-1).mean(dim=0), dim=-1)
        return torch.stack([self._text_cache[query] for query in queries])

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Run the text tower on tokens up to the end of the longest sentence.

        The tower is causal and a sentence is read at its end token, so the tokens behind it cannot change the result.

        Parameters
        ----------
        tokens : (n, context) int64

        Returns
        -------
        (n, embed_dim) float32, not normalised
        """
        model = self.model
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        tokens = tokens[:, :length].to(model.positional_embedding.device)
        dtype = model.transformer.get_cast_dtype()
        x = model.token_embedding(tokens).to(dtype) + model.positional_embedding[:length].to(dtype)
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
        x = model.ln_final(x[torch.arange(len(x)), ends])
        return (x @ model.text_projection).float()


def refuse_unreadable(model: nn.Module, name: str) -> None:
    """Raise a ValueError with the reason if ``model`` is of an architecture that the method cannot read."""
    visual = getattr(model, "visual", None)
    reason = None
    if not isinstance(model, CLIP) or not isinstance(visual, VisionTransformer):
        reason = "its image tower is not open_clip's Vision Transformer with a separate text tower"
    elif any(type(block) is not ResidualAttentionBlock for block in visual.transformer.resblocks):
        reason = "its blocks are not plain residual attention blocks"
    elif visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool or visual.proj is None:
        reason = "its image embedding is not the projected class token"
    elif model.text_pool_type != "argmax" or model.attn_mask is None or model.text_projection is None:
        reason = "its text tower is not causal and read at the end token"
    elif isinstance(model.text_projection, nn.Linear):
        reason = "its text projection has a bias"
    if reason:
        raise ValueError(f"{name} cannot be read densely: {reason}")


def encode_vocabulary(clip: DenseCLIP, classes: Sequence[str] | Vocabulary) -> TextEmbeddings:
    """Embed every query of a vocabulary with the model's prompts; see :meth:`DenseCLIP.encode_queries`."""
    vocabulary = Vocabulary.parse(classes)
    for query in dict.fromkeys(vocabulary.queries):
        if not clip.is_known(query) and is_cut(clip, query):
            warnings.warn(f"class {query!r} is too long: CLIP's text tower reads only the beginning of its prompts, so "
                          "classes that differ only at the end are the same to it", stacklevel=2)
    return TextEmbeddings(vocabulary, clip.encode_queries(vocabulary.queries))


def is_cut(clip: DenseCLIP, query: str) -> bool:
    """Whether the tokenizer cuts the longest prompt of a query: it fills the row, and its last letter is not read."""
    sentence = max(clip.templates, key=lambda template: len(template("")))(query)
    tokens = clip.tokenizer([sentence])
    return bool(tokens[0, -1] != 0) and torch.equal(tokens, clip.tokenizer([sentence[:-1]]))
