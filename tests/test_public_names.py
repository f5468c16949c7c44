"""What users of the first public version rely on still works: names, commands, options, notebook parameters."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import proxyclip as pc
from proxyclip.cli.app import app
from proxyclip.supplement.chapters.notebooks import find_root

RULES = {
    "Adaptive": "adaptive:1.2,3", "HardMask": "hard:0.4", "ClipAttention": "qq", "Vanilla": "vanilla",
    "MaskCLIP": "maskclip", "SCLIP": "sclip", "GEM": "gem", "ClearCLIP": "clearclip", "NACLIP": "naclip",
}
OTHERS = {"PAMR", "ProxyCLIP", "Rule", "Segmentation", "Vocabulary", "dataset", "evaluate", "load", "parse_rule",
          "read_image"}

MODEL = "--profile --clip --clip-weights --vfm --vfm-weights --window --stride --short-side --prob-threshold --device"
#: Every command with its arguments and options.
COMMANDS = {
    "segment": f"image --classes --classes-file --output -o --rule --pamr {MODEL}",
    "run": "chapter --output -o --parameter -p",
    "book": "--force --no-force",
    "doctor": "--data",
    "evaluate": f"--dataset --output --rule --pamr --data --limit --seed --vocabulary {MODEL} --dtype --on-error "
                "--save-every --timeout --grid --job",
    "prepare coco-object": "instances --data --overwrite",
    "prepare coco-stuff": "maps --data --names --overwrite",
    "prepare context": "maps --data --names --split --overwrite",
    "prepare pc459": "maps --data --names --split --overwrite",
    "prepare ade847": "release --data --overwrite",
}

#: Every notebook with the parameters of its own; all take the common ones.
COMMON = {"profile", "device", "limit", "seed", "output_dir", "vfm", "datasets"}
NOTEBOOKS = {
    "A_stable_diffusion": {"timesteps"}, "B_hyperparameters": {"betas", "gammas"}, "C_efficiency": {"size"},
    "D_hard_masking": {"alphas"}, "E_attention_variants": {"attentions"}, "F_large_vocabularies": {"sizes"},
    "G_qualitative": {"images"}, "H_since_then": set(),
}


def test_every_public_name_is_there():
    assert set(pc.__all__) >= {*RULES, *OTHERS}
    for name in {*RULES, *OTHERS}:
        assert getattr(pc, name).__name__ == name


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_its_class_and_its_spelling(name):
    rule = pc.parse_rule(RULES[name])
    assert type(rule) is getattr(pc, name) and pc.parse_rule(rule.name) == rule


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_its_arguments_and_options(name):
    command = typer.main.get_command(app)
    for part in name.split():
        command = command.commands[part]
    known = {opt for parameter in command.params for opt in (*parameter.opts, *parameter.secondary_opts)}
    assert set(COMMANDS[name].split()) <= known
    assert CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_takes_its_parameters(name):
    cells = json.loads((find_root() / f"notebooks/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    given = {line.split("=")[0].strip() for line in cell["source"] if "=" in line.split("#")[0]}
    assert given >= COMMON | NOTEBOOKS[name]


def test_the_commands_load_neither_numpy_nor_torch_before_one_of_them_runs():
    check = "import sys, proxyclip.cli.app; sys.exit(bool({'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


@pytest.mark.parametrize("code", [
    "import proxyclip.cli.app, proxyclip.supplement.chapters.notebooks",
    "import sys, proxyclip.cli.app as cli; sys.argv[1:] = ['prepare', '--help']\ntry: cli.main()\nexcept SystemExit: 0",
    "from proxyclip.data import prepare, vocab; vocab.load('coco_object')",
])
def test_what_computes_nothing_loads_no_torch(code):
    check = f"{code}\nimport sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], stdout=subprocess.DEVNULL).returncode == 0


def test_a_notebook_that_reloads_the_package_declares_torchvisions_schemas_once():
    check = ("import importlib, sys, proxyclip; importlib.reload(proxyclip); "
             "sys.exit(sum('torchvision' in type(one).__module__ for one in sys.meta_path) - 1)")
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
