"""The tiny models: architectures, shipped weights, objectives and the trainer."""

import json
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from proxyclip.tiny import models
from proxyclip.tiny.training.captioner import ATOMS, Captioner, atom, true_statements
from proxyclip.tiny.training.objectives.clip_objective import (
    contrastive_loss,
    encode_captions,
    encode_crops,
    phrase_loss,
)
from proxyclip.tiny.training.objectives.vfm_objectives import sinkhorn
from proxyclip.tiny.training.optim import orthogonalise
from proxyclip.tiny.training.pretrain import OtherSettings, Training, train
from proxyclip.tiny.training.recipes import RECIPES
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, THINGS, held_out
from proxyclip.tiny.world.scenes import patch_labels

SHIPPED = sorted(p.stem for p in models.WEIGHTS.glob("*.safetensors"))


def test_there_is_a_recipe_for_every_model():
    assert set(RECIPES) == set(models.MODELS)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_in_float32_and_evaluation_mode(name):
    model = models.load(name)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    card = json.loads((models.WEIGHTS / f"{name}.json").read_text())
    assert card["name"] == name and card["samples"] > 0


def test_shipped_weights_fit_into_20_megabytes():
    assert sum(p.stat().st_size for p in models.WEIGHTS.glob("*.safetensors")) <= 20 * 2**20


def test_the_manifest_lists_exactly_the_shipped_files():
    assert sorted(json.loads(models.MANIFEST.read_text())) == SHIPPED


def test_damaged_weights_are_refused_in_one_sentence(tmp_path, monkeypatch):
    name = SHIPPED[0]
    state = load_file(models.WEIGHTS / f"{name}.safetensors")
    first = next(iter(state))
    state[first] = state[first] + 1
    save_file(state, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="is damaged: SHA-256") as error:
        models.load(name)
    assert "\n" not in str(error.value)


def test_missing_weights_and_unknown_names_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="proxyclip.tiny.training.pretrain tiny_dino"):
        models.load("tiny_dino", tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="the models are tiny_clip"):
        models.build("tiny_nothing")


def test_the_training_forward_is_the_library_s_forward():
    torch.manual_seed(0)
    clip = models.build("tiny_clip").eval()
    images, tokens = torch.randn(3, 3, 64, 64), models.tokenizer()(["a red ball", "sky", "a house and a tree"])
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
        tokens = visual._embeds(images)
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


def test_every_statement_has_its_own_number():
    numbers = {atom(c) for c in range(len(CLASSES))}
    for t in range(len(THINGS)):
        cls = len(CLASSES) - len(THINGS) + t
        for c in range(-1, len(COLOURS)):
            numbers |= {atom(cls, c, p) for p in range(-1, len(PATTERNS))}
    assert numbers == set(range(ATOMS))


def test_training_captions_are_true_and_never_name_a_held_out_combination(scenes):
    captioner = Captioner()
    words = {v: k for k, v in captioner.tokens.ids.items()}
    rng = np.random.default_rng(0)
    for _ in range(20):
        crops = scenes.windows(32, rng)
        tokens, said = captioner(crops, random.Random(int(rng.integers(1000))))
        assert ((true_statements(crops, least=0.0) - said) >= 0).all()
        for row in tokens.tolist():
            text = " " + " ".join(words.get(i, "") for i in row) + " "
            for c in COLOURS:
                for p in PATTERNS:
                    for t in THINGS:
                        assert f" {c} {p} {t} " not in text or not held_out(c, p, t)


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


def test_phrases_name_one_visible_thing_each_and_do_not_repeat(scenes):
    captioner, rng = Captioner(), np.random.default_rng(0)
    words = {v: k for k, v in captioner.tokens.ids.items()}
    for _ in range(5):
        crops = scenes.windows(32, rng)
        tokens, said = captioner.phrases(crops, random.Random(int(rng.integers(1000))))
        assert (said.sum(1) == 1).all() and (said.sum(0) <= 1).all()
        assert (true_statements(crops, least=0.0) @ said.T).amax(0).min() == 1  # each is true of some crop
        for row in tokens.tolist():
            assert sum(words.get(i) in CLASSES for i in row) == 1


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


def test_a_crop_knows_what_it_covers(scenes):
    crops = scenes.objects(64, np.random.default_rng(1))
    assert crops.images.shape == (64, 3, 32, 32) and crops.images.min() >= 0 and crops.images.max() <= 1
    torch.testing.assert_close(crops.share.sum(1), torch.ones(64))
    counts = torch.stack([(crops.instances == k).flatten(1).float().mean(1) for k in range(8)], dim=1)
    torch.testing.assert_close(crops.share[:, :8], counts)


def test_a_patch_belongs_to_the_instance_that_covers_most_of_it():
    instances = torch.zeros(1, 8, 8, dtype=torch.long)
    instances[0, :4, :4] = 5
    instances[0, 4:, :2] = 3
    assert patch_labels(instances, 4).tolist() == [[5, 0, -1, 0]]


def test_orthogonalised_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(2, 48, 192)).float())
    assert values.min() > 0.5 and values.max() < 1.4


def test_sinkhorn_balances_the_prototypes():
    torch.manual_seed(0)
    q = sinkhorn(torch.randn(256, 16) * 0.1 + torch.arange(16) * 0.02, rounds=10)
    torch.testing.assert_close(q.sum(1), torch.ones(256))
    assert (q.sum(0) / 16).sub(1).abs().max() < 0.05


@pytest.mark.parametrize("name", [n for n in RECIPES if n != "tiny_sd"])
def test_a_training_step_changes_the_weights_and_gives_a_finite_loss(name, scenes):
    run = Training(name, 0, "cpu")
    run.objective.batch = (8, 4) if name == "tiny_clip" else 4
    before = {k: v.clone() for k, v in run.master.state_dict().items()}
    assert np.isfinite(run.advance(scenes, 0.3))
    assert any(not torch.equal(before[k], v) for k, v in run.master.state_dict().items())
    models.build(name).load_state_dict({k: v.float() for k, v in run.shipped().items()})


@pytest.mark.parametrize("name", ["tiny_sd", "tiny_mae"])
def test_further_training_starts_from_the_weights_it_is_given(name):
    run = Training(name, 5, "cpu", start=models.WEIGHTS / f"{name}.safetensors")
    given = load_file(models.WEIGHTS / f"{name}.safetensors")
    assert given.keys() == run.shipped().keys()
    for key, value in run.shipped().items():
        torch.testing.assert_close(value, given[key], msg=key)


def test_further_training_of_the_diffusion_model_leaves_its_autoencoder_as_it_is(scenes):
    run = Training("tiny_sd", 5, "cpu", start=models.WEIGHTS / "tiny_sd.safetensors")
    run.objective.batch = 2
    before = {k: v.clone() for k, v in run.objective.model.state_dict().items()}
    assert np.isfinite(run.advance(scenes, 0.1))
    after = run.objective.trained.state_dict()
    changed = {k.split(".")[0] for k, v in before.items() if not torch.equal(after[k], v)}
    assert "unet" in changed and "vae" not in changed


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_dino8"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(name, tmp_path, scenes):
    def fresh():
        run = Training(name, 3, "cpu")
        run.objective.batch = (8, 4) if name == "tiny_clip" else 4
        return run

    whole, first = fresh(), fresh()
    train(whole, scenes, tmp_path / "whole", steps=4, minutes=None)
    for step in range(2):
        first.advance(scenes, step / 4)
    torch.save(first.state(), tmp_path / "half.pt")
    second = fresh()
    second.restore(tmp_path / "half.pt")
    train(second, scenes, tmp_path / "second", steps=4, minutes=None)
    assert second.step == whole.step == 4
    for (k, a), b in zip(whole.shipped().items(), second.shipped().values(), strict=True):
        torch.testing.assert_close(a, b, msg=k)


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path):
    checkpoint = tmp_path / "half.pt"
    torch.save(Training("tiny_dino8", 3, "cpu").state(), checkpoint)
    kept = checkpoint.read_bytes()
    with pytest.raises(OtherSettings, match=r"half.pt began with seed 3 \(now 4\), peak 1.0 \(now 0.5\)"):
        Training("tiny_dino8", 4, "cpu", peak=0.5).restore(checkpoint)
    assert checkpoint.read_bytes() == kept
