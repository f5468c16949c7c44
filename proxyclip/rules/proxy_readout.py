"""CLIP's last block under the masking rules: its values, averaged with the similarities of a foundation model."""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.attention import full_precision, masked_attention, mean_similarity, sides, unit
from proxyclip.rules.block import BlockView
from proxyclip.rules.masking import Identity, MaskingRule

#: The last normalisation and the projection of CLIP's image tower.
Head = tuple[nn.LayerNorm, Tensor]


def read_by_proxy(head: Head, block: BlockView, proxy: Tensor | None, rules: Sequence[MaskingRule]) -> Iterator[Tensor]:
    """Read CLIP's last block with the masked similarities of a foundation model, once for each rule.

    ``block`` is the last block with its input, ``proxy`` the patch features of the foundation model, (B, C, h, w)
    float; without them the first embedding raises ``ValueError``. Yields the embeddings under each rule on the proxy's
    grid, (B, embed_dim, h, w) float32, L2-normalised.
    """
    if proxy is None:
        raise ValueError(f"rule {rules[0].name} reads a vision foundation model, and none is loaded; pass vfm=NAME")
    values, grid, size = block.patch_values, block.grid, sides(proxy)
    if proxy.device.type == "cpu":  # a small part of the work there; a GPU sums halves in float32 anyway
        proxy, values = full_precision(proxy), full_precision(values)
    features = unit(proxy.flatten(2).transpose(1, 2))
    mean = mean_similarity(features, features)
    pairs = [rule.scale_and_threshold(mean) for rule in rules if not isinstance(rule, Identity)]
    count, width = values.shape[1:]
    by_shares = size != grid and count < width
    averaged = values
    if by_shares:
        # Resizing values and averaging them are both linear: averaging the weights with which each of CLIP's patches
        # enters, and taking the values last, gives the same from fewer columns.
        patches = torch.eye(count, dtype=values.dtype, device=values.device).unflatten(-1, grid)[None]
        averaged = F.interpolate(patches, size, mode="bilinear", align_corners=False)[0].flatten(1).T
    elif size != grid:
        maps = values.transpose(1, 2).unflatten(-1, grid)
        averaged = F.interpolate(maps, size, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
    results = iter(masked_attention(features, features, averaged, pairs) if pairs else ())
    of_rules = (averaged if isinstance(rule, Identity) else next(results) for rule in rules)
    if by_shares:
        yield from _project_shares(head, of_rules, values, size)
    else:
        yield from (project(head, attended, size) for attended in of_rules)


def _project_shares(head: Head, shares: Iterable[Tensor], values: Tensor, grid: tuple[int, int]) -> Iterator[Tensor]:
    """:func:`project` of ``share @ values`` for many shares of the same values, without the products.

    ``ln_post`` is affine but for its division by the standard deviation, and the embedding is normalised in the end. So
    the values, (B, n, width), are centred and projected once; only the variance is left to each rule, a quadratic form
    in the shares. These are (B, N, n), or (N, n) for all images, with rows that sum to one.
    """
    norm, projection = head[0], full_precision(head[1])
    centred = full_precision(values)
    centred = centred - centred.mean(dim=-1, keepdim=True)
    projected = centred @ (full_precision(norm.weight)[:, None] * projection)
    covariance = centred @ centred.mT / centred.shape[-1]
    offset = full_precision(norm.bias) @ projection
    for share in map(full_precision, shares):
        variance = ((share @ covariance) * share).sum(dim=-1, keepdim=True)
        deviation = variance.clamp_min(0).add_(norm.eps).sqrt_()
        embeddings = (share @ projected).addcmul_(deviation, offset)
        length = torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True).clamp_min_(1e-12)
        yield embeddings.div_(length).transpose(1, 2).unflatten(-1, grid)


def project(head: Head, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """``ln_post``, visual projection, L2 normalisation: (B, N, width) -> (B, embed_dim, rows, columns)."""
    norm, projection = head
    embeddings = F.normalize(full_precision(norm(tokens.to(projection.dtype)) @ projection), dim=-1)
    return embeddings.transpose(1, 2).unflatten(-1, grid)
