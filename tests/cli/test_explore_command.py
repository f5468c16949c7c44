"""``proxyclip explore``: unusual photos also give a page, and a wrong call gives one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import output_of
from PIL import Image

import proxyclip as pc
from proxyclip.system import devices


def data_of(page: Path) -> dict[str, Any]:
    return json.loads(page.read_text(encoding="utf-8").partition('id="explorer-data">')[2].partition("</script>")[0])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pc.dataset("tiny/street")[0].image.crop((0, 0, 96, 96)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_several_models_a_rule_and_classes_are_all_on_the_page(photo: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    said = output_of("explore", photo, "--classes", "sky; cloud, road", "--vfm", "tiny_dino", "--vfm", "tiny_mae",
                     "--rule", "hard:0.3", "--short-side", "0", "-o", page)
    assert "tiny_dino and tiny_mae" in said
    data = data_of(page)
    (scene,) = data["scenes"]
    assert [source["key"] for source in scene["sources"]] == ["tiny_dino", "tiny_mae", "qk", "qq", "kk"]
    assert data["state"] == {"rule": "hard", "alpha": 0.3} and scene["queries"] == ["sky", "cloud", "road"]


def test_all_models_of_a_page_run_in_the_precision_that_is_asked_for(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: True)  # slow where it does not, but possible
    output_of("explore", photo, "--vfm", "tiny_dino", "--vfm", "tiny_sam", "--dtype", "bfloat16", "-o",
              tmp_path / "page.html")
    (scene,) = data_of(tmp_path / "page.html")["scenes"]
    assert [source["key"] for source in scene["sources"]] == ["tiny_dino", "tiny_sam"]


@pytest.mark.parametrize(("size", "options"), [((64, 64), []), ((5, 3), ["--short-side", "0"]), ((5, 3), [])],
                         ids=["grey", "tiny", "tiny enlarged"])
def test_an_image_without_contrast_and_a_tiny_one_give_a_page(
    size: tuple[int, int], options: list[str], tmp_path: Path
) -> None:
    Image.new("RGB", size, "grey").save(tmp_path / "photo.png")
    output_of("explore", tmp_path / "photo.png", "--classes", "sky, grass", *options, "-o", tmp_path / "page.html")
    assert len(data_of(tmp_path / "page.html")["scenes"]) == 1


def test_two_hundred_classes_and_one_class_and_none_give_a_page(photo: Path, tmp_path: Path) -> None:
    many = ", ".join(f"{colour} car {number}" for colour in ("red", "blue") for number in range(100))
    for classes in (["--classes", many], ["--classes", "car"], []):
        page = tmp_path / "page.html"
        output_of("explore", photo, *classes, "--short-side", "0", "-o", page)
        (scene,) = data_of(page)["scenes"]
        assert (scene["readout"] is None) is (not classes)


def test_a_large_photo_is_shown_reduced(tmp_path: Path) -> None:
    pc.dataset("tiny/street")[0].image.resize((4000, 2600)).save(tmp_path / "photo.jpg")
    page = tmp_path / "page.html"
    output_of("explore", tmp_path / "photo.jpg", "--classes", "sky, road", "-o", page)
    (scene,) = data_of(page)["scenes"]
    assert scene["size"] == [416, 640] and page.stat().st_size < 3e6


@pytest.mark.parametrize(("options", "said"), [
    (["--rule", "maskclip"], "does not offer the rule maskclip"), (["-o", "page.png"], "its name ends in .html"),
    (["-o", "none/page.html"], "the folder none does not exist"),
    (["--vfm", "tiny_dino", "--vfm", "tiny_dino"], "names a model twice"), (["--vfm", "none"], "unknown VFM"),
    (["--vfm-weights", "random", "--vfm-weights", "random"], "name each with --vfm"), (["--classes", ","], "empty"),
])
def test_wrong_calls_end_in_one_sentence(photo: Path, options: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        output_of("explore", photo, *options)
    assert "\n" not in str(caught.value)
