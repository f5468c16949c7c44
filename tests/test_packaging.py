"""The lists of packages agree with each other, and the repository says what it says once."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import proxyclip
from proxyclip.supplement.chapters.notebooks import find_root

ROOT = find_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!]+)")


def requirements() -> list[Requirement]:
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    everything = [Requirement(line) for lines in lists for line in lines]
    return [one for one in everything if canonicalize_name(one.name) != "proxyclip"]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        match = PIN.fullmatch(line)
        assert match, f"constraints.txt: {line!r} is not NAME==VERSION"
        name = canonicalize_name(match["name"])
        assert name not in found, f"constraints.txt: {name} is there twice"
        found[name] = Version(match["version"])
    return found


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    version = pins().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} is not in constraints.txt"
    assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"


def test_no_pin_names_a_build_that_one_platform_only_has() -> None:
    assert not [name for name, version in pins().items() if version.local]


def test_every_action_of_the_workflows_is_pinned_by_commit_with_its_version_beside() -> None:
    uses = [line.strip().removeprefix("- ") for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
            for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    pinned = re.compile(r"uses: actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
    assert uses and not [line for line in uses if not pinned.fullmatch(line)]
    assert len({line.partition("@")[0] for line in uses}) == len(set(uses)), "one action is pinned to two commits"


def test_conda_users_install_from_the_same_lists() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (python,) = [line for line in environment["dependencies"] if str(line).startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    (through_pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert through_pip == ["-c constraints.txt", "-e .[dev]"]


def test_the_citation_has_the_package_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == proxyclip.__version__
    assert citation["license"] == PROJECT["license"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Lan", "Chen", "Ke", "Wang", "Feng", "Zhang"]


def test_an_unknown_public_name_is_refused() -> None:
    assert set(proxyclip.__all__) <= set(dir(proxyclip))
    with pytest.raises(AttributeError, match="No proxyclip attribute segmentate"):
        _ = proxyclip.segmentate
