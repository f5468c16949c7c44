"""The loss of the supervised reference, against its definition written out."""

import numpy as np
import torch

from proxyclip.tiny import models
from proxyclip.tiny.world.classes import CLASSES
from training.objectives.segmentation_objective import SegmentationObjective


def rng():
    return np.random.Generator(np.random.PCG64(3))


def test_the_loss_is_the_mean_surprise_at_the_name_of_each_covered_patch(scenes):
    torch.manual_seed(0)
    head = models.build("tiny_supervised").eval()
    torch.nn.init.normal_(head.leave.weight, std=0.1)
    objective = SegmentationObjective(head, batch=2)
    with torch.no_grad():
        found = objective.loss(head, scenes, 0.0, rng())
        crops = scenes.windows(2, rng())
        embeddings = objective.embeddings(head, crops.images).double()
    total, count = 0.0, 0
    for image in range(2):
        for patch in range(256):
            row, column = divmod(patch, 16)
            cell = crops.instances[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten()
            owner = int(cell.mode().values)
            label = int(crops.items[image, owner, 0])
            if (cell == owner).sum() < 0.6 * 16 or label < 0:
                continue
            scores = [40 * float(embeddings[image, :, patch] @ text.double()) for text in objective.text]
            total += float(np.log(np.sum(np.exp(scores)))) - scores[label]
            count += 1
    assert count > 100 and len(objective.text) == len(CLASSES)
    assert abs(float(found) - total / count) < 1e-4


def test_only_the_head_learns_and_it_learns_the_scenes_that_it_sees(scenes):
    torch.manual_seed(0)
    head = models.build("tiny_supervised")
    objective = SegmentationObjective(head, batch=4)
    before = {name: value.clone() for name, value in objective.clip.state_dict().items()}
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = objective.loss(head, scenes, 0.0, rng())  # the same windows every time
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in objective.clip.state_dict().items())
    assert objective.samples == 48
