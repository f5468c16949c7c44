"""Imports run one way, from the equations up to the command line, and every name means one thing.

The graph is read from the code: imports of modules, of functions and under ``TYPE_CHECKING``, and the names that
:mod:`proxyclip` imports when they are first asked for. A floor is a file or a folder of ``proxyclip/``.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import proxyclip

PACKAGE = Path(proxyclip.__file__).parent
#: From the ground up; those on one line do not import each other.
FLOORS = (
    "_torchvision_schemas attention system text",
    "rules",
    "models",
    "inference tiny",
    "data explorer",
    "segment",
    "evaluation loading",
    "diagnosis efficiency supplement",
    "__init__",
    "cli",
    "__main__",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
FOLDERS = sorted({path.parent for path in SOURCES.values()})


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in SOURCES else str(node.module))
    if module == "proxyclip":  # the names that are imported when they are first asked for
        stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
        found |= {f"proxyclip.{node.module}" for node in stub.body if isinstance(node, ast.ImportFrom)}
    return {name for name in found if name in SOURCES and name != module}


ARROWS = {(module, target) for module in SOURCES for target in imports_of(module)}


def floor(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_run_one_way_between_the_floors():
    rank = {name: number for number, names in enumerate(FLOORS) for name in names.split()}
    assert rank.keys() == {floor(module) for module in SOURCES}
    back = [f"{a} -> {b}" for a, b in sorted(ARROWS) if floor(a) != floor(b) and rank[floor(a)] <= rank[floor(b)]]
    assert not back, f"imports run back: {', '.join(back)}"


@pytest.mark.parametrize("folder", [None, *FOLDERS], ids=lambda folder: folder.name if folder else "modules")
def test_no_imports_go_round_in_a_circle(folder: Path | None):
    """Neither between modules, nor between what lies in one folder, where a folder below it counts as one."""
    graph: dict[str, set[str]] = {}
    for arrow in ARROWS:
        source, target = (within(folder, module) if folder else module for module in arrow)
        if source and target and source != target:
            graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("imports go round in a circle: " + " -> ".join(reversed(error.args[1])))


def within(folder: Path, module: str) -> str:
    """The file or folder in a folder that holds a module; nothing for modules elsewhere."""
    return next((path.stem for path in (SOURCES[module], *SOURCES[module].parents) if path.parent == folder), "")


@pytest.mark.parametrize("beside", ["book", "training"])
def test_nothing_that_is_installed_imports_what_builds_the_book_or_trains_the_models(beside: str):
    importing = {f"{name}: line {node.lineno}" for name, tree in TREES.items() for node in ast.walk(tree)
                 if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == beside
                 or isinstance(node, ast.Import) and any(a.name.split(".")[0] == beside for a in node.names)}
    assert not importing


def test_the_package_holds_eight_files_at_most_and_every_folder_ten_modules():
    for folder in FOLDERS:
        files = {path.name for path in SOURCES.values() if path.parent == folder}
        held = len(files) if folder == PACKAGE else len(files - {"__init__.py"})
        assert held <= (8 if folder == PACKAGE else 10), f"{folder.relative_to(PACKAGE.parent)} holds {held} modules"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_folder_says_its_purpose_in_one_line(folder):
    first = (ast.get_docstring(TREES[module_name(folder / "__init__.py")]) or "").split("\n")[0]
    assert first.endswith(".") and len(first) > 30


def test_every_module_has_a_name_of_its_own_and_no_function_has_it_too():
    names = Counter(path.stem for path in SOURCES.values() if not path.stem.startswith("__"))
    assert not [name for name, times in names.items() if times > 1]
    same = [module for module, tree in TREES.items() for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name == SOURCES[module].stem]
    assert not same, f"functions named like their modules: {', '.join(same)}"
