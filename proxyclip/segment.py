"""ProxyCLIP: an image and words in, logits and labels out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding, join
from proxyclip.inference.images import ImageLike, read_image
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.segmentation import Segmentation
from proxyclip.inference.windows import Box, Padding, cut_windows, window_boxes, window_padding, working_size
from proxyclip.models.clip import DenseCLIP, encode_vocabulary
from proxyclip.models.vfm import VFM
from proxyclip.rules import Adaptive, MaskingRule, Rule
from proxyclip.text import TextEmbeddings, Vocabulary

#: Input pixels of one batch of windows. On a GPU 9 windows of 336 x 336, one of 1024 x 1024. On a CPU one of 336 x 336,
#: 9 of 64 x 64: what a larger batch leaves between two layers no longer stays in the cache.
BATCH_PIXELS = {"cpu": 40_000, "cuda": 1_048_576}

Classes = Sequence[str] | Vocabulary | TextEmbeddings


@dataclass
class ProxyCLIP:
    """CLIP with the attention of its last block replaced.

    Build it with :func:`proxyclip.load`.

    Parameters
    ----------
    clip : DenseCLIP
    vfm : VFM or None
        None leaves the rules that read CLIP alone.
    window, stride : int
        Side and step of the sliding window, pixels.
    short_side : int or None
        The image's short side is resized to this first (bilinear, long side at most 2048); None keeps the size.
    pad_multiple : int
        A window smaller than ``window`` is padded with zeros to a multiple of this.
    provenance : dict
        What was loaded: names and SHA-256 of the weights.
    """

    clip: DenseCLIP
    vfm: VFM | None
    window: int
    stride: int
    short_side: int | None = None
    pad_multiple: int = 56
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("window", "stride", "pad_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive number of pixels, got {getattr(self, name)}")
        if self.stride > self.window:
            raise ValueError(f"stride must not exceed window, or pixels are lost: got {self.stride} > {self.window}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"short_side must be a positive number of pixels or None, got {self.short_side}")

    def describe(self) -> str:
        """The models and windows in one line."""
        vision = "no VFM" if self.vfm is None else self.vfm.name
        return f"{self.clip.name} with {vision}, windows of {self.window} px every {self.stride} px"

    def encode_classes(self, classes: Classes) -> TextEmbeddings:
        """Text embeddings of a class list; ``"sky; cloud"`` is one class with two queries.

        Returns
        -------
        TextEmbeddings
            ``.embeddings`` is (Q, D) float32 with unit rows, ``.vocabulary`` tells which query belongs to which class.

        Raises
        ------
        ValueError
            If the list is empty or repeats a query.
        """
        return classes if isinstance(classes, TextEmbeddings) else encode_vocabulary(self.clip, classes)

    @torch.inference_mode()
    def embed(
        self, image: ImageLike, rules: Sequence[Rule], on_features: Callable[[Tensor], None] | None = None
    ) -> list[DenseEmbedding]:
        """Embed an image under several rules; the backbones run once per window for all of them.

        Parameters
        ----------
        image : path, PIL image or (H, W, 3) uint8
        rules : sequence of Rule
        on_features : callable, optional
            Is handed the foundation model's features of every batch of windows, (B, C, h, w) float, where a rule reads
            them.

        Returns
        -------
        list of DenseEmbedding, one per rule

        Raises
        ------
        FileNotFoundError, ValueError
            If the image cannot be read (:func:`proxyclip.inference.images.read_image`), or a rule needs a VFM that is
            not loaded.
        """
        size, pixels, boxes, padding = self.prepare_windows(image)
        for_clip = self.clip.normalize(pixels).to(self.dtype)
        for_vfm = self.vfm.normalize(pixels).to(self.dtype) if self._needs_vfm(rules) else None
        parts: list[list[Tensor]] = [[] for _ in rules]
        for batch in self.batches(boxes):
            vfm_windows = None if for_vfm is None else cut_windows(for_vfm, batch, padding)
            embedded = self.embed_windows(cut_windows(for_clip, batch, padding), vfm_windows, rules, on_features)
            for part, embeddings in zip(parts, embedded, strict=True):
                part.append(embeddings)
        working = tuple(pixels.shape[-2:])
        return [DenseEmbedding(join(part), tuple(boxes), padding, working, size) for part in parts]

    def batches(self, boxes: Sequence[Box]) -> list[Sequence[Box]]:
        """The windows of an image in batches as equal as can be, none of more than :data:`BATCH_PIXELS`."""
        most = BATCH_PIXELS.get(self.device.type, BATCH_PIXELS["cuda"])
        fixed = self.vfm.input_size if self.vfm is not None else None
        side = (boxes[0].bottom - boxes[0].top) * (boxes[0].right - boxes[0].left)
        count = -(-len(boxes) // max(1, most // max(side, (fixed or 0) ** 2)))
        step = -(-len(boxes) // count)
        return [boxes[start : start + step] for start in range(0, len(boxes), step)]

    def prepare_windows(self, image: ImageLike) -> tuple[tuple[int, int], Tensor, list[Box], Padding]:
        """Read and resize an image and lay the sliding windows over it.

        Returns
        -------
        size : (H, W)
            Of the image itself.
        pixels : (3, h, w) float32 in 0..1
            The working image, after resizing.
        boxes, padding
            The windows in it, all of one size, and the zeros around each.
        """
        pixels = torch.tensor(read_image(image)).to(self.device).permute(2, 0, 1).float()
        size = tuple(pixels.shape[-2:])
        working = working_size(*size, self.short_side)
        if working != size:  # bilinear on bytes and back to bytes, as image libraries resize
            pixels = F.interpolate(pixels[None], size=working, mode="bilinear", align_corners=False)[0].round_()
        boxes = window_boxes(*working, self.window, self.stride)
        height, width = boxes[0].bottom - boxes[0].top, boxes[0].right - boxes[0].left
        return size, pixels / 255, boxes, window_padding(height, width, self.pad_multiple, self.window)

    def embed_windows(
        self, clip_windows: Tensor, vfm_windows: Tensor | None, rules: Sequence[Rule],
        on_features: Callable[[Tensor], None] | None = None,
    ) -> list[Tensor]:
        """Embed a batch of normalised windows: the method itself.

        Parameters
        ----------
        clip_windows, vfm_windows : (B, 3, h, w) float
            The same windows, each in its model's normalisation.
        rules : sequence of Rule
        on_features : callable, optional
            As for :meth:`embed`.

        Returns
        -------
        list of (B, D, rows, columns) float32, unit vectors along dim 1, one per rule
        """
        trunk = self.clip.trunk(clip_windows, depth=max((rule.depth for rule in rules), default=1))
        proxy = None if vfm_windows is None else self.vfm.features(vfm_windows)
        if on_features is not None and proxy is not None:
            on_features(proxy)
        return self.clip.readout(trunk, rules, proxy)

    def logits(self, image: ImageLike, classes: Classes, rule: Rule | None = None) -> Tensor:
        """Cosines between pixels and queries.

        Parameters
        ----------
        image : path, PIL image or (H, W, 3) uint8
        classes : class list, Vocabulary or TextEmbeddings
        rule : Rule, optional
            ``Adaptive()`` by default.

        Returns
        -------
        (Q, H, W) float32
            Averaged over windows, at the image's own size, one row per query.
        """
        text = self.encode_classes(classes)
        (embedding,) = self.embed(image, [rule or Adaptive()])
        return embedding.logits(text.embeddings)

    def segment(
        self, image: ImageLike, classes: Classes, rule: Rule | None = None, prob_threshold: float | None = None
    ) -> Segmentation:
        """Label every pixel with one of the classes.

        Parameters
        ----------
        image, classes, rule
            As for :meth:`logits`.
        prob_threshold : float, optional
            Pixels whose best class has a lower probability become class 0 (background).

        Returns
        -------
        Segmentation
            ``.labels`` is (H, W) int64 at the image's own size.
        """
        pixels = read_image(image)
        text = self.encode_classes(classes)
        (embedding,) = self.embed(pixels, [rule or Adaptive()])
        labels = labels_from_embedding(embedding, text, prob_threshold).cpu().numpy()
        return Segmentation(labels, text.vocabulary, pixels)

    def _needs_vfm(self, rules: Sequence[Rule]) -> bool:
        asking = next((rule for rule in rules if isinstance(rule, MaskingRule)), None)
        if asking is not None and self.vfm is None:
            raise ValueError(f"rule {asking.name} reads a vision foundation model, and none is loaded; pass vfm=NAME")
        return asking is not None
