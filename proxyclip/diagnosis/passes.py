"""Evaluate one image under many configurations; whatever they share is computed once."""

from collections.abc import Callable, Hashable, Sequence
from copy import copy
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.attention import masked_attention, mean_similarity, sides, unit
from proxyclip.diagnosis.settings import Configuration
from proxyclip.diagnosis.variants import Variants
from proxyclip.inference.embedding import DenseEmbedding, join
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.windows import PreparedImage, cut_windows, prepare_image, window_boxes
from proxyclip.models import timm_models
from proxyclip.models.clip import DenseCLIP, Trunk
from proxyclip.models.vfm import VFM
from proxyclip.rules import MaskingRule, Rule
from proxyclip.rules.block import BlockView, image_blocks, trained_grid
from proxyclip.system.recent import Recent

Value = TypeVar("Value")


class Passes:
    """The backbones' passes over one image, (H, W, 3) uint8, under one rule.

    The model of ``variants`` has the windows and the resizing of the set's protocol. The attribute ``windows`` counts
    the windows that went through CLIP or the VFM so far.
    """

    def __init__(self, variants: Variants, rule: Rule, image: np.ndarray) -> None:
        self.variants, self.model, self.rule, self.image = variants, variants.model, rule, image
        self.windows = 0
        self._kept: dict[Hashable, Any] = {}

    def labels(self, configuration: Configuration, threshold: float | None) -> Tensor:
        """Labels of the image, (H, W) int64."""
        embedding, text = self._embedding(configuration), self.variants.text(configuration)
        if configuration.scale == "card":
            return labels_from_embedding(embedding, text, threshold)
        probabilities = (float(configuration.scale) * embedding.logits(text.embeddings)).softmax(dim=0)
        best, query = probabilities.max(dim=0)
        owners = torch.tensor(text.vocabulary.class_of_query, device=query.device)
        return owners[query] if threshold is None else owners[query].masked_fill(best < threshold, 0)

    def _once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def _working(self, resize: str) -> PreparedImage:
        model = self.model
        return self._once(("working", resize), lambda: prepare_image(
            torch.tensor(self.image).to(model.device), model.window, model.stride, model.short_side,
            model.pad_multiple, resize == "antialias", model.long_side))

    def _embedding(self, configuration: Configuration) -> DenseEmbedding:
        prepared = self._working(configuration.resize)
        clip_key, vfm_key = self._keys(configuration)
        key = (clip_key, vfm_key, configuration.feature, configuration.readout)

        def compute() -> Tensor:
            trunks = self._once(("clip", clip_key), lambda: self._trunks(configuration, clip_key[-1]))
            proxies: Sequence[Tensor | None] = [None] * len(trunks)
            if vfm_key is not None:
                both = self._once(("vfm", vfm_key), lambda: self._features(configuration))
                proxies = [pair[configuration.feature == "keys"] for pair in both]
            clip = self.variants.clip(configuration)
            pairs = zip(trunks, proxies, strict=True)
            if configuration.readout == "block":
                return join([_kept_block(clip, trunk, self.rule, proxy) for trunk, proxy in pairs])
            return join([clip.readout(trunk, [self.rule], proxy)[0] for trunk, proxy in pairs])

        windows = self._once(("embedding", key), compute)
        if configuration.stride == "none":
            # the largest multiple of the stride that leaves no gap, since its windows are already computed
            wide = self.model.window // self.model.stride * self.model.stride
            chosen = window_boxes(*prepared.working_size, crop=self.model.window, stride=wide)
            windows = windows[[prepared.boxes.index(box) for box in chosen]]
            prepared = prepared._replace(boxes=chosen)
        return DenseEmbedding.of([windows], prepared)

    def _keys(self, configuration: Configuration) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        """Keys of the passes of CLIP and of the VFM; a setting without effect on this image shares a pass."""
        _, _, boxes, padding = self._working(configuration.resize)
        side = (boxes[0].bottom - boxes[0].top + padding.top + padding.bottom,
                boxes[0].right - boxes[0].left + padding.left + padding.right)
        clip = self.model.clip
        mode = self.rule.positions or clip.position_mode
        if configuration.positions == "other":
            mode = "bicubic-antialias" if mode != "bicubic-antialias" else "bicubic-offset"
        if tuple(length // clip.patch_size for length in side) == trained_grid(clip.model):
            mode = clip.position_mode  # nothing is resized
        black = configuration.padding if any(padding) else "after"
        both = (configuration.resize, configuration.precision, configuration.channels)
        clip_key = (*both, configuration.activation, configuration.clip_input, mode)
        vfm_key = (*both, configuration.vfm_input, configuration.enlarged, black)
        return clip_key, vfm_key if isinstance(self.rule, MaskingRule) else None

    def _trunks(self, configuration: Configuration, mode: str) -> list[Trunk]:
        _, pixels, boxes, padding = self._working(configuration.resize)
        clip = self.variants.clip(configuration)
        pixels = normalized(clip, self.model.vfm, in_order(pixels, configuration), configuration.clip_input)
        pixels = pixels.to(self.variants.dtype(configuration))
        self.windows += len(boxes)
        return [clip.trunk(cut_windows(pixels, batch, padding), self.rule.depth, mode)
                for batch in self.model.batches(boxes)]

    def _features(self, configuration: Configuration) -> list[tuple[Tensor, Tensor | None]]:
        """Last-layer features and the keys of the last attention, from the same pass."""
        _, pixels, boxes, padding = self._working(configuration.resize)
        vfm, how = self.variants.vfm(configuration), configuration.vfm_input
        assert vfm is not None  # the rule reads one
        dtype, pixels = self.variants.dtype(configuration), in_order(pixels, configuration)
        self.windows += len(boxes)
        found = []
        for batch in self.model.batches(boxes):
            if configuration.padding == "before":
                windows = normalized(vfm, self.model.clip, cut_windows(pixels, batch, padding), how).to(dtype)
            else:
                windows = cut_windows(normalized(vfm, self.model.clip, pixels, how).to(dtype), batch, padding)
            if configuration.enlarged == "twice":
                windows = F.interpolate(windows, scale_factor=2, mode="bilinear", align_corners=False)
            found.append(features_and_keys(vfm, windows))
        return found


def in_order(pixels: Tensor, configuration: Configuration) -> Tensor:
    """The pixels, (..., 3, H, W), with the channels in the order of the configuration."""
    return pixels.flip(-3) if configuration.channels == "bgr" else pixels


def normalized(network: DenseCLIP | VFM, other: DenseCLIP | VFM | None, pixels: Tensor, how: str) -> Tensor:
    """Pixels as a network sees them: with its own mean and deviation, the other network's, none, or its own twice."""
    if how == "none":
        return pixels
    if how == "other":
        assert other is not None
        return other.normalize(pixels)
    once = network.normalize(pixels)
    return network.normalize(once) if how == "twice" else once


def _kept_block(clip: DenseCLIP, trunk: Trunk, rule: Rule, proxy: Tensor | None) -> Tensor:
    """The proxy's attention inside CLIP's last block, with residual connection and MLP, on the proxy's grid."""
    assert isinstance(rule, MaskingRule) and proxy is not None, "the setting is left out otherwise"
    size = sides(proxy)
    block = BlockView(image_blocks(clip.model)[-1], trunk.states[-1])
    features = unit(proxy.flatten(2).transpose(1, 2))

    def enlarge(tokens: Tensor) -> Tensor:
        tokens = tokens.transpose(1, 2).unflatten(-1, trunk.grid)
        return F.interpolate(tokens, size, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)

    pair = rule.scale_and_threshold(mean_similarity(features, features))
    (attended,) = masked_attention(features, features, enlarge(block.patch_values), [pair])
    return clip.project(block.add_residual(enlarge(trunk.states[-1][:, 1:]), attended), size)


def features_and_keys(vfm: VFM, windows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Patch features of a batch, and the keys of the last block's attention on the same grid; None without blocks."""
    projection = timm_models.last_projection(vfm.backbone)
    if projection is None:
        return vfm.features(windows), None
    vfm = copy(vfm)
    vfm.recent = Recent()  # kept features would not pass the projection
    seen: list[Tensor] = []
    hook = projection.register_forward_hook(lambda *given: seen.append(given[-1]))
    try:
        features = vfm.features(windows)
    finally:
        hook.remove()
    keys = seen[0].chunk(3, dim=-1)[1]
    if keys.ndim == 4:  # SAM keeps its tokens on the grid
        return features, keys.permute(0, 3, 1, 2)
    grid = sides(features)
    return features, keys[:, -grid[0] * grid[1] :].transpose(1, 2).unflatten(-1, grid)
