"""One chapter's run: parameters in, models and sets, records collected, claims judged, one file out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
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
from proxyclip.evaluation.workers import Workers
from proxyclip.inference.pamr import PAMR
from proxyclip.rules import MaskingRule, Rule
from proxyclip.rules.parsing import parsed_rules
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.chapter_models import ChapterModels
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.defaults import RESULT_FOLDERS
from proxyclip.supplement.measures.evaluation_records import Key, from_evaluation, paired_differences
from proxyclip.supplement.parameters import CHECKS, ChapterError, validate
from proxyclip.supplement.records import Record, Result, table
from proxyclip.supplement.result_files import load_all, save
from proxyclip.supplement.saved import Saved
from proxyclip.system.provenance import device_line, digest_of_chapters, versions


class Experiment:
    """A chapter while it runs.

    The constructor takes the parameters of the notebook's ``parameters`` cell
    (:func:`proxyclip.supplement.parameters.validate`). It checks them, opens the sets and loads the first model, so
    that whatever is missing stops the notebook in its first cell, with a :class:`ChapterError`.

    Attributes
    ----------
    sets : dict of str to Dataset
        Of the first seed, where they are generated.
    vfms : tuple of str
    vfm : str
        The first of them.
    models : ChapterModels
    records : list of Record
    absent : list of dict
        Measures for which the images hold no case, with the number of images; they have no record.
    """

    def __init__(self, section: str, **parameters: Any) -> None:
        self._started = time.perf_counter()
        self.section = section
        self.given = dict(parameters)
        checked = validate(section, **parameters)
        self.profile: str = checked["profile"]
        self.device: str = checked["device"]
        self.limit: int | None = checked["limit"]
        self.seed: int = checked["seed"]
        self._world_seed = self.seed if self.profile == "tiny" else None
        count = checked["seeds"] if self.profile == "tiny" else 1
        self.seeds: tuple[int, ...] = tuple(range(self.seed, self.seed + count))
        self.output_dir: Path = checked["output_dir"]
        self.parameters = checked
        self.vfms: tuple[str, ...] = checked["vfm"]
        self.vfm = self.vfms[0]
        self.records: list[Record] = []
        self._kept: dict[tuple[object, ...], Record] = {}
        self.absent: list[dict[str, Any]] = []
        self.models = ChapterModels(checked)
        try:
            self.sets: dict[str, Dataset] = {name: self._open(name) for name in checked["datasets"]}
            self.saved = Saved(self.output_dir, section, digest_of_chapters(), self.given)
            model = self.model()
            self.sets = {name: data.with_windows(model.window, model.stride, model.short_side)
                         for name, data in self.sets.items()}
        except (DataError, FileNotFoundError, ValueError, OSError) as error:
            raise ChapterError(f"chapter {section} cannot start on profile {self.profile}: {error}") from None
        if self.saved.was_finished(self._depends_on()):
            print(f"Chapter {section} was finished with these settings before ({self.saved.result}); "
                  "its measurements are read from there and not repeated.")

    @classmethod
    def of_notebook(cls, section: str, variables: Mapping[str, Any]) -> Experiment:
        """Build one from the variables of a notebook, ``globals()``: every chapter parameter that is set there.

        A cell may call the images of a set by a parameter's name; when the first cells run again, that is no value.
        """
        given = {name: variables[name] for name in ("profile", *CHECKS) if name in variables}
        return cls(section, **{name: value for name, value in given.items() if not isinstance(value, Dataset)})

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["parameters"][name]
        except KeyError:
            raise AttributeError(f"chapter {self.section} has no parameter {name!r}") from None

    def model(self, vfm: str | None = None) -> ProxyCLIP:
        """The model with a vision foundation model, loaded once; CLIP is loaded once for all of them."""
        return self.models.with_vfm(vfm or self.vfm)

    def _open(self, name: str, seed: int | None = None) -> Dataset:
        from proxyclip.tiny.world.sets import SETS

        if self.profile == "paper" or name not in SETS:
            return dataset(name, self.parameters["data"])
        world = SETS[name].test_seed + (self.seed if seed is None else seed)
        return dataset(name, seed=world, length=self.limit)

    def scenes(self, name: str) -> list[tuple[int | None, Dataset]]:
        """A set once for each seed of its scenes; a benchmark once, without a seed."""
        if not name.startswith("tiny/"):
            return [(None, self.sets[name])]
        return [(seed, self.sets[name] if seed == self.seed else self._open(name, seed)) for seed in self.seeds]

    def count(self, data: Dataset) -> int:
        """Number of images of a set that this run reads: all, or the first ``limit``."""
        return len(data) if self.limit is None else min(self.limit, len(data))

    def evaluate(
        self, vfm: str | ProxyCLIP | None, data: Dataset, rules: Sequence[Rule | str], workers: Workers | None = None,
        refine: PAMR | None = None,
    ) -> Evaluation:
        """Score rules on a set, in one pass of the backbones; an interrupted evaluation continues where it stopped.

        ``vfm`` is the name of a foundation model, a model made from one of the chapter's, or None for the chapter's
        own. The ``workers`` share the work. With ``refine`` every rule is scored without and with refined masks.
        """
        model = vfm if isinstance(vfm, ProxyCLIP) else self.model(vfm)
        return evaluator.run(model, data, rules, self.limit, progress=self.saved.folder / "evaluations", shared=True,
                             show=True, workers=workers or Workers(), refine=refine)

    def measure(
        self, rules: Sequence[Rule | str], setting: str | Mapping[str, str] = "", refine: PAMR | None = None
    ) -> dict[Key, Evaluation]:
        """Score rules on every set, seed and VFM, and keep the records.

        Rules that read CLIP alone are scored once, beside the first VFM. ``setting`` may differ by rule name. With
        ``refine`` every rule is scored a second time, and its record names the refinement. Returns the evaluations by
        set, VFM and seed.
        """
        found = {}
        for name in self.sets:
            for seed, data in self.scenes(name):
                for vfm in self.vfms:
                    if chosen := self.rules_for(vfm, rules):
                        key = name, vfm, seed
                        found[key] = self.evaluate(vfm, data, chosen, refine=refine)
                        self._keep_scores(found[key], key, setting)
        if found and not any(one.tally.images.counts for one in found.values()):
            raise ChapterError(f"chapter {self.section} has nothing to score: the labels of {', '.join(self.sets)} "
                               "leave no pixel to evaluate")
        return found

    def _keep_scores(self, found: Evaluation, key: Key, setting: str | Mapping[str, str]) -> None:
        dataset, vfm, seed = key
        self.absent += [{"metric": "miou", "cases": 0, "dataset": dataset, "rule": rule, "n": found.images}
                        for rule, score in found.scores().items() if math.isnan(score.miou)]
        record = partial(Record, self.section, self.profile, dataset=dataset,
                         seed=self._world_seed if seed is None else seed)
        for one in from_evaluation(found, record, vfm, setting):
            self._keep(one)

    def paired(self, found: Mapping[Key, Evaluation], pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """Differences of mIoU between rules, kept as records ``miou_difference``; :func:`paired_differences`."""
        return paired_differences(found, pairs, self.vfms, partial(self.record, unit="%"))

    def rules_for(self, vfm: str | None, rules: Sequence[Rule | str]) -> list[Rule]:
        """Which rules are scored with a VFM: all with the first, with the others those that read one."""
        return [rule for rule in parsed_rules(rules) if vfm == self.vfm or isinstance(rule, MaskingRule)]

    def once(self, name: str, measure: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Measure a table, or read it where the same run was interrupted after it; see :meth:`Saved.once`."""
        settings = self._depends_on()
        for free in ("data", "batch"):  # a run that did not fit into memory continues with smaller batches
            settings["parameters"].pop(free, None)
        return self.saved.once(name, settings, measure)

    def _depends_on(self) -> dict[str, Any]:
        """What the numbers of this run depend on, as JSON values."""
        found = {"parameters": {name: value for name, value in self.given.items() if name != "output_dir"},
                 "datasets": [data.signature() for data in self.sets.values()],
                 "cards": {name: card_of(data).reference() for name, data in self.sets.items()},
                 "weights_sha256": self.models.digests(), "versions": versions(), "code": digest_of_chapters()}
        return json.loads(json.dumps(found, default=str))

    def record(self, metric: str, value: float, unit: str = "", profile: str | None = None, **fields: Any) -> None:
        """Keep one number; ``fields`` as for :class:`proxyclip.supplement.records.Record`.

        NaN, the value of a measure for which the images hold no case, becomes no record; :attr:`absent` lists it.
        """
        if math.isnan(value):
            fields.pop("error", None)
            self.absent.append({"metric": metric, "cases": 0, **fields})
            return
        fields.setdefault("seed", self._world_seed if fields.get("dataset") else None)
        self._keep(Record(self.section, profile or self.profile, metric, float(value), unit, **fields))

    def _keep(self, record: Record) -> None:
        """Add a record. A cell that is run twice gives the same record twice; it is kept once."""
        twin = self._kept.setdefault(record.key(), record)
        if twin is record:
            self.records.append(record)
            self.saved.keep(record)
        elif twin.value != record.value:
            raise ChapterError(f"chapter {self.section} has two values for one thing, {twin.value:g} and "
                               f"{record.value:g} for {record.metric} of {record.rule or record.method} on "
                               f"{record.dataset or 'no set'}; run the notebook from its first cell")

    def table(self) -> pd.DataFrame:
        """The records so far, as :func:`proxyclip.supplement.records.table`."""
        return table(self.records)

    @property
    def sample(self) -> str:
        """Profile and sample size for captions, such as ``"profile tiny, 16 scenes a set, seed 0"``."""
        counts = sorted({self.count(data) for data in self.sets.values()})
        if self.profile == "tiny":
            first, last = self.seeds[0], self.seeds[-1]
            seeds = f", seed {first}" if first == last else f" for each of the seeds {first} to {last}"
            return f"profile tiny, {counts[0]} scenes a set{seeds}"
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return f"profile paper, {span} image{'s' * (span != '1')} a set"

    def others(self) -> dict[str, Result]:
        """Results of this chapter from other runs (``results/<profile or device>/``), by the folder's name."""
        folder = next(filter(Path.is_dir, map(Path, RESULT_FOLDERS)), RESULT_FOLDERS[0])
        return {name: found[self.section] for name, found in load_all(folder, self.section).items()}

    def so_far(self) -> Result:
        """The records until now, with the verdicts on them; nothing is written."""
        verdicts, checks = (list(judge(self.records, self.section).values()) for judge in (claims.judge, claims.check))
        return Result(self.section, self.profile, self.records, verdicts, {}, checks)

    def finish(self) -> Result:
        """Save everything to ``<output_dir>/<section>.json``, judge the chapter's claims and save the verdicts too.

        The records are on disk before a claim is judged. A claim that cannot be judged is "not run", with the reason.
        """
        provenance = {
            "device": self.device, "machine": device_line(), "threads": torch.get_num_threads(),
            "dtype": str(self.model().dtype).removeprefix("torch."),
            "seed": self.seed, "seeds": list(self.seeds), "limit": self.limit,
            **self._depends_on(),
            "finished": datetime.now(UTC).isoformat(" ", "minutes")[:16],
            "seconds": round(time.perf_counter() - self._started, 1),
            **({"absent": self.absent} if self.absent else {}),
        }
        save(self.saved.result, Result(self.section, self.profile, self.records, [], provenance))
        result = replace(self.so_far(), provenance=provenance)
        save(self.saved.result, result)
        self.saved.finished()
        return result
