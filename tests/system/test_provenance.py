"""Which edits of the code make a measurement stale."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from proxyclip.system.provenance import CHAPTERS, METHOD, PACKAGE, digest_of_code, digest_of_own

SOURCE = '''"""A module."""
def halve(x):
    """Half of x."""
    return x / 2  # exact
'''
TABLE = "beta = 1.2  # printed"


@pytest.mark.parametrize(("file", "before", "after", "stale"), [
    ("attention.py", "# exact", "# without rounding", False),
    ("attention.py", "Half of x.", "x divided by two.", False),
    ("attention.py", "x / 2", "x / 3", True),
    ("rules/qq.py", "x / 2", "x  /  2", False),
    ("rules/qq.py", "x / 2", "x * 2", True),
    ("cli/app.py", "x / 2", "x / 3", False),
    ("rules/table.toml", "# printed", "# as printed", False),
    ("rules/table.toml", "1.2", "1.3", True),
])
def test_only_edits_of_what_computes_change_the_digest(file, before, after, stale, tmp_path):
    copies = [tmp_path / "before", tmp_path / "after"]
    for copy in copies:
        for path in ("attention.py", "rules/qq.py", "rules/table.toml", "cli/app.py"):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            edited = copy.name == "after" and path == file
            text = TABLE if path.endswith(".toml") else SOURCE
            (copy / path).write_text(text.replace(before, after) if edited else text)
    first, second = (digest_of_code(("attention.py", "rules"), copy) for copy in copies)
    assert (first != second) == stale


def test_every_part_of_the_method_exists_and_no_command_is_among_them():
    assert all(list(PACKAGE.glob(part)) for part in METHOD + CHAPTERS)
    assert not [part for part in METHOD + CHAPTERS if part.startswith("cli")]


class Holding(nn.Module):
    def __init__(self, held: object) -> None:
        super().__init__()
        self.held = held


@pytest.mark.parametrize(("held", "other"), [
    (2, 3), ("same", "valid"), ((1, {"a": 2.0}), (1, {"a": 2.5})), (torch.arange(3000), torch.arange(3000) % 2999),
    (np.ones(2), np.zeros(2)), ({3, 5}, {3, 6}), (torch.float16, torch.float32), (nn.ReLU, nn.GELU),
    (slice(2), slice(3)), ([nn.Linear(2, 2)], [nn.Linear(2, 2)]),
])
def test_a_users_model_is_known_by_all_that_it_holds_and_not_by_where_it_lies_in_memory(held, other):
    found, again, changed = (digest_of_own(Holding(one), "") for one in (held, deepcopy(held), other))
    assert found == again != changed
    assert digest_of_own(Holding(object()), "") == digest_of_own(Holding(object()), "")
