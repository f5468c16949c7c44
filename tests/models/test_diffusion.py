"""Stable Diffusion as a vision foundation model: the right block, the right noise, nothing computed behind it."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from small_diffusion import BETAS, small_unet, small_vae, write_folder
from torch import nn

from proxyclip.loading import load_vfm
from proxyclip.models import diffusion
from proxyclip.models.diffusion import DiffusionFeatures, load_stable_diffusion
from proxyclip.models.registry import VFMS, VFMSpec
from proxyclip.models.unet import UNETS, block_shapes
from proxyclip.models.vfm import VFM


@pytest.fixture()
def features() -> DiffusionFeatures:
    prompt = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(2))
    return DiffusionFeatures(small_vae(), small_unet(), DDPMScheduler(**BETAS), prompt)


def modules(unet: UNet2DConditionModel) -> dict[str, nn.Module]:
    """The module whose output is each block, counted by hand as in the original implementation."""
    down, up = unet.down_blocks, unet.up_blocks
    return {
        "encoder-1": unet.conv_in,
        "encoder-2": down[0].attentions[0], "encoder-3": down[0].attentions[1], "encoder-4": down[0].downsamplers[0],
        "encoder-5": down[1].attentions[0], "encoder-6": down[1].attentions[1], "encoder-7": down[1].downsamplers[0],
        "encoder-8": down[2].attentions[0], "encoder-9": down[2].attentions[1], "encoder-10": down[2].downsamplers[0],
        "encoder-11": down[3].resnets[0], "encoder-12": down[3].resnets[1],
        "middle": unet.mid_block,
        "decoder-1": up[0].resnets[0], "decoder-2": up[0].resnets[1], "decoder-3": up[0].upsamplers[0],
        "decoder-4": up[1].attentions[0], "decoder-5": up[1].attentions[1], "decoder-6": up[1].upsamplers[0],
        "decoder-7": up[2].attentions[0], "decoder-8": up[2].attentions[1], "decoder-9": up[2].upsamplers[0],
        "decoder-10": up[3].attentions[0], "decoder-11": up[3].attentions[1], "decoder-12": up[3].attentions[2],
    }


def pictures(*size: int) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3)) * 2 - 1


def noised(features: DiffusionFeatures, pixels: torch.Tensor) -> torch.Tensor:
    """sqrt(a_t) z + sqrt(1 - a_t) noise, with a_t the running product of 1 - beta."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)[features.timestep]
    latents = features.vae.encode(pixels).latent_dist.mode() * 0.18215
    noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(features.seed))
    return (kept**0.5 * latents + (1 - kept) ** 0.5 * noise).float()


@pytest.mark.parametrize("timestep", [0, 261])
@pytest.mark.parametrize("size", [(64, 64), (72, 88)])
def test_every_block_is_what_diffusers_computes_there(features, size, timestep):
    """The reference runs diffusers' whole U-Net and listens; on 72 x 88 the skip connections have odd sizes."""
    pixels = pictures(*size)
    heard: dict[str, torch.Tensor] = {}
    hooks = []
    for name, module in modules(features.unet).items():
        def listen(_module, _inputs, output, name=name):
            heard[name] = output if isinstance(output, torch.Tensor) else output[0]
        hooks.append(module.register_forward_hook(listen))
    features.choose(multiple=1, timestep=timestep)
    with torch.no_grad():
        features.unet(noised(features, pixels), timestep, features.prompt.expand(2, -1, -1))
    for hook in hooks:
        hook.remove()
    for name in modules(features.unet):
        features.choose(block=name)
        ours = features.forward_features(pixels)
        if ours.shape == heard[name].shape:
            torch.testing.assert_close(ours, heard[name], rtol=1e-4, atol=1e-4)
        else:  # the chosen block's upsampling doubles; where it is passed on, it takes the size of the skip connection
            assert name in ("decoder-3", "decoder-6", "decoder-9") and size == (72, 88)
            assert all(side % 2 == 0 for side in ours.shape[-2:])


def test_blocks_behind_the_chosen_one_are_not_computed(features):
    def forbidden(*_):
        raise AssertionError("a later block ran")

    reached = False
    for name, module in modules(features.unet).items():
        if reached:
            module.register_forward_pre_hook(forbidden)
        reached = reached or name == "encoder-9"
    assert features.forward_features(pictures(64, 64)).shape == (2, 16, 2, 2)


def test_the_noise_of_an_image_does_not_depend_on_the_batch(features):
    pixels = pictures(64, 64)
    features.choose(timestep=500)
    together = features.forward_features(pixels)
    torch.testing.assert_close(together[1:], features.forward_features(pixels[1:]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[:1], features.forward_features(pixels[:1]), rtol=1e-4, atol=1e-5)


def test_an_image_is_padded_with_zeros_on_both_sides(features):
    pixels = pictures(40, 64)
    framed = torch.zeros(2, 3, 64, 64)
    framed[:, :, 12:52] = pixels
    torch.testing.assert_close(features.forward_features(pixels), features.forward_features(framed))


@pytest.mark.parametrize("name", ["sd15", "sd21"])
def test_both_readings_of_the_ninth_block_give_the_map_the_supplement_states(name):
    def at(block: str, multiple: int) -> tuple[int, int, int]:
        return next((s.channels, s.rows, s.columns) for s in block_shapes(name, 672, multiple) if s.block == block)

    assert at("encoder-9", multiple=64) == (1280, 22, 22)
    assert at("encoder-9", multiple=1) == (1280, 21, 21)
    assert at("decoder-3", multiple=1) == (1280, 22, 22)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(block="encoder-13"), "block must be encoder-1 to encoder-12, middle, or decoder-1 to decoder-12"),
    (dict(block="9"), "block must be encoder-1"),
    (dict(timestep=1000), "timestep must be an integer from 0 to 999, got 1000"),
    (dict(multiple=0), "multiple must be a positive number of pixels, got 0"),
    (dict(seed=-1), "seed must be an integer of at least 0, got -1"),
    (dict(blok="x"), "vfm_options are block, timestep, multiple and seed, got 'blok'"),
])
def test_wrong_options_are_named(features, wrong, message):
    with pytest.raises(ValueError, match=message):
        features.choose(**wrong)


def test_options_of_other_models_are_refused():
    with pytest.raises(ValueError, match="vfm_options belong to Stable Diffusion; dino_vits16 takes none, got block"):
        load_vfm("dino_vits16", "random", options={"block": "encoder-9"})


def test_as_a_vfm_the_window_is_resized_and_brought_to_minus_one_to_one(features):
    assert VFMS["sd15"].input_size == 672 and VFMS["sd15"].source == "diffusers"
    spec = VFMSpec("Stable Diffusion", "small", "diffusion", None, 64, (0.5,) * 3, (0.5,) * 3)
    vfm = VFM(features, spec, "small", 32)
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    expected = features.forward_features(nn.functional.interpolate(pixels * 2 - 1, size=(64, 64), mode="bilinear"))
    torch.testing.assert_close(vfm.features(vfm.normalize(pixels)), expected, rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- diffusers folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("sd"))


def test_a_diffusers_folder_loads_with_the_embedding_of_the_empty_prompt(folder):
    loaded, sha256 = load_stable_diffusion("sd15", "nowhere/nothing", folder, {"timestep": 1})
    assert len(sha256) == 64 and loaded.timestep == 1 and loaded.prompt.shape == (1, 77, 768)
    for name, value in small_unet(768).state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], value), name
    encoder = small_vae().encoder.state_dict()
    assert all(torch.equal(value, loaded.vae.encoder.state_dict()[name]) for name, value in encoder.items())
    from transformers import CLIPTextModel

    numbers = torch.tensor([[0] + [1] * 76])
    expected = CLIPTextModel.from_pretrained(folder / "text_encoder")(numbers).last_hidden_state
    torch.testing.assert_close(loaded.prompt, expected)
    assert loaded.forward_features(pictures(64, 64)).shape == (2, 16, 2, 2)


def test_a_folder_of_another_version_is_refused(folder):
    with pytest.raises(ValueError, match="does not fit sd21: its prompts are 768 wide instead of 1024"):
        load_stable_diffusion("sd21", "nowhere/nothing", folder, {})


def test_a_folder_that_does_not_exist_is_named_with_the_option_that_takes_one():
    with pytest.raises(FileNotFoundError, match="no weights for sd:/no/folder: .* pass vfm_weights=PATH"):
        load_vfm("sd:/no/folder")


def test_any_folder_or_repository_is_a_model_by_its_name(folder, monkeypatch):
    vfm = load_vfm(f"sd:{folder}", options={"timestep": 1})
    assert vfm.spec == VFMSpec("Stable Diffusion", str(folder), "diffusion", None, 672, (0.5,) * 3, (0.5,) * 3,
                               source="diffusers")
    monkeypatch.setattr(diffusion, "stored_folder", lambda repository, _: folder if repository == "me/mine" else None)
    (folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"which is not read")
    assert load_vfm("sd:me/mine").sha256 == vfm.sha256
    with pytest.raises(ValueError, match="untrained weights are for sd15 and sd21"):
        load_vfm("sd:me/mine", "random")


@pytest.mark.parametrize("damaged", [
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
    "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/vocab.json", "tokenizer/tokenizer_config.json", "pipe", "wide text encoder", "U-Net of SDXL",
    "lost tensor",
])
def test_a_damaged_part_of_a_folder_is_named_in_one_sentence(folder, damaged, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "sd"))
    named = copy / damaged.split("/")[0] if "/" in damaged else copy
    if damaged == "pipe":
        os.mkfifo(copy / "vae" / "another.bin")
    elif damaged == "lost tensor":
        named = copy / "text_encoder"
        path = named / "model.safetensors"
        state = load_file(path)
        save_file({key: value for key, value in state.items() if "mlp.fc1.bias" not in key}, path, {"format": "pt"})
    elif "/" not in damaged:
        config = copy / "unet" / "config.json"
        changed = {"in_channels": 9} if damaged == "U-Net of SDXL" else {"cross_attention_dim": 512}
        small = UNet2DConditionModel.from_config({**json.loads(config.read_text()), **changed})
        small.save_pretrained(copy / "unet")
    else:
        (copy / damaged).write_bytes((copy / damaged).read_bytes()[:-20])
    with pytest.raises((ValueError, FileNotFoundError), match=str(named)) as caught:
        load_vfm(f"sd:{copy}")
    assert "\n" not in str(caught.value)


def test_another_folder_is_refused_with_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no diffusers folder of Stable Diffusion"):
        load_stable_diffusion("sd15", "nowhere/nothing", tmp_path, {})


@pytest.mark.parametrize(("latent", "side"), [(84, 21), (88, 22)])
def test_a_whole_network_of_diffusers_upsamples_to_the_size_of_its_skip_connection(latent, side):
    """What "decoder-3 is 22 x 22 on an input of 672" leaves unsaid: 84 is no multiple of 8, so diffusers passes 21."""
    with torch.device("meta"), torch.no_grad():
        unet = UNet2DConditionModel(**UNETS["sd15"])
        seen = []
        unet.up_blocks[0].upsamplers[0].register_forward_hook(lambda *given: seen.append(tuple(given[-1].shape[1:])))
        unet(torch.empty(1, 4, latent, latent), 0, torch.empty(1, 77, 768))
    assert seen == [(1280, side, side)]
