"""ProxyCLIP: an image and words in, logits and labels out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.images import ImageLike, read_image
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.pamr import PAMR, as_picture, refined_labels
from proxyclip.inference.segmentation import Segmentation
from proxyclip.inference.windows import LONG_SIDE, Box, PreparedImage, Windows, cut_windows, prepare_image
from proxyclip.models.clip import DenseCLIP, encode_vocabulary
from proxyclip.models.vfm import VFM
from proxyclip.rules import Adaptive, MaskingRule, Rule
from proxyclip.system.finite import check_finite
from proxyclip.text import Classes, TextEmbeddings

if TYPE_CHECKING:
    from proxyclip.explorer.document import Explorer

#: Input pixels of one batch of windows: on a GPU 9 windows of 336 x 336 or one of 1024 x 1024; on a CPU one of
#: 336 x 336 or 9 of 64 x 64, since the activations of a larger batch do not stay in the cache between two layers.
BATCH_PIXELS = {"cpu": 40_000, "cuda": 1_048_576}


@dataclass
class ProxyCLIP:
    """CLIP with the attention of its last block replaced; build it with :func:`proxyclip.load`."""

    clip: DenseCLIP
    vfm: VFM | None  #: Without one, only the rules that read CLIP alone can be used.
    #: Side and step of the sliding window, pixels.
    window: int
    stride: int
    #: The image's short side is resized to this first (bilinear, see ``long_side``); None keeps the size.
    short_side: int | None = None
    pad_multiple: int = 56  #: A window smaller than ``window`` is padded with zeros to a multiple of this.
    #: Where and in which precision the networks run.
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    provenance: dict[str, Any] = field(default_factory=dict)  #: Names and SHA-256 of the weights that were loaded.
    #: Most windows that go through the networks at a time; None takes what suits the device.
    batch: int | None = None
    long_side: int = LONG_SIDE  #: The long side is at most this after resizing, pixels.

    def __post_init__(self) -> None:
        for name, kind in (("window", "pixels"), ("stride", "pixels"), ("pad_multiple", "pixels"),
                           ("long_side", "pixels"), ("short_side", "pixels or None"), ("batch", "windows or None")):
            value = getattr(self, name)
            if value is None and kind.endswith("None"):
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive number of {kind}, got {value!r}")
        if self.stride > self.window:
            raise ValueError(f"stride must not exceed window, or pixels are lost: got {self.stride} > {self.window}")
        self._check_patches()

    def _check_patches(self) -> None:
        """Refuse windows that hold no whole patch of a network, or that SAM's encoder cannot divide into patches."""
        networks: list[DenseCLIP | VFM] = [self.clip]
        if self.vfm is not None and self.vfm.spec.feature in ("tokens", "neck"):
            networks.append(self.vfm)
            if self.vfm.spec.feature == "neck" and self.vfm.input_size and self.vfm.input_size % self.vfm.patch_size:
                raise ValueError(f"window must be a multiple of {self.vfm.patch_size} pixels for {self.vfm.name}, "
                                 f"got {self.window}")
        patch, name = max((network.patch_size, network.name) for network in networks)
        if self.window < patch:
            raise ValueError(f"window must be at least {patch} pixels, one patch of {name}, got {self.window}")

    def describe(self) -> str:
        """The models and windows in one line."""
        vision = "no VFM" if self.vfm is None else self.vfm.described
        return f"{self.clip.name} with {vision}, windows of {self.window} px every {self.stride} px"

    def encode_classes(self, classes: Classes) -> TextEmbeddings:
        """Text embeddings of a class list; ``"sky; cloud"`` is one class with two queries.

        Returns
        -------
        TextEmbeddings
            ``.embeddings`` is (Q, D) float32 with unit rows, ``.vocabulary`` says which query belongs to which class.

        Raises
        ------
        ValueError
            If the list is empty, or a class repeats a query.
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
            Called with the foundation model's features of each batch of windows, (B, C, h, w), if a rule reads them.

        Returns
        -------
        list of DenseEmbedding, one per rule
        """
        prepared = self.prepare_windows(image)
        reads_vfm = self.vfm is not None and any(isinstance(rule, MaskingRule) for rule in rules)
        parts: list[list[Tensor]] = [[] for _ in rules]
        for windows in self.windows(prepared):
            proxy = windows.vfm_features() if reads_vfm else None
            if proxy is not None and on_features is not None:
                on_features(proxy)
            embedded = self.clip.embed(windows.clip_pixels(), rules, proxy)
            check_finite(embedded, self.clip, "embeddings")
            for part, embeddings in zip(parts, embedded, strict=True):
                part.append(embeddings)
        return [DenseEmbedding.of(part, prepared) for part in parts]

    def windows(
        self, image: ImageLike | PreparedImage, boxes: Sequence[Box] | None = None, batch: int | None = None
    ) -> Iterator[Windows]:
        """Iterate over the sliding windows of an image, in batches.

        Parameters
        ----------
        image : path, PIL image, (H, W, 3) uint8 or PreparedImage
        boxes : sequence of Box, optional
            Only these windows; all by default.
        batch : int, optional
            Most windows of a batch; by default the model's ``batch``.

        Examples
        --------
        >>> import proxyclip as pc
        >>> model, image = pc.load(vfm="tiny_sam"), pc.dataset("tiny/voc")[0].image  # 128 x 128 pixels, windows of 64
        >>> [len(windows.boxes) for windows in model.windows(image, batch=4)]
        [3, 3, 3]
        >>> next(model.windows(image, batch=4)).vfm_features().shape
        torch.Size([3, 64, 16, 16])
        """
        prepared = self.prepare_windows(image)
        normalized = cache(lambda network: network.normalize(prepared.pixels).to(self.dtype))
        for group in self.batches(prepared.boxes if boxes is None else boxes, batch):
            cut = partial(cut_windows, boxes=group, padding=prepared.padding)
            yield Windows(self.clip, self.vfm, group, prepared.pixels, cut, normalized)

    def batches(self, boxes: Sequence[Box], batch: int | None = None) -> list[Sequence[Box]]:
        """Split the windows of an image into batches of nearly equal size, none larger than ``batch``."""
        box, resized = boxes[0], self.vfm.input_size if self.vfm is not None else None
        pixels = max((box.bottom - box.top) * (box.right - box.left), (resized or 0) ** 2)
        allowed = max(1, BATCH_PIXELS.get(self.device.type, BATCH_PIXELS["cuda"]) // pixels)
        step = -(-len(boxes) // -(-len(boxes) // (batch or self.batch or allowed)))
        return [boxes[start : start + step] for start in range(0, len(boxes), step)]

    def prepare_windows(self, image: ImageLike | PreparedImage) -> PreparedImage:
        """Read and resize an image and place the sliding windows on it; a prepared image is returned as it is."""
        if isinstance(image, PreparedImage):
            return image
        pixels = torch.tensor(read_image(image)).to(self.device)
        return prepare_image(pixels, self.window, self.stride, self.short_side, self.pad_multiple,
                             long_side=self.long_side)

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
        self, image: ImageLike, classes: Classes, rule: Rule | None = None, prob_threshold: float | None = None,
        refine: PAMR | None = None,
    ) -> Segmentation:
        """Label every pixel with one of the classes.

        Parameters
        ----------
        image, classes, rule
            As for :meth:`logits`.
        prob_threshold : float, optional
            Pixels whose best class has a lower probability become class 0 (background).
        refine : PAMR, optional
            Refines the probabilities by the image's colours before the best class is taken.

        Returns
        -------
        Segmentation
            ``.labels`` is (H, W) int64 at the image's own size.

        Examples
        --------
        >>> import proxyclip as pc
        >>> model, image = pc.load(vfm="tiny_sam"), pc.dataset("tiny/street")[0].image
        >>> result = model.segment(image, ["sky", "leaves; tree", "road", "grass; sand", "house", "car"])
        >>> result.labels.shape == (image.height, image.width)
        True
        >>> shares = result.shares()  # of the image, by class
        >>> list(shares)[:2]  # the largest first
        ['leaves', 'grass']
        >>> result.save("street.png")  # doctest: +SKIP
        """
        pixels = read_image(image)
        text = self.encode_classes(classes)
        (embedding,) = self.embed(pixels, [rule or Adaptive()])
        if refine is None:
            labels = labels_from_embedding(embedding, text, prob_threshold)
        else:
            picture = as_picture(pixels, self.device)
            labels = refined_labels(embedding, text, picture, refine, prob_threshold)
        return Segmentation(labels.cpu().numpy(), text.vocabulary, pixels)

    def explore(
        self, image: ImageLike, classes: Classes | None = None, rule: Rule | None = None, *,
        vfms: Sequence[VFM] | None = None, truth: np.ndarray | None = None, prob_threshold: float | None = None,
        title: str = "Attention explorer",
    ) -> Explorer:
        """Open an image in the attention explorer: one patch, its attention, and the labels, live.

        Parameters
        ----------
        image, classes, vfms, truth, prob_threshold
            As for :func:`proxyclip.explorer.export.export_scene`.
        rule : Rule, optional
            The rule that is shown first: ``Adaptive()`` by default, a hard mask, or CLIP's q-k, q-q or k-k.
        title : str
            Title of the page.

        Returns
        -------
        Explorer
            Notebooks display it; ``.save("explorer.html")`` writes one file that needs neither model nor network.

        Raises
        ------
        ValueError
            If no foundation model is loaded, the explorer does not offer the rule, or the ground truth does not fit.
        """
        from proxyclip.explorer.document import Explorer, state_of
        from proxyclip.explorer.export import export_scene

        state = state_of(rule or Adaptive())
        chosen = [self.vfm] if vfms is None and self.vfm is not None else list(vfms or [])
        names = " and ".join(vfm.described for vfm in chosen)
        note = f"{self.clip.name} with {names}, windows of {self.window} px every {self.stride} px."
        scene = export_scene(self, image, classes, vfms=chosen, truth=truth, prob_threshold=prob_threshold,
                             title="image", note=note)
        return Explorer([scene], title, state)
