"""Score a model on a list of cases, and show the figures per kind: as a table and as bars."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separator.api import Separator, load_model
from separator.errors import AudioError, RequestError
from separator.evaluation.case_pictures import write_plainly
from separator.evaluation.cases import Case, MixSettings, make_case, plan_cases, read_cases, score
from separator.evaluation.over_units import Row, Score
from separator.storage import Storage
from separator.storage.tables import read_rows
from separator.train.sound_lists import read_example, read_list, read_whole

COLUMNS = ("sdri_db", "sdr_db", "si_sdr_db")
MEAN = "mean"  # the name of the last row
TROUBLE = "trouble"  # why a case has no score
GIVEN = (".csv", ".parquet")  # lists of finished mixtures


@dataclass(frozen=True)
class CaseScorer:
    """Score one case, by text or by example sounds."""

    model: Separator
    settings: MixSettings
    storage: Storage

    def __call__(self, case: Case | Row) -> list[Row]:
        """Return the row of a case; a row with the reason if a sound is unreadable or silent."""
        try:
            return [self.score_case(case)]
        except AudioError as error:
            return [{TROUBLE: str(error)}]

    def score_case(self, case: Case | Row) -> Row:
        rate_hz = self.model.engine.config.rate_hz
        if isinstance(case, Case):
            mixture_T, target_T = make_case(
                self.storage, case, self.settings.seconds, rate_hz, self.settings.seed
            )
            query: Any = case.query
            if case.examples:
                sounds = [read_example(self.storage, s, rate_hz)[None] for s in case.examples]
                query = {"name": "target", "audio": [(sound, rate_hz) for sound in sounds]}
            about: Row = {"kind": case.sounds[0].kind, "query": case.query, "style": case.style}
            about |= {"examples": [source.uri for source in case.examples]}
            about |= {"level_db": case.level_db, "others": [s.kind for s in case.sounds[1:]]}
        else:
            mixture_T, target_T = (
                read_sound(self.storage, case[key], rate_hz) for key in ("mixture", "target")
            )
            query = case["query"]
            about = {"kind": case["kind"], "query": query, "style": "given"}
        stem_T = self.model.separate(mixture_T[None], rate_hz, [query])[0, 0]
        return about | score(stem_T, target_T, mixture_T)


def read_sound(storage: Storage, uri: str, rate_hz: int) -> np.ndarray:
    """Read a sound that is not silent."""
    samples_T = read_whole(storage, uri, rate_hz)
    if not samples_T.any():
        raise AudioError(f"{uri}: silent")
    return samples_T


def make_scorer(model: str, device: str, settings: MixSettings) -> Score:
    """Load a model in an actor."""
    return CaseScorer(load_model(model, device=device), settings, Storage())


def list_cases(uri: str, settings: MixSettings) -> list[Any]:
    """Read finished cases, or plan them from a list of sounds; at least one is needed."""
    storage = Storage()
    cases: list[Any] = []
    first: Row = next(iter(read_rows(storage, uri)), {}) if uri.lower().endswith(GIVEN) else {}
    if {"mixture", "target"} & first.keys():
        if settings.num_examples:
            raise RequestError(f"--examples needs a list of sounds; {uri} is one of finished cases")
        cases = read_cases(storage, uri)
    else:
        try:
            sources = read_list(uri, storage)
        except RequestError as error:
            if not first:
                raise
            raise RequestError(f"{error}; finished cases have mixture, target and query") from None
        for level_db in settings.levels_db:
            cases += plan_cases(sources, settings, level_db)
    if not cases:
        raise RequestError(f"{uri}: no cases in it")
    return cases


def part_troubles(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the scores, and the reasons why cases have none; refuse rows without any score."""
    scored = [row for row in rows if TROUBLE not in row]
    troubles = [row[TROUBLE] for row in rows if TROUBLE in row]
    if not scored:
        raise RequestError(f"none of the {len(rows)} cases can be scored: {troubles[0]}")
    return scored, troubles


def summarize(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Average per kind, then over kinds under the name `mean`."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    keys = [*COLUMNS, "under_db"]
    out = {}
    for kind, members in sorted(kinds.items()):
        under = [row["mixture_db"] - row["stem_db"] for row in members]
        figures = {key: float(np.mean([row[key] for row in members])) for key in COLUMNS}
        out[name_row(kind, kinds)] = figures | {
            "under_db": float(np.median(under)),
            "cases": len(members),
        }
    out[MEAN] = {key: float(np.mean([each[key] for each in out.values()])) for key in keys}
    out[MEAN]["cases"] = len(rows)
    return out


def name_row(kind: str, kinds: Collection[str]) -> str:
    """Name the row of a kind, unlike the row of the mean and the rows of other kinds."""
    name = kind
    while name == MEAN or (name != kind and name in kinds):
        name += " (kind)"
    return name


def lay_out_kinds(summary: dict[str, dict[str, float]], style: str) -> str:
    """Lay out the table."""
    head = f"{style:20}{'cases':>7}{'SDRi dB':>9}{'SDR dB':>9}{'SI-SDR dB':>11}{'under dB':>10}"
    rows = [
        f"{kind[:20]:20}{row['cases']:7.0f}{row['sdri_db']:9.2f}{row['sdr_db']:9.2f}"
        f"{row['si_sdr_db']:11.2f}{row['under_db']:10.1f}"
        for kind, row in summary.items()
    ]
    return "\n".join([head, *rows])


def draw(summary: dict[str, dict[str, float]], path: Path) -> None:
    """Draw the SDRi of every kind as a bar, best on top, with the mean as a line."""
    from matplotlib.figure import Figure

    kinds = sorted((k for k in summary if k != MEAN), key=lambda k: summary[k]["sdri_db"])
    figure = Figure(figsize=(7, 1 + 0.22 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    names = [write_plainly(kind) for kind in kinds]
    axes.barh(names, [summary[k]["sdri_db"] for k in kinds], color="C0")
    axes.axvline(summary[MEAN]["sdri_db"], color="C3", label="mean")
    axes.set_xlabel("SDRi [dB]")
    axes.margins(y=0.01)
    axes.legend(loc="lower right")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=100)
