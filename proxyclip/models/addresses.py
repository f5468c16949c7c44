"""Where weights and data sets are published: every repository and address in one table, and what to do there.

No address is opened when this is read: ``checked`` says when somebody last looked, and how it is known.
"""

from pathlib import Path
from typing import NamedTuple

from proxyclip.system.own_files import shipped


class Address(NamedTuple):
    """One place from which something is downloaded by hand or by the package."""

    url: str  #: A page, a file, or a repository of huggingface.co.
    gated: bool = False  #: Whether it asks for a login or for the acceptance of a licence.
    todo: str = ""  #: What to do where a plain download is not enough, or fails; else empty.
    #: When and by whom the address was last seen to work or to fail; "not checked" if only the packages and papers that
    #: name it are known.
    checked: str = "not checked"


#: Read from ``addresses.toml``, in the order written there.
ADDRESSES = shipped(Path(__file__).with_suffix(".toml"), dict[str, Address])


def place(name: str) -> str:
    """The address of a name in the table, with what to do there beside downloading."""
    return f"{ADDRESSES[name].url} ({notes(name)})"


def notes(*names: str) -> str:
    """Whether the first name that the table has is gated, what to do there, and when its address was checked."""
    found = next((ADDRESSES[name] for name in names if name in ADDRESSES), Address(""))
    return "; ".join(filter(None, ["gated" if found.gated else "", found.todo, f"address {found.checked}"]))
