"""Grey levels of every width, written byte by byte: labels are what the file holds, not what a viewer shows."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from proxyclip import read_image
from proxyclip.data.samples import stored_labels

LEVELS = np.arange(12).reshape(3, 4)


def packed(levels: np.ndarray, bits: int) -> list[bytes]:
    """Rows of levels, ``bits`` of each, the first in the highest bits."""
    text = ["".join(f"{level:0{bits}b}" for level in row) for row in levels]
    return [int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8)) for row in text]


def tiff(levels: np.ndarray, bits: int, white_is_zero: bool, lowest_first: bool = False) -> bytes:
    data = b"".join(packed(levels, bits))
    if lowest_first:  # the first pixel in the lowest bits of a byte, as some scanners write it
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    data += b"\0" * (len(data) % 2)
    entries = {256: levels.shape[1], 257: len(levels), 258: bits, 259: 1, 262: int(not white_is_zero),
               266: 1 + lowest_first, 273: 8, 277: 1, 278: len(levels), 279: len(data)}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + fields + b"\0" * 4


def chunk(kind: bytes, content: bytes, damaged: bool = False) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ damaged)


def png(levels: np.ndarray, bits: int, before: bytes = b"", after: bytes = b"", channels: int = 1) -> bytes:
    """Of rows of grey levels, or of three levels for each pixel."""
    header = struct.pack(">IIBBBBB", levels.shape[1] // channels, len(levels), bits, channels - 1, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in packed(levels, bits)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after
            + chunk(b"IEND", b""))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_label_files_of_any_number_of_bits_keep_their_values(bits: int, white_is_zero: bool, tmp_path: Path) -> None:
    levels = LEVELS % 2**bits
    (tmp_path / "labels.tif").write_bytes(tiff(levels, bits, white_is_zero))
    np.testing.assert_array_equal(stored_labels(tmp_path / "labels.tif"), levels)
    if bits < 8 or not white_is_zero:  # which Pillow cannot read
        (tmp_path / "scan.tif").write_bytes(tiff(levels, bits, white_is_zero, lowest_first=True))
        np.testing.assert_array_equal(stored_labels(tmp_path / "scan.tif"), levels)
    (tmp_path / "labels.png").write_bytes(png(levels, bits))
    np.testing.assert_array_equal(stored_labels(tmp_path / "labels.png"), levels)
    shown = levels * (255 // (2**bits - 1))
    expected = 255 - shown if white_is_zero else shown
    np.testing.assert_array_equal(read_image(tmp_path / "labels.tif")[..., 0], expected)


@pytest.mark.parametrize("kind", [b"tEXt", b"eXIf", b"pHYs", b"zTXt"])
def test_a_wrong_checksum_of_metadata_is_no_damage_but_one_of_pixels_is(kind: bytes, tmp_path: Path) -> None:
    path, damaged = tmp_path / "photo.png", chunk(kind, b"Comment\0hello", damaged=True)
    for content in (png(LEVELS, 8, before=damaged), png(LEVELS, 8, after=damaged)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_image(path)[..., 0], LEVELS)
    path.write_bytes(png(LEVELS, 8, damaged + chunk(b"tRNS", b"\0\5")))
    np.testing.assert_array_equal(read_image(path)[..., 0], np.where(LEVELS == 5, 255, LEVELS))
    whole = png(LEVELS, 8)
    at = whole.index(b"IDAT") + 6
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"photo\.png cannot be decoded"):
        read_image(path)
    path.write_bytes(whole[: at + 3])
    with pytest.raises(ValueError, match=r"photo\.png"):
        read_image(path)


def test_a_transparent_colour_of_16_bits_lies_over_white(tmp_path: Path) -> None:
    levels = 256 * np.array([[7, 8, 9, 7, 8, 200]]) + 99
    clear = chunk(b"tRNS", struct.pack(">3H", *levels[0, :3]))
    (tmp_path / "photo.png").write_bytes(png(levels, 16, clear, channels=3))
    assert read_image(tmp_path / "photo.png").tolist() == [[[255, 255, 255], [7, 8, 200]]]


def test_the_levels_of_other_writers_are_kept(tmp_path: Path) -> None:
    Image.fromarray(LEVELS.astype(np.uint8)).save(tmp_path / "labels.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(stored_labels(tmp_path / "labels.tif"), LEVELS)
