"""The sets and foundation models of a chapter, by profile, where its parameter is None."""

import json
from pathlib import Path

from proxyclip.loading import PROFILES
from proxyclip.system.own_files import shipped

_TABLES = shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, dict[str, tuple[str, ...]]]])
#: Sets of each chapter where the parameter ``datasets`` is None, by profile.
CHAPTER_SETS = _TABLES["sets"]
#: Vision foundation models of a chapter where the parameter ``vfm`` is None; chapters not named take the profile's.
VFMS_OF = _TABLES["vfms"]

#: Folders with the results of other runs, relative to the one that the notebook runs in.
RESULT_FOLDERS = ("results", "../results")


def usual_vfms(section: str, profile: str) -> tuple[str, ...]:
    """Vision foundation models of a chapter where the parameter ``vfm`` is None."""
    names = VFMS_OF[profile].get(section, (PROFILES[profile].vfm,))
    return tuple(filter(_is_shipped, names))


def _is_shipped(vfm: str) -> bool:
    """Whether a tiny model has weights in this version of the package; the others come from their hubs."""
    if not vfm.startswith("tiny_"):
        return True
    from proxyclip.tiny import models

    return models.MANIFEST.is_file() and vfm in json.loads(models.MANIFEST.read_text(encoding="utf-8"))
