"""One chapter's run: parameters in, models and sets, records collected, claims judged, one file out.

>>> from proxyclip.supplement.experiment import Experiment  # doctest: +SKIP
>>> run = Experiment("D", profile="tiny", limit=16, seed=0, output_dir="runs",
...                  alphas="[0.0, 0.4]")
>>> found = run.measure(["hard:0.4", "adaptive"])  # doctest: +SKIP
>>> run.finish()  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from proxyclip.data.base import Dataset
from proxyclip.data.datasets import dataset
from proxyclip.data.protocol_card import card_of
from proxyclip.data.samples import DataError
from proxyclip.evaluation import evaluator
from proxyclip.evaluation.result import Evaluation
from proxyclip.loading import PROFILES, load, with_vfm
from proxyclip.rules import MaskingRule, Rule, parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement import records as results
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.display_names import stand_ins
from proxyclip.supplement.parameters import CHAPTER_SETS, RESULT_FOLDERS, VFMS_OF, ChapterError, _is_shipped, validate
from proxyclip.supplement.records import Record, Result
from proxyclip.system.provenance import device_line, digest_of_weights, versions


class Experiment:
    """A chapter while it runs.

    Building one checks the parameters, opens the sets and loads the first model, so that what is missing stops the
    notebook in its first cell.

    Parameters
    ----------
    section : str
        Letter of the chapter.
    **parameters
        As in the notebook's ``parameters`` cell; see :func:`proxyclip.supplement.parameters.validate`.

    Attributes
    ----------
    sets : dict of str to Dataset
        Of the first seed, where they are generated.
    vfms : tuple of str
    records : list of Record

    Raises
    ------
    ChapterError
        In one sentence, when a parameter is not allowed or models or data cannot be loaded.
    """

    def __init__(self, section: str, **parameters: Any) -> None:
        self._started = time.perf_counter()
        self.section = section
        self.given = dict(parameters)
        checked = validate(section, parameters.pop("profile"), **parameters)
        self.profile: str = checked["profile"]
        self.device: str = checked.get("device") or "cpu"
        self.limit: int | None = checked.get("limit")
        self.seed: int = checked.get("seed") or 0
        count = (checked.get("seeds") or 1) if self.profile == "tiny" else 1
        self.seeds: tuple[int, ...] = tuple(range(self.seed, self.seed + count))
        self.output_dir: Path = checked.get("output_dir") or Path("runs")
        self.parameters = checked
        usual = VFMS_OF[self.profile].get(section, (PROFILES[self.profile].vfm,))
        self.vfms: tuple[str, ...] = checked.get("vfm") or tuple(filter(_is_shipped, usual))
        self.records: list[Record] = []
        self._models: dict[str | None, ProxyCLIP] = {}
        try:
            names = checked.get("datasets") or CHAPTER_SETS[self.profile][section]
            self.sets: dict[str, Dataset] = {name: self._open(name) for name in names}
            self.model()
        except (DataError, FileNotFoundError, ValueError, OSError) as error:
            raise ChapterError(f"chapter {section} cannot start on profile {self.profile}: {error}") from None

    @property
    def vfm(self) -> str | None:
        """The chapter's (first) vision foundation model; None where this version ships none of its kind."""
        return self.vfms[0] if self.vfms else None

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(f"chapter {self.section} has no parameter {name!r}") from None

    def model(self, vfm: str | None = None) -> ProxyCLIP:
        """The model with a vision foundation model, loaded once; CLIP is shared by all of them."""
        vfm = self.vfm if vfm is None else vfm
        if vfm not in self._models:
            alone = next(iter(self._models.values()), None)
            if alone is None:
                self._models[vfm] = load(self.profile, vfm=vfm, device=self.device)
            else:
                self._models[vfm] = with_vfm(alone, vfm)
        return self._models[vfm]

    def _open(self, name: str, seed: int | None = None) -> Dataset:
        if self.profile == "paper":
            return dataset(name)
        from proxyclip.tiny.world.sets import SETS

        length = {} if self.limit is None else {"length": self.limit}
        return dataset(name, seed=SETS[name].test_seed + (self.seed if seed is None else seed), **length)

    def scenes(self, name: str) -> list[tuple[int | None, Dataset]]:
        """A set once for each seed of its scenes; a benchmark once, without a seed."""
        if self.profile != "tiny":
            return [(None, self.sets[name])]
        return [(seed, self.sets[name] if seed == self.seed else self._open(name, seed)) for seed in self.seeds]

    def evaluate(self, vfm: str | None, data: Dataset, rules: Sequence[Rule | str]) -> Evaluation:
        """Score rules on a set in one pass of the backbones; a VFM of None takes the chapter's own."""
        return evaluator.run(self.model(vfm), data, rules, self.limit)

    def measure(
        self, rules: Sequence[Rule | str], setting: str | Mapping[str, str] = ""
    ) -> dict[tuple[str, str | None, int | None], Evaluation]:
        """Score rules on every set, seed and VFM, and keep the records.

        Rules that read CLIP alone are scored once, beside the first VFM. ``setting`` may differ by rule name.

        Returns
        -------
        dict of (set, VFM, seed) to Evaluation
        """
        rules = [parse_rule(rule) if isinstance(rule, str) else rule for rule in rules]
        masking = [rule for rule in rules if isinstance(rule, MaskingRule)]
        found = {}
        for name in self.sets:
            for seed, data in self.scenes(name):
                for number, vfm in enumerate(self.vfms or (None,)):
                    chosen = masking if number else rules
                    if chosen:
                        found[name, vfm, seed] = self.evaluate(vfm, data, chosen)
                        self.add(found[name, vfm, seed].frame(), name, vfm, setting, seed)
        return found

    def stands_for(self, name: str) -> str:
        """The benchmark that a generated set imitates; for a benchmark, its own name."""
        return stand_ins().get(name, name) if self.profile == "tiny" else name

    def add(
        self, frame: pd.DataFrame, dataset: str, vfm: str | None = None, setting: str | Mapping[str, str] = "",
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Keep what :func:`proxyclip.evaluate`'s frame holds of each rule; returns the frame."""
        self.records += results.from_evaluation(
            frame, self.section, self.profile, dataset, vfm or self.vfm or "",
            self._world_seed() if seed is None else seed, setting)
        return frame

    def record(self, metric: str, value: float, unit: str = "", profile: str | None = None, **fields: Any) -> None:
        """Keep one number; ``fields`` as for :class:`proxyclip.supplement.records.Record`."""
        fields.setdefault("seed", self._world_seed() if fields.get("dataset") else None)
        self.records.append(Record(self.section, profile or self.profile, metric, float(value), unit, **fields))

    def _world_seed(self) -> int | None:
        return self.seed if self.profile == "tiny" else None

    def table(self) -> pd.DataFrame:
        """The records so far, as :func:`proxyclip.supplement.records.table`."""
        return results.table(self.records)

    @property
    def sample(self) -> str:
        """Profile and sample size for captions, such as ``"profile tiny, 16 scenes a set, seed 0"``."""
        if self.profile == "tiny":
            scenes = min(len(data) for data in self.sets.values())
            if len(self.seeds) == 1:
                return f"profile tiny, {scenes} scenes a set, seed {self.seed}"
            return f"profile tiny, {scenes} scenes a set for each of the seeds {self.seeds[0]} to {self.seeds[-1]}"
        counts = sorted({min(len(data), self.limit or len(data)) for data in self.sets.values()})
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return f"profile paper, {span} images a set"

    def others(self) -> dict[str, Result]:
        """Results of this chapter from other runs (``results/<profile or device>/``), by the folder's name."""
        folder = next((Path(name) for name in RESULT_FOLDERS if Path(name).is_dir()), None)
        found = {} if folder is None else results.load_all(folder, self.section)
        return {name.partition("/")[0]: result for name, result in found.items()}

    def finish(self) -> Result:
        """Judge the chapter's claims, save everything to ``<output_dir>/<section>.json`` and return it."""
        verdicts, checks = (list(judge(self.records, self.section).values()) for judge in (claims.judge, claims.check))
        result = Result(self.section, self.profile, self.records, verdicts, self._provenance(), checks)
        results.save(self.output_dir / f"{self.section}.json", result)
        return result

    def _provenance(self) -> dict[str, Any]:
        first = next(iter(self._models.values()))
        vfms = {name: digest_of_weights(model.vfm) for name, model in self._models.items() if model.vfm is not None}
        return {
            "device": self.device,
            "machine": device_line(),
            "threads": torch.get_num_threads(),
            "dtype": str(first.dtype).removeprefix("torch."),
            "seed": self.seed,
            "seeds": list(self.seeds),
            "limit": self.limit,
            "parameters": {name: value for name, value in self.given.items() if name != "output_dir"},
            "datasets": [data.signature() for data in self.sets.values()],
            "cards": {name: card_of(data).reference() for name, data in self.sets.items()},
            "weights_sha256": {first.clip.name: digest_of_weights(first.clip.model), **vfms},
            "versions": versions(),
            "seconds": round(time.perf_counter() - self._started, 1),
        }
