"""ProxyCLIP: an image and words in, logits and labels out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding, join
from proxyclip.inference.images import ImageLike, read_image
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.pamr import PAMR, as_picture, refined_labels
from proxyclip.inference.segmentation import Segmentation
from proxyclip.inference.windows import Box, PreparedImage, cut_windows, window_boxes, window_padding, working_size
from proxyclip.models.clip import DenseCLIP, Trunk, encode_vocabulary
from proxyclip.models.vfm import VFM
from proxyclip.rules import Adaptive, MaskingRule, Rule
from proxyclip.text import TextEmbeddings, Vocabulary

if TYPE_CHECKING:
    from proxyclip.explorer.document import Explorer

#: Input pixels of one batch of windows: on a GPU 9 windows of 336 x 336 or one of 1024 x 1024; on a CPU one of
#: 336 x 336 or 9 of 64 x 64, since the activations of a larger batch do not stay in the cache between two layers.
BATCH_PIXELS = {"cpu": 40_000, "cuda": 1_048_576}

Classes = Sequence[str] | Vocabulary | TextEmbeddings


@dataclass(frozen=True)
class Windows:
    """A batch of an image's windows; what a network makes of them is computed when it is asked for.

    Parameters
    ----------
    model : ProxyCLIP
    boxes : sequence of Box
        Where the windows lie in the working image.
    pixels : (3, h, w) float32 in 0..1
        The working image.
    cut : callable
        Cuts the same windows, zeros around included, out of any (C, h, w) picture of the working image's size.
    normalized : callable
        The working image in the normalisation of one of the model's networks.
    """

    model: ProxyCLIP
    boxes: Sequence[Box]
    pixels: Tensor
    cut: Callable[[Tensor], Tensor]
    normalized: Callable[[DenseCLIP | VFM], Tensor]

    @torch.inference_mode()
    def clip_trunk(self, depth: int = 1) -> Trunk:
        """CLIP up to its last ``depth`` blocks (:meth:`proxyclip.models.clip.DenseCLIP.trunk`)."""
        return self.model.clip.trunk(self.cut(self.normalized(self.model.clip)), depth=depth)

    @torch.inference_mode()
    def clip_trunks(self, rules: Sequence[Rule]) -> dict[str | None, Trunk]:
        """CLIP as deep as the rules read, for each of their ways to resize positional embeddings.

        See :meth:`proxyclip.models.clip.DenseCLIP.trunks`.
        """
        return self.model.clip.trunks(self.cut(self.normalized(self.model.clip)), rules)

    @torch.inference_mode()
    def vfm_features(self) -> Tensor:
        """Patch features of the vision foundation model, (B, C, rows, columns) float.

        Raises
        ------
        ValueError
            If no vision foundation model is loaded.
        """
        if self.model.vfm is None:
            raise ValueError("the model has no vision foundation model; pass vfm=NAME")
        return self.model.vfm.features(self.cut(self.normalized(self.model.vfm)))


#: Makes patch features (B, C, rows, columns) from a batch of windows.
Proxy = Callable[[Windows], Tensor]


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
    batch : int or None
        Most windows that go through the networks at a time; None: as many as :data:`BATCH_PIXELS` allows.
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
    batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride", "pad_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive number of pixels, got {getattr(self, name)}")
        if self.stride > self.window:
            raise ValueError(f"stride must not exceed window, or pixels are lost: got {self.stride} > {self.window}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"short_side must be a positive number of pixels or None, got {self.short_side}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch must be a positive number of windows or None, got {self.batch}")

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
        def proxy(windows: Windows) -> Tensor:
            features = windows.vfm_features()
            if on_features is not None:
                on_features(features)
            return features

        return self.embed_all(image, [(proxy if self._needs_vfm(rules) else None, rules)])[0]

    @torch.inference_mode()
    def embed_all(
        self, image: ImageLike | PreparedImage, readings: Sequence[tuple[Proxy | None, Sequence[Rule]]]
    ) -> list[list[DenseEmbedding]]:
        """Embed an image under rules that read several proxies; CLIP runs once per window for all of them.

        Parameters
        ----------
        image : path, PIL image, (H, W, 3) uint8 or PreparedImage
        readings : sequence of (Proxy or None, sequence of Rule)
            The patch features, and the rules that read them; None where the rules read CLIP alone.

        Returns
        -------
        list of list of DenseEmbedding
            One for each rule of each reading.
        """
        prepared = self.prepare_windows(image)
        every = [rule for _, rules in readings for rule in rules]
        parts: list[list[list[Tensor]]] = [[[] for _ in rules] for _, rules in readings]
        for windows in self.windows(prepared):
            trunks = windows.clip_trunks(every)
            for (proxy, rules), of_reading in zip(readings, parts, strict=True):
                embedded = self.clip.readout_of_trunks(trunks, rules, None if proxy is None else proxy(windows))
                for part, embeddings in zip(of_reading, embedded, strict=True):
                    part.append(embeddings)
        where = (tuple(prepared.boxes), prepared.padding, prepared.working_size, prepared.size)
        return [[DenseEmbedding(join(part), *where) for part in of_reading] for of_reading in parts]

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
            Windows in a batch; by default as many as :meth:`batches` puts into one.

        Yields
        ------
        Windows

        Examples
        --------
        >>> import proxyclip as pc
        >>> model, image = pc.load(vfm="tiny_sam"), pc.dataset("tiny/voc")[0].image  # 128 x 128 pixels, windows of 64
        >>> [len(windows.boxes) for windows in model.windows(image, batch=4)]
        [4, 4, 1]
        >>> next(model.windows(image, batch=4)).vfm_features().shape
        torch.Size([4, 64, 16, 16])
        """
        prepared = self.prepare_windows(image)
        boxes = prepared.boxes if boxes is None else boxes
        if batch is None:
            groups = self.batches(boxes)
        else:
            groups = [boxes[at : at + batch] for at in range(0, len(boxes), batch)]
        normalized = cache(lambda network: network.normalize(prepared.pixels).to(self.dtype))
        for group in groups:
            cut = partial(cut_windows, boxes=group, padding=prepared.padding)
            yield Windows(self, group, prepared.pixels, cut, normalized)

    def features(
        self, image: ImageLike | PreparedImage, batch: int | None = None
    ) -> Iterator[tuple[Sequence[Box], Tensor]]:
        """Iterate over the windows of an image and the patch features of the vision foundation model.

        Parameters
        ----------
        image, batch
            As for :meth:`windows`.

        Yields
        ------
        boxes : sequence of Box
            Of the windows.
        features : (B, C, rows, columns) float
            Not normalised.

        Raises
        ------
        ValueError
            If no vision foundation model is loaded.
        """
        for windows in self.windows(image, batch=batch):
            yield windows.boxes, windows.vfm_features()

    def batches(self, boxes: Sequence[Box]) -> list[Sequence[Box]]:
        """The windows of an image in batches as equal as can be, none of more than the model's ``batch``."""
        count = -(-len(boxes) // (self.batch or self._most_windows(boxes[0])))
        step = -(-len(boxes) // count)
        return [boxes[start : start + step] for start in range(0, len(boxes), step)]

    def _most_windows(self, box: Box) -> int:
        """How many windows of a size :data:`BATCH_PIXELS` allows in a batch."""
        fixed = self.vfm.input_size if self.vfm is not None else None
        side = (box.bottom - box.top) * (box.right - box.left)
        return max(1, BATCH_PIXELS.get(self.device.type, BATCH_PIXELS["cuda"]) // max(side, (fixed or 0) ** 2))

    def prepare_windows(self, image: ImageLike | PreparedImage) -> PreparedImage:
        """Read and resize an image and lay the sliding windows over it; a prepared image stays as it is."""
        if isinstance(image, PreparedImage):
            return image
        pixels = torch.tensor(read_image(image)).to(self.device).permute(2, 0, 1).float()
        size = tuple(pixels.shape[-2:])
        working = working_size(*size, self.short_side)
        if working != size:  # bilinear on bytes and back to bytes, as image libraries resize
            pixels = F.interpolate(pixels[None], size=working, mode="bilinear", align_corners=False)[0].round_()
        boxes = window_boxes(*working, self.window, self.stride)
        height, width = boxes[0].bottom - boxes[0].top, boxes[0].right - boxes[0].left
        return PreparedImage(size, pixels / 255, boxes, window_padding(height, width, self.pad_multiple, self.window))

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
        proxy = None if vfm_windows is None else self.vfm.features(vfm_windows)
        if on_features is not None and proxy is not None:
            on_features(proxy)
        return self.clip.embed(clip_windows, rules, proxy)

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
        self,
        image: ImageLike,
        classes: Classes | None = None,
        rule: Rule | None = None,
        *,
        vfms: Sequence[VFM] | None = None,
        truth: np.ndarray | None = None,
        prob_threshold: float | None = None,
        title: str = "Attention explorer",
    ) -> Explorer:
        """Open an image in the attention explorer: one patch, its attention, and the labels, live.

        Parameters
        ----------
        image : path, PIL image or (H, W, 3) uint8
        classes : class list, Vocabulary or TextEmbeddings, optional
            None shows the attention alone.
        rule : Rule, optional
            Where it starts: ``Adaptive()`` by default, a hard mask, or CLIP's q-k, q-q or k-k.
        vfms : sequence of VFM, optional
            Foundation models to choose from; the model's own by default.
        truth : (H, W) integer, optional
            Class ids at the image's size, -1 where a pixel is not counted; the page then shows mIoU.
        prob_threshold : float, optional
            As for :meth:`segment`.
        title : str
            Of the page.

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
        names = " and ".join(vfm.name for vfm in chosen)
        note = f"{self.clip.name} with {names}, windows of {self.window} px every {self.stride} px."
        scene = export_scene(self, image, classes, vfms=chosen, truth=truth, prob_threshold=prob_threshold,
                             title="image", note=note)
        return Explorer([scene], title, state)

    def _needs_vfm(self, rules: Sequence[Rule]) -> bool:
        asking = next((rule for rule in rules if isinstance(rule, MaskingRule)), None)
        if asking is not None and self.vfm is None:
            raise ValueError(f"rule {asking.name} reads a vision foundation model, and none is loaded; pass vfm=NAME")
        return asking is not None
