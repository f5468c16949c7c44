"""From logits to labels."""

from __future__ import annotations

import torch
from torch import Tensor

from proxyclip.text import Vocabulary

#: Inverse temperature of the softmax over queries.
LOGIT_SCALE = 40.0


def labels_from_logits(logits: Tensor, vocabulary: Vocabulary, prob_threshold: float | None = None) -> Tensor:
    """Label of each pixel: softmax over queries, maximum over each class's queries, arg max over classes.

    Parameters
    ----------
    logits : (Q, H, W) float32 cosines
    vocabulary : Vocabulary with Q queries
    prob_threshold : float, optional
        In [0, 1]. Where the best probability is below it, the label is 0 (background).

    Returns
    -------
    (H, W) int64

    Raises
    ------
    ValueError
        If the threshold is outside [0, 1].
    """
    if prob_threshold is not None and not 0 <= prob_threshold <= 1:
        raise ValueError(f"prob_threshold must lie in [0, 1], got {prob_threshold}")
    best, query = (LOGIT_SCALE * logits).softmax(dim=0).max(dim=0)
    labels = torch.tensor(vocabulary.class_of_query, device=logits.device)[query]
    return labels if prob_threshold is None else labels.masked_fill(best < prob_threshold, 0)
