"""The sets and foundation models of a chapter, by profile, where its parameter is None."""

from pathlib import Path

from proxyclip.system.own_files import shipped

_TABLES = shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, dict[str, tuple[str, ...]]]])
#: Sets of each chapter where the parameter ``datasets`` is None, by profile.
CHAPTER_SETS = _TABLES["sets"]
#: Vision foundation models of a chapter where the parameter ``vfm`` is None; chapters not named take the profile's.
VFMS_OF = _TABLES["vfms"]

#: Folders with the results of other runs, relative to the one that the notebook runs in.
RESULT_FOLDERS = ("results", "../results")
