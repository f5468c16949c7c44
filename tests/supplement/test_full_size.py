"""One chapter on the architectures as they are published, untrained: nothing that small models hide stops it."""

from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
import user_machine
from miniature import write_tree

from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.loading import load

pytestmark = pytest.mark.slow
CHAPTER = next((Path(__file__).resolve().parents[2] / "notebooks").glob("E_*.ipynb"))
#: Parameters of CLIP's two towers together, as open_clip's table of models has them.
CLIP_PARAMETERS = {"ViT-B-16-quickgelu": 149_620_737, "ViT-L-14-quickgelu": 427_616_513, "ViT-H-14": 986_109_441}


def test_chapter_e_runs_on_the_models_of_the_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one square image, which is one window of a size that resizes positions, and with two of the 80 prompts."""
    windows = replace(BENCHMARKS["voc20"].protocol, short_side=160, window=160, stride=80)
    monkeypatch.setitem(BENCHMARKS, "voc20", replace(BENCHMARKS["voc20"], protocol=windows))
    monkeypatch.setattr(open_clip, "OPENAI_IMAGENET_TEMPLATES", open_clip.OPENAI_IMAGENET_TEMPLATES[:2])
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    write_tree("voc20", tmp_path / "data" / "VOC2012", size=(44, 44))
    result = user_machine.run_notebook(
        CHAPTER, profile="paper", data=str(tmp_path / "data"), datasets=["voc20"], limit=1, output_dir="runs",
        clip_weights="random", vfm_weights="random")
    assert set(result.provenance["weights_sha256"]) == {"ViT-B-16-quickgelu (random)", "dino_vitb8"}
    assert {record.dataset for record in result.records} == {"voc20"} and result.verdicts
    assert len({record.rule for record in result.records if record.metric == "miou"}) == 12


@pytest.mark.parametrize("clip", CLIP_PARAMETERS)
def test_the_architectures_are_those_of_their_names(clip: str) -> None:
    with torch.device("meta"):
        model = load("paper", clip=clip, clip_weights="random", vfm=None, device="meta").clip.model
    assert sum(parameter.numel() for parameter in model.parameters()) == CLIP_PARAMETERS[clip]
