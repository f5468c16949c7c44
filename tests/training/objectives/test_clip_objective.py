"""The towers that train the tiny CLIP against open_clip's, and its losses against loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from proxyclip.rules.block import image_tokens
from proxyclip.tiny import models
from proxyclip.tiny.world.captions import Tokenizer
from training.objectives.clip_objective import (
    contrastive_loss,
    encode_captions,
    encode_crops,
    phrase_loss,
)


def test_the_training_forward_is_the_library_s_forward():
    torch.manual_seed(0)
    clip = models.build("tiny_clip").eval()
    images, tokens = torch.randn(3, 3, 64, 64), Tokenizer()(["a red ball", "sky", "a house and a tree"])
    with torch.no_grad():
        ours, theirs = encode_crops(clip, images, by_attention_only=False), clip.encode_image(images)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        short = encode_captions(clip, tokens[:, :8])
        torch.testing.assert_close(short, clip.encode_text(tokens), rtol=1e-4, atol=1e-5)


def test_pooling_by_attention_alone_is_an_average_of_projected_values():
    torch.manual_seed(0)
    clip = models.build("tiny_clip").eval().double()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    visual = clip.visual
    with torch.no_grad():
        tokens, _ = image_tokens(clip, images, lambda table, grid: table)
        for block in visual.transformer.resblocks[:-1]:
            tokens = block(tokens)
        last, d = visual.transformer.resblocks[-1], tokens.shape[-1]
        x, w, b = last.ln_1(tokens), last.attn.in_proj_weight, last.attn.in_proj_bias
        q, (k, v) = x[:, 0] @ w[:d].T + b[:d], (x[:, 1:] @ w[d:].T + b[d:]).chunk(2, dim=-1)
        parts, size = [], d // last.attn.num_heads
        for h in range(last.attn.num_heads):
            s = slice(h * size, (h + 1) * size)
            weights = torch.softmax(torch.einsum("bd,bnd->bn", q[:, s], k[..., s]) / size**0.5, dim=-1)
            parts.append(torch.einsum("bn,bnd->bd", weights, v[..., s]))
        expected = visual.ln_post(last.attn.out_proj(torch.cat(parts, dim=-1))) @ visual.proj
        torch.testing.assert_close(encode_crops(clip, images, by_attention_only=True), expected)


def test_captions_that_are_also_true_are_no_negatives():
    image, text = F.normalize(torch.randn(4, 8), dim=-1), F.normalize(torch.randn(4, 8), dim=-1)
    also = torch.zeros(4, 4, dtype=torch.bool)
    also[0, 1] = True
    scale = torch.tensor(5.0)
    logits = 5 * image.double() @ text.double().T
    expected = 0.0
    for k in range(4):
        columns = [j for j in range(4) if (k, j) != (0, 1)]
        rows = [i for i in range(4) if (i, k) != (0, 1)]
        expected -= (logits[k, k] - torch.logsumexp(logits[k, columns], 0)) / 8
        expected -= (logits[k, k] - torch.logsumexp(logits[rows, k], 0)) / 8
    torch.testing.assert_close(contrastive_loss(image, text, scale, also), expected.float())


def test_phrases_that_an_image_shows_do_not_compete():
    torch.manual_seed(0)
    image, text = F.normalize(torch.randn(3, 8), dim=-1), F.normalize(torch.randn(4, 8), dim=-1)
    shows = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)
    lacks = torch.tensor([[0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 1, 0]], dtype=torch.bool)  # (1, 1), (2, 3): left out
    logits = 5 * image.double() @ text.double().T

    def against(positive: float, negatives: torch.Tensor) -> float:
        return -float(positive - torch.logsumexp(torch.cat([positive[None], negatives]), 0))

    of_images = [np.mean([against(logits[i, j], logits[i][lacks[i]]) for j in range(4) if shows[i, j]]) for i in (0, 1)]
    of_phrases = [np.mean([against(logits[i, j], logits[:, j][lacks[:, j]]) for i in range(3) if shows[i, j]])
                  for j in (0, 1, 2)]
    expected = (np.mean(of_images) + np.mean(of_phrases)) / 2
    assert phrase_loss(image, text, torch.tensor(5.0), shows, lacks).item() == pytest.approx(expected, abs=1e-5)
