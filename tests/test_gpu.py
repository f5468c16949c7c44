"""What only a GPU shows: half precision through ``pc.load``, agreement with the CPU, memory. Skipped without one."""

import numpy as np
import pytest
import synthetic_checkpoints as synthetic
import torch

import proxyclip as pc
from proxyclip import efficiency
from proxyclip.attention import masked_attention, mean_similarity, unit
from training.cache import SceneCache
from training.pretrain import Training
from training.recipes import RECIPES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and this machine has none")
IMAGES = 100


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_gpu_gives_the_logits_of_the_cpu():
    image, classes = picture(128, 160), ["sky", "grass; leaves", "ball"]
    on_cpu = pc.load().logits(image, classes)
    on_gpu = pc.load(device="cuda").logits(image, classes).cpu()
    assert (on_gpu - on_cpu).abs().max() <= 1e-3 * on_cpu.abs().max()  # TF32 may be on


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_the_miou_by_less_than_a_fifth_of_a_point(dtype):
    single = pc.evaluate(pc.load(device="cuda"), "tiny/voc", limit=IMAGES).miou[0]
    half = pc.evaluate(pc.load(device="cuda", dtype=dtype), "tiny/voc", limit=IMAGES).miou[0]
    assert abs(half - single) <= 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("vfm", ["dino_vitb8", "dinov2_vitb14_reg", "dinov3_vitb16", "mae_vitb16", "sam_vit_b"])
def test_full_size_models_run_in_both_precisions(vfm, dtype):
    model = pc.load("paper", clip_weights="random", vfm=vfm, vfm_weights="random", device="cuda", dtype=dtype)
    rules = [pc.Adaptive(), pc.ClipAttention("qq"), pc.SCLIP(), pc.GEM(), pc.Vanilla()]
    for embedding in model.embed(picture(336, 448), rules):
        assert embedding.windows.isfinite().all()


def test_stable_diffusion_runs_in_half_precision():
    model = pc.load("paper", clip_weights="random", vfm="sd15", vfm_weights="random", device="cuda",
                    dtype=torch.float16)
    (embedding,) = model.embed(picture(336, 336), [pc.Adaptive()])
    assert embedding.windows.shape[-2:] == (22, 22) and embedding.windows.isfinite().all()


def test_weights_from_a_file_are_the_same_on_both_devices(tmp_path):
    torch.save(synthetic.vit(384, 12, 16, 14), tmp_path / "dino.pth")
    from proxyclip.loading import load_vfm

    vfm = load_vfm("dino_vits16", tmp_path / "dino.pth")
    pixels = torch.randn(1, 3, 336, 224)
    expected = vfm.features(pixels)
    found = vfm.cuda().features(pixels.cuda()).cpu()
    assert (found - expected).abs().max() <= 5e-3 * expected.abs().max()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_on_the_gpu(name, scenes, tmp_path):
    run, scenes = Training(name, 0, "cuda"), SceneCache(scenes.folder, "cuda")
    for progress in (0.0, 0.3, 0.5, 0.9):  # the stages of each objective
        assert np.isfinite(run.advance(scenes, progress))
    torch.save(run.state(), tmp_path / "state.pt")
    again = Training(name, 0, "cuda")
    again.restore(tmp_path / "state.pt")
    assert np.isfinite(again.advance(scenes, 0.95))
    assert {value.device.type for value in run.shipped().values()} == {"cpu"}


def head(tokens: int = 4096) -> tuple[torch.Tensor, torch.Tensor, list]:
    generator = torch.Generator().manual_seed(0)
    features = unit(torch.randn(1, tokens, 256, generator=generator) + 0.3).cuda().half()
    values = torch.randn(1, tokens, 768, generator=generator).cuda().half()
    return features, values, [(3.0, 1.2 * mean_similarity(features, features))]


def test_the_head_on_sams_4096_tokens_holds_one_similarity_matrix_at_most():
    features, values, pairs = head()
    masked_attention(features, features, values, pairs)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    masked_attention(features, features, values, pairs)
    peak = torch.cuda.max_memory_allocated() - before - values.numel() * values.element_size()
    assert peak <= 4096**2 * 4


def test_table_1_is_measured_on_the_gpu():
    table = efficiency.table1(measure=("ips", "memory"), device="cuda", rows=["CLIP", "ProxyCLIP (DINO-B/16)"], batch=4)
    assert (table > 0).all(axis=None)
    assert table.loc["CLIP", "ips"] > table.loc["ProxyCLIP (DINO-B/16)", "ips"]
    assert efficiency.paper_dtype("cuda") == torch.float16
