"""The models of a chapter: CLIP is loaded once and shared by all vision foundation models."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from proxyclip.loading import load, with_vfm
from proxyclip.segment import ProxyCLIP
from proxyclip.system.provenance import digest_of_weights

#: Batches of windows of which a small network's output is kept, so that CLIP reads the scenes of a set once for all
#: foundation models, and one of these once for all its changed geometries. Full-size networks would fill gigabytes.
RECENT = 64


class ChapterModels:
    """Models by the name of their foundation model, each loaded when it is first asked for.

    They are loaded as the chapter's checked parameters say (:func:`proxyclip.supplement.parameters.validate`).
    The attribute ``further`` holds models that the chapter reads besides CLIP and the foundation models, by name; their
    digests are saved too.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters
        self._loaded: dict[str, ProxyCLIP] = {}
        self._digests: dict[str, str] = {}
        self.further: dict[str, nn.Module] = {}

    def with_vfm(self, vfm: str) -> ProxyCLIP:
        """Return the model with a foundation model."""
        if vfm not in self._loaded:
            given = self.parameters
            tiny, weights = given["profile"] == "tiny", given["vfm_weights"].get(vfm)
            with torch.random.fork_rng(devices=[]):  # nobody else's numbers change
                torch.manual_seed(0)  # untrained weights are then the same in every run
                if self._loaded:
                    self._loaded[vfm] = with_vfm(next(iter(self._loaded.values())), vfm, weights)
                else:
                    self._loaded[vfm] = load(
                        given["profile"], clip=given["clip"], clip_weights=given["clip_weights"], vfm=vfm,
                        vfm_weights=weights, device=given["device"], dtype=given["dtype"], batch=given["batch"])
                    if tiny and not given["clip"]:
                        self._loaded[vfm].clip.recent.most = RECENT
            network = self._loaded[vfm].vfm
            if tiny and network is not None and network.spec.source == "tiny":
                # a chapter changes the time step of a diffusion model between two readings of the same windows
                network.recent.most = 0 if network.spec.feature == "diffusion" else RECENT
        return self._loaded[vfm]

    def digests(self) -> dict[str, str]:
        """Digest of the weights of CLIP, of each foundation model that was loaded and of the models beside them."""
        clip = next(iter(self._loaded.values())).clip
        vfms = {name: model.vfm for name, model in self._loaded.items() if model.vfm is not None}
        for name, module in {clip.name: clip.model, **vfms, **self.further}.items():
            if name not in self._digests:
                self._digests[name] = digest_of_weights(module)
        return dict(self._digests)
