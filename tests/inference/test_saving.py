"""A segmentation is written as two files or not at all, and what cannot be written is refused before a model runs."""

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import proxyclip as pc
from proxyclip.inference import legend, saving
from proxyclip.inference.saving import Destination


def result(height: int = 20, width: int = 24, names: tuple[str, ...] = ("sky", "grass")) -> pc.Segmentation:
    rng = np.random.default_rng(0)
    return pc.Segmentation(rng.integers(0, len(names), (height, width)), pc.Vocabulary.parse(names),
                           rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", [
    "x.psd", "x.cur", "x.fits", "x.mpg", "x.h5", "x.wmf", "x.ico", "x", "", ".", "nowhere/x.png", "a" * 245 + ".png",
    "a" * 300 + ".jpg", "\u00e4" * 124 + ".png", "x.png\\",
])
def test_a_name_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot write") as refused:
        Destination.checked(f"{tmp_path}/{name}")
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())
    assert len(str(refused.value)) < len(str(tmp_path)) + 200, "a long name is shown in short"


@pytest.mark.parametrize("kind", saving.FORMATS)
def test_every_format_that_is_offered_is_written(tmp_path: Path, kind: str) -> None:
    result().save(tmp_path / f"x{kind.upper()}")
    with Image.open(tmp_path / f"x{kind.upper()}") as opened:
        assert opened.width >= 24 and opened.format == saving.FORMATS[kind]
    assert sorted(path.suffix.lower() for path in tmp_path.iterdir()) == sorted([kind, ".png"])


@pytest.mark.parametrize(("kind", "side"), [("jpg", 65_501), ("webp", 16_384)])
def test_a_picture_that_is_too_wide_for_its_format_is_refused_and_the_widest_is_written(
    tmp_path: Path, kind: str, side: int
) -> None:
    with pytest.raises(ValueError, match=f"holds at most {side - 1} pixels a side"):
        Destination.checked(tmp_path / f"x.{kind}").check_size((side, 2))
    (tmp_path / "old").mkdir()
    labels = Image.new("L", (side - 1, 1))
    Destination.checked(tmp_path / "old" / f"x.{kind}").write(Image.new("RGB", (side - 1, 1)), labels)
    assert len(list((tmp_path / "old").iterdir())) == 2


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    result().save(tmp_path / "x.png")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def full(number: int) -> None:
        calls.append(number)
        if len(calls) == step:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failed:
        result(30, 30).save(tmp_path / "x.png")
    assert Path(failed.value.filename).parent == tmp_path and not Path(failed.value.filename).name.startswith(".")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_label_files_from_elsewhere_and_the_photo_are_kept_unless_forced(tmp_path: Path) -> None:
    labels = tmp_path / "x_labels.png"
    Image.new("L", (4, 4)).save(labels)
    with pytest.raises(ValueError, match="was not written by proxyclip"):
        result().save(tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x_labels.png"]
    result().save(tmp_path / "x.png", force=True)
    result().save(tmp_path / "x.png")  # now they are this package's own
    photo = tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(photo)
    (tmp_path / "link.png").symlink_to(photo)
    for output in (photo, tmp_path / "link.png"):
        with pytest.raises(ValueError, match="is the photo itself"):
            Destination.checked(output, photo=photo)
        assert Destination.checked(output, force=True, photo=photo).picture == output
    with pytest.raises(ValueError, match="is the photo itself"):
        Destination.checked(tmp_path / "x.png", photo=labels)


def test_an_overlay_does_not_depend_on_the_pixels_that_are_mixed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.asarray(result().overlay())
    monkeypatch.setattr("proxyclip.inference.segmentation.MIXED_PIXELS", 50)
    assert (np.asarray(result().overlay()) == picture).all()


def test_the_legend_writes_letters_of_other_alphabets() -> None:
    """Every letter has a shape of its own, and none is the box of a missing one."""
    drawn = {name: np.asarray(result(names=(name,)).overlay())[20:].tobytes() for name in ("ä", "я", "λ")}
    assert len(set(drawn.values())) == 3


def test_letters_that_the_first_font_lacks_are_taken_from_another_or_escaped_with_a_warning(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, no_letter = "\u2e80", "\u0378"  # in no font that matplotlib ships; in no alphabet
    monkeypatch.setattr("proxyclip.inference.legend._fonts", lambda: iter([legend.DEJAVU]))
    for name in (tree, no_letter):
        with pytest.warns(UserWarning, match=f"no font on this machine has the letters of red {name}"):
            escaped = np.asarray(result(names=(f"red {name}",)).overlay())
        literal = result(names=(f"red {name}".encode("unicode_escape").decode(),)).overlay()
        np.testing.assert_array_equal(escaped, np.asarray(literal))
    other = str(Path(legend.DEJAVU).with_name("STIXGeneral.ttf"))
    letter = chr(min(legend._letters(other) - legend._letters(legend.DEJAVU)))
    monkeypatch.setattr("proxyclip.inference.legend._fonts", lambda: iter(["/nowhere.ttf", legend.DEJAVU, other]))
    shown, font = legend._legible(letter, 12)
    assert (shown, font.path) == (letter, other)
