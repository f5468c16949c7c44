"""Training the supervised reference: masks whose regions have names, compared with CLIP's text embeddings."""

from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn

from proxyclip.inference.labels import LOGIT_SCALE
from proxyclip.models.clip import DenseCLIP, encode_vocabulary
from proxyclip.rules.block import BlockView
from proxyclip.text import Vocabulary
from proxyclip.tiny import models
from proxyclip.tiny.segmentation_head import FINER, READ_BLOCKS
from proxyclip.tiny.world import captions
from proxyclip.tiny.world.classes import CLASSES
from training.cache import SceneCache, patch_labels
from training.objectives.objective import Objective


class SegmentationObjective(Objective):
    """Cross-entropy of every patch over the names of the world's classes, as the evaluation scores them.

    CLIP is frozen, and the model is the head. It learns the training vocabulary, ``CLASSES``, as the methods of Table 4
    learn that of COCO-Stuff; no label names a colour or a pattern.
    """

    batch = 32

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__(model, **options)
        device = next(model.parameters()).device
        normalisation = (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        prompts = [template.format for template in captions.TEMPLATES]
        self.clip = DenseCLIP(models.load("tiny_clip"), captions.Tokenizer(), *normalisation, prompts).to(device)
        self.text = encode_vocabulary(self.clip, Vocabulary.parse(CLASSES)).embeddings.to(device)

    def loss(self, module: nn.Module, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        """Mean over the patches that one region covers to 60 %."""
        crops = cache.windows(self.batch, rng)
        self.samples += self.batch
        owner = patch_labels(crops.instances, self.clip.patch_size // FINER)
        classes = crops.items[..., 0].gather(1, owner.clamp_min(0))
        targets = torch.where((owner >= 0) & (classes >= 0), classes, -1)
        logits = LOGIT_SCALE * self.embeddings(module, crops.images).mT @ self.text.T
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    def embeddings(self, module: nn.Module, images: Tensor) -> Tensor:
        """Unit embeddings of windows, (B, 3, S, S) in [0, 1] -> (B, D, N * FINER ** 2)."""
        like = next(module.parameters())
        with torch.no_grad():
            trunk = self.clip.trunk(self.clip.normalize(images), depth=models.CLIP_VISION.depth)
            last = BlockView(self.clip.model.visual.transformer.resblocks[-1], trunk.states[-1])
            values = last.patch_values.to(like.dtype)
            tokens = [trunk.states[index][:, 1:].to(like.dtype) for index in READ_BLOCKS]
        found = module(tokens, values, trunk.grid)
        rows, columns = trunk.grid
        return self.clip.project(found.float(), (rows * FINER, columns * FINER)).flatten(2)
