"""Variants of a model: CLIP with the other activation or in half precision, and its words under other prompts."""

import copy
from dataclasses import replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from proxyclip.data.base import Dataset
from proxyclip.diagnosis.settings import Configuration
from proxyclip.models.clip import DenseCLIP, encode_vocabulary
from proxyclip.models.vfm import VFM
from proxyclip.rules.block import exchange_activation
from proxyclip.segment import ProxyCLIP
from proxyclip.text import TextEmbeddings, Vocabulary

Network = TypeVar("Network", bound=nn.Module)

#: The prompt that is used alone, with or without a full stop; a model without it uses its first prompt.
ONE_PROMPT = "a photo of a {}"


class Variants:
    """Copies of a model with one change each, made on first use; the words that are encoded are those of ``data``."""

    def __init__(self, model: ProxyCLIP, data: Dataset) -> None:
        self.model, self.data = model, data
        self._clips: dict[tuple[str, str], DenseCLIP] = {("own", "own"): model.clip}
        self._vfms: dict[str, VFM | None] = {"own": model.vfm}
        self._texts: dict[tuple[str, ...], TextEmbeddings] = {}

    def dtype(self, configuration: Configuration) -> torch.dtype:
        """Type in which the backbones compute."""
        if configuration.precision == "bfloat16":
            return torch.bfloat16
        half = configuration.precision == "float16" and self.model.device.type != "cpu"
        return torch.float16 if half else self.model.dtype

    def _in_precision(self, module: Network, configuration: Configuration) -> Network:
        if configuration.precision == "float16" and self.model.device.type == "cpu":
            return round_to_half(module)
        return module.to(self.dtype(configuration))

    def clip(self, configuration: Configuration) -> DenseCLIP:
        """CLIP with this activation, in this precision."""
        key = (configuration.activation, configuration.precision)
        if key not in self._clips:
            clip = self._in_precision(copy.deepcopy(self.model.clip), configuration)
            clip.forget_queries()
            if configuration.activation == "other":
                exchange_activation(clip.model)
            self._clips[key] = clip
        return self._clips[key]

    def vfm(self, configuration: Configuration) -> VFM | None:
        """The vision foundation model in this precision."""
        precision = configuration.precision
        if precision not in self._vfms:
            vfm = copy.deepcopy(self.model.vfm)
            self._vfms[precision] = None if vfm is None else self._in_precision(vfm, configuration)
        return self._vfms[precision]

    def text(self, configuration: Configuration) -> TextEmbeddings:
        """The set's words under these prompts, as many embeddings a class as the configuration asks for."""
        names = ("activation", "precision", "prompts", "background", "queries")
        key = tuple(getattr(configuration, name) for name in names)
        if key not in self._texts:
            clip = self.clip(configuration)
            if configuration.prompts == "one":
                clip = copy.copy(clip)
                alike = (template for template in clip.templates if template("{}").rstrip(".") == ONE_PROMPT)
                clip.templates = (next(alike, clip.templates[0]),)
            vocabulary = self.data.vocabulary
            if configuration.background == "one":
                vocabulary = Vocabulary.parse(["background", *vocabulary.plain()[1:]])
            text = encode_vocabulary(clip, vocabulary)
            self._texts[key] = _averaged(text) if configuration.queries == "mean" else text
        return self._texts[key]


def round_to_half(module: Network) -> Network:
    """Imitate half precision in float32 by rounding the weights and every layer's output.

    On a CPU, products of half-precision numbers take five times as long, and are also summed in float32.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().to(tensor.dtype)
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, given: given.half().to(given.dtype) if torch.is_tensor(given)
                                        else given)
    return module


def _averaged(text: TextEmbeddings) -> TextEmbeddings:
    """One embedding a class: the normalised mean of its queries'."""
    owners = torch.tensor(text.vocabulary.class_of_query, device=text.embeddings.device)
    rows = [F.normalize(text.embeddings[owners == number].mean(dim=0), dim=0) for number in range(len(text.vocabulary))]
    names = text.vocabulary.names
    single = replace(text.vocabulary, queries=names, class_of_query=tuple(range(len(names))))
    return TextEmbeddings(single, torch.stack(rows))
