"""Five verdicts recomputed from the chapters' JSON files with pandas alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proxyclip.supplement import result_files
from proxyclip.supplement.claims.ledger import judge

BASELINES = Path(__file__).resolve().parents[2] / "baselines"
DEFAULT, CLOSE = "adaptive:1.2,3", 0.95


def read(section: str) -> tuple[Path, pd.DataFrame]:
    path = next(BASELINES.glob(f"{section}_*.json"))
    frame = pd.DataFrame(json.loads(path.read_text())["records"])
    columns = ["dataset", "vfm", "rule", "setting"]
    frame = frame.reindex(columns=[*frame.columns, *(name for name in [*columns, "error"] if name not in frame)])
    frame[columns] = frame[columns].astype(object).fillna("")
    return path, frame.fillna({"error": 0.0})


def with_dino(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows without a VFM, and those of the DINO that is measured, else of the first VFM."""
    names = list(dict.fromkeys(frame.loc[frame["vfm"] != "", "vfm"]))
    chosen = next((name for name in names if name in ("tiny_dino", "tiny_dino8")), names[0])
    return frame[frame["vfm"].isin(["", chosen])]


def means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean over the seeds and its standard error."""
    found = frame.groupby(keys)["value"].mean().to_frame()
    errors = frame.assign(square=frame["error"] ** 2).groupby(keys)["square"]
    return found.assign(error=errors.sum() ** 0.5 / errors.size())


def e1(frame: pd.DataFrame) -> bool:
    table = means(frame[frame["metric"] == "miou"], ["rule", "dataset"])
    parts = [table.loc[rule] for rule in ("vanilla", "qk")]
    low, high = (part["value"].mean() for part in parts)
    low_error, high_error = (np.sqrt((part["error"] ** 2).sum()) / len(part) for part in parts)
    return CLOSE * high - low > np.hypot(CLOSE * high_error, low_error)


def e3(frame: pd.DataFrame) -> bool:
    table = means(with_dino(frame[frame["metric"] == "miou"]), ["rule", "dataset"])
    holds = []
    for name, proxy in table.loc[DEFAULT].iterrows():
        best = max((table.loc[kind, name] for kind in ("qk", "qq", "kk")), key=lambda row: row["value"])
        holds.append(proxy["value"] - best["value"] > np.hypot(proxy["error"], best["error"]))
    return all(holds)


def b3(frame: pd.DataFrame) -> bool:
    rows = with_dino(frame[(frame["metric"] == "miou") & frame["rule"].str.startswith("adaptive")])
    values = means(rows, ["dataset", "rule"])["value"].unstack()
    return bool((values[DEFAULT] >= CLOSE * values.max(axis=1)).all())


def d2(frame: pd.DataFrame) -> bool:
    rows = frame[frame["metric"] == "miou"]
    values = means(rows, ["vfm", "rule"])["value"].unstack()
    hard = [rule for rule in values if rule.startswith("hard:") and float(rule.removeprefix("hard:")) <= 0.8]
    return bool((values[DEFAULT] >= CLOSE * values[hard].max(axis=1)).all())


def g1(frame: pd.DataFrame) -> bool:
    table = means(with_dino(frame[(frame["metric"] == "boundary_iou") & (frame["rule"] != "identity")]),
                  ["dataset", "rule"])
    holds = []
    for name in table.index.levels[0]:
        part = table.loc[name]
        proxy, rest = part.loc[DEFAULT], part.drop(index=DEFAULT)
        best = rest.loc[rest["value"].idxmax()]
        holds.append(proxy["value"] - best["value"] > np.hypot(proxy["error"], best["error"]))
    return all(holds)


@pytest.mark.parametrize(("claim", "recomputed"), [("E1", e1), ("E3", e3), ("B3", b3), ("D2", d2), ("G1", g1)])
def test_a_verdict_follows_from_the_records_with_pandas_alone(claim, recomputed):
    path, frame = read(claim[0])
    verdict = judge(result_files.load(path).records, claim[0])[claim]
    assert verdict.status == ("holds" if recomputed(frame) else "does not hold")
