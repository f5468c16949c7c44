"""Own files are read whole or set aside, and what is said about them."""

import pytest

from proxyclip.models.addresses import Address
from proxyclip.system.own_files import read_own, shipped, unseal, unsealed_json, write_json, write_sealed

RECORD = {"miou": 31.25, "rules": ["qq"], "none": None, "ä": [1, 2.5e-17]}


@pytest.mark.parametrize(("write", "parse", "kept"), [
    (write_json, unsealed_json, RECORD), (write_sealed, unseal, b"counts")])
def test_a_file_gives_back_what_was_written_and_every_cut_and_changed_byte_is_named_and_set_aside(
    write, parse, kept, tmp_path
):
    path = tmp_path / "kept"
    write(path, kept)
    whole = path.read_bytes()
    assert read_own(path, parse, "") == kept
    damaged = [whole[:length] for length in range(0, len(whole) - 1, 7)]
    damaged += [whole[:at] + bytes([byte ^ 1]) + whole[at + 1 :] for at, byte in enumerate(whole[:-1])]
    for content in damaged:
        if parse is unsealed_json and content.split() == whole.split():
            continue
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=r"kept is damaged: .*; set aside as kept.damaged, it is made again"):
            found = read_own(path, parse, "it is made again")
        assert found is None and not path.exists() and (tmp_path / "kept.damaged").read_bytes() == content
    assert read_own(path, parse, "") is None


@pytest.mark.parametrize(("text", "sentence"), [
    ("[CLIP]\ngated = true", r"CLIP.url: Field required"),
    ("[CLIP]\nurl = 'a'\ngated = 'no'", r"CLIP.gated: Input should be a valid boolean, got 'no'"),
    ("[CLIP]\nurl = 'a'\ngate = true", r"CLIP.gate: .*, got True"),
    ("[CLIP", r"Expected ']'"),
])
def test_a_table_of_the_package_that_was_changed_is_named_with_the_value_that_is_wrong(text, sentence, tmp_path):
    (tmp_path / "table.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"table.toml is not as it was installed: {sentence}"):
        shipped(tmp_path / "table.toml", dict[str, Address])
