"""Parameters of the chapters: read as they are typed, refused in one sentence."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from IPython.core.interactiveshell import InteractiveShell

import proxyclip as pc
from proxyclip.supplement.parameters import CHECKS, ChapterError, ParameterError, as_list, validate
from proxyclip.supplement.typed_values import from_command_line


@pytest.mark.parametrize(
    ("given", "read"),
    [("[1.0, 1.2]", [1.0, 1.2]), ("1.0, 1.2", [1.0, 1.2]), ("[1e-1, on, 2024-05-01]", [0.1, "on", "2024-05-01"]),
     (1.5, [1.5]), ((1, 2), [1, 2]), ("qk", ["qk"]),
     ("[qk, qq/each]", ["qk", "qq/each"]), ("tiny/voc, tiny/street", ["tiny/voc", "tiny/street"])],
)
def test_a_list_is_read_from_what_papermill_hands_over(given: object, read: list[object]) -> None:
    assert as_list(given) == read


@pytest.mark.parametrize(("text", "value"), [
    ("None", None), ("null", None), ("2024", 2024), ("1e-3", 0.001), ("True", True), ("on", "on"),
    ("2024-05-01", "2024-05-01"), ('"C:\\Users\\new"', "C:\\Users\\new"), ("C:\\Users\\new", "C:\\Users\\new"),
    ("[1.0", "[1.0"), ("a: b", "a: b"), ("", ""), ("9" * 5000, float("inf")),
])
def test_a_value_of_the_command_line_is_read_as_papermill_reads_it(text: str, value: object) -> None:
    from papermill.cli import _resolve_type

    assert from_command_line(text) == value
    if text not in ("null", '"C:\\Users\\new"') and len(text) < 100:  # beyond papermill: YAML's null, and quotes
        assert _resolve_type(text) == value


@pytest.mark.parametrize(("given", "read"), [("2024-05-01", "2024-05-01"), (2024, "2024"), ("on", "on")])
def test_a_folder_may_be_named_like_a_date_a_number_or_a_switch(given: object, read: str) -> None:
    assert validate("B", "tiny", output_dir=given)["output_dir"] == Path(read)


def test_good_values_come_back_in_working_types() -> None:
    checked = validate("B", "tiny", device="cpu", limit=8, seed=1, output_dir="runs", vfm="tiny_mae", betas="[1, 1.2]",
                       gammas=[3], datasets="[tiny/voc]", sizes=None)
    assert checked["vfm"] == ("tiny_mae",) and checked["betas"] == (1.0, 1.2) and checked["gammas"] == (3.0,)
    assert checked["output_dir"] == Path("runs") and checked["sizes"] is None and checked["profile"] == "tiny"
    with pc.register_vfm("tiny_own", torch.nn.Identity()):  # a user's own is tiny by its name
        assert validate("D", "tiny", vfm="[tiny_dino, tiny_own]")["vfm"] == ("tiny_dino", "tiny_own")


@pytest.mark.parametrize(("values", "sentence"), [
    ({"profile": "large"}, 'profile must be one of tiny, paper, got \'large\' (parameter "profile" of chapter B)'),
    ({"betas": "[-1]"}, 'beta must be a positive number, got -1 (parameter "betas" of chapter B)'),
    ({"betas": "[1.0, x]"}, "beta must be a positive number, got 'x'"),
    ({"betas": "[]"}, "the list is empty"),
    ({"betas": "[1.0, 1.0]"}, "a value occurs twice"),
    ({"gammas": [0]}, "gamma must be a positive number, got 0"),
    ({"alphas": [1.5]}, "alpha must be a number in [-1, 1] (a cosine), got 1.5"),
    ({"parts": "[0.2, 1.0]"}, "part must lie between 0 and 1, got 1.0"),
    ({"attentions": "[qv]"}, "unknown rule 'qv'"),
    ({"attentions": "adaptive"}, "attention must be qk, qq or kk, optionally with /each or /dot, got 'adaptive'"),
    ({"vfm": "resnet50"}, "vfm must be one of tiny_dino"),
    ({"vfm": "dino_vitb8"}, "on profile tiny, got 'dino_vitb8'"),
    ({"seeds": 0}, "seeds must be a whole number between 1 and 16, got 0"),
    ({"datasets": "voc21"}, "on profile tiny, got 'voc21'"),
    ({"limit": 0}, "limit must be a whole number between 1 and 1000000, got 0"),
    ({"limit": 2_000_000}, "limit must be a whole number between 1 and 1000000, got 2000000"),
    ({"limit": 2.5}, "limit must be a whole number between 1 and 1000000, got 2.5"),
    ({"limit": True}, "got True"),
    ({"seed": -1}, "seed must be a whole number between 0 and 999, got -1"),
    ({"device": "tpu"}, "device must be one of cpu"),
    ({"output_dir": ""}, "output_dir must be the name of a folder"),
    ({"output_dir": __file__}, "output_dir must be a folder, got the file"),
    ({"size": 100}, "size must be a multiple of 16, the largest patch, got 100"),
    ({"size": 0}, "size must be a whole number of at least 16, got 0"),
    ({"images": "[-1]"}, "image must be a whole number of at least 0, got -1"),
    ({"timesteps": "[1000]"}, "a time step must be a whole number between 0 and 999, got 1000"),
    ({"clip": "ViT-B-16-quickgelu"}, "clip must be one of tiny_clip on profile tiny"),
    ({"clip_weights": "/nowhere/ViT-B-16.pt"}, "clip_weights must be a file that exists, got '/nowhere/ViT-B-16.pt'"),
    ({"vfm_weights": "dino.pth"}, "vfm_weights must be a file or folder that exists"),
    ({"vfm_weights": "{tiny_dino: /nowhere.pth}"}, "vfm_weights of tiny_dino must be a file that exists"),
    ({"vfm_weights": {"dino_vitb8": "random"}}, "vfm must be one of tiny_dino"),
    ({"batch": 0}, "batch must be a whole number between 1 and 4096, got 0"),
    ({"dtype": "float8"}, "dtype must be one of auto, float32, float16, bfloat16, got 'float8'"),
    ({"dtype": "float16"}, "float16 needs a GPU; on the CPU the dtype is float32, or bfloat16"),
    ({"data": "."}, "data must be None on profile tiny"),
    ({"profile": "paper", "data": "/nowhere"}, "data must be a folder that exists, got '/nowhere'"),
    ({"profile": "paper", "data": pd.DataFrame()}, "data must be the folder of the benchmarks, got a DataFrame"),
    ({"section": "D", "profile": "paper", "vfm_weights": __file__}, "must be a mapping such as {mae_vitb16: FILE}"),
    ({"vfm_weights": '{tiny_dino: "C:\\Users\\new.pth"}'}, r"must be a file that exists, got 'C:\\Users\\new.pth'"),
    ({"section": "A", "vfm": "[tiny_dino, tiny_sam]"}, "vfm must be a single name, got tiny_dino, tiny_sam"),
    ({"colour": "red"}, "there is no such parameter; there are profile, device"),
    *(({"betas": text}, "a list such as [1.0, 1.2] is expected") for text in (
        "[1.0", "{a: [", "[" * 500, "[!!python/object/apply:os.system [x]]", "[*a]", "[1:\t2", '["\0"]', "[{[a]: b}]")),
])
def test_a_value_that_makes_no_sense_is_refused_in_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        validate(**{"section": "B", "profile": "tiny", **values})
    message = str(caught.value)
    assert sentence in message and "\n" not in message
    assert message.endswith(f'(parameter "{[*values][-1]}" of chapter {values.get("section", "B")})')


def test_a_notebook_shows_the_sentence_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.user_ns["error"] = ChapterError("No data.")
    shell.run_cell("raise error")
    assert capsys.readouterr().out == "ChapterError: No data.\n"


typed = st.one_of(
    st.text(max_size=40), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(max_size=4),
    st.text("[]{},:'\"\\ab01.-eE*&!#\n", max_size=30),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers()), max_size=2),
    st.sampled_from(["a" * 5000, "/" * 300, "\0", "~", "[[]]", "{}", "1e999", "9" * 5000, "[.nan]", "adaptive:1,2,3"]),
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.sampled_from("BCFG"), st.sampled_from(["tiny", "paper"]), st.sampled_from(sorted(CHECKS)), typed)
def test_any_value_is_taken_or_refused_in_one_sentence(section: str, profile: str, name: str, value: object) -> None:
    for read in (value, from_command_line(value) if isinstance(value, str) else value):
        try:
            validate(section, profile, **{name: read})
        except ParameterError as error:
            assert "\n" not in str(error) and f'"{name}"' in str(error)
