"""Score the cases of a protocol: separate, compare, and draw a picture if the task wants one.

Each figure is computed twice: for the stem, and as `mixture_...` for the mixture in its place.

Shapes: T samples, D condition.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separator.api import Separator, load_model
from separator.audio.audiosep_metrics import compute_official_sdr_db
from separator.encoders.clip import is_clip
from separator.encoders.lookup import AUTO, load_audio_encoder
from separator.encoders.similarity import SimilarityMeter
from separator.errors import EncoderMissing
from separator.evaluation.case_metrics import (
    EMBEDDING,
    MEASURES,
    Estimate,
    convert,
    embed,
    measure_clap,
    measure_separation,
)
from separator.evaluation.case_pictures import draw_case
from separator.evaluation.generated_cases import make_examples
from separator.evaluation.over_units import Row, Score
from separator.evaluation.protocol import Protocol, ProtocolSettings
from separator.evaluation.protocol_queries import QueryTask
from separator.evaluation.protocol_sounds import CaseSounds, make_sounds, read_snr
from separator.model import registry
from separator.model.checkpoint import read_encoder_id
from separator.model.zero_shot_files import is_detector_id
from separator.storage import Storage


@dataclass(frozen=True)
class ProtocolScorer:
    """Score some tasks."""

    model: Separator
    protocol: Protocol
    more: Sequence[str]
    storage: Storage
    meter: SimilarityMeter | None = None
    has_own_meter: bool = True  # the meter's encoder is the one that encodes the model's texts

    def __call__(self, tasks: Sequence[QueryTask]) -> list[Row]:
        return [self.score(task) for task in tasks]

    def score(self, task: QueryTask) -> Row:
        sounds = make_sounds(self.storage, self.protocol, task.case)
        condition_D = task.condition
        if condition_D is None:
            condition_D = self.model.encode([self.make_query(task)])[0]
        stem_T = self.model.separate(
            sounds.mixture[None], sounds.rate_hz, conditions=condition_D[None]
        )[0, 0]
        row: Row = {
            "number": task.case.number,
            "kind": task.case.kind,
            "set": task.case.columns.get("set", ""),
            "query": task.query,
            "asked": task.shown_query,
        }
        row |= self.measure(stem_T, sounds, condition_D, task)
        if task.is_drawn:
            picture = draw_case(
                sounds.mixture, sounds.target, stem_T, sounds.rate_hz, task.shown_query
            )
            row["picture"] = base64.b64encode(picture).decode()
        return row

    def make_query(self, task: QueryTask) -> dict[str, Any]:
        """Make the query of a task that has no condition yet."""
        if task.kind == "generated":
            made = make_examples(self.protocol.generated, task.case.columns, self.protocol.rate_hz)
            rate_hz = self.protocol.rate_hz
            return {"name": "query", "audio": [(sound_T[None], rate_hz) for sound_T in made]}
        return {"name": "query", task.kind: list(task.files)}

    def measure(
        self, stem_T: np.ndarray, sounds: CaseSounds, condition_D: np.ndarray, task: QueryTask
    ) -> Row:
        """Compute all figures of a stem, and those of the mixture in its place."""
        to_hz = self.protocol.score_hz or sounds.rate_hz
        stem_T, target_T, mixture_T = (
            convert(x, sounds.rate_hz, to_hz) for x in (stem_T, sounds.target, sounds.mixture)
        )
        is_read = task.kind == "text" and self.has_own_meter
        row: Row = {}
        for prefix, estimate_T in (("", stem_T), ("mixture_", mixture_T)):
            estimate = Estimate(estimate_T, target_T, mixture_T, to_hz)
            found = measure_separation(estimate)
            for name, measure in MEASURES.items():
                found |= measure(estimate) if name in self.more else {}
            if self.meter and "clap" in self.more:
                found |= measure_clap(self.meter, estimate, condition_D if is_read else None)
            if self.meter and "fad" in self.more:
                found[EMBEDDING] = embed(self.meter, estimate_T, to_hz)
            row |= {f"{prefix}{name}": value for name, value in found.items()}
        if self.meter and "fad" in self.more:
            row[f"target_{EMBEDDING}"] = embed(self.meter, target_T, to_hz)
        row["perfect_sdr_db"] = compute_official_sdr_db(target_T, target_T)
        if self.protocol.mixing == "at_snr":
            row["snr_db"] = read_snr(task.case)
        return row


def make_scorer(settings: ProtocolSettings, model: str) -> Score:
    """Load a model in an actor, and the encoder that judges its stems."""
    storage = Storage(settings.storage)
    loaded = load_model(
        model,
        device=settings.device,
        precision=settings.precision,
        detector=settings.detector or AUTO,
        storage=storage,
    )
    meter, judge_id = None, loaded.encoder_id
    if {"clap", "fad"} & set(settings.more_metrics):
        named = settings.judge or model
        path = None if registry.find_package(named) else registry.resolve(named, storage.fetch)
        judge_id = read_encoder_id(path) if path else None
        if path is None or is_detector_id(judge_id) or is_clip(judge_id):
            raise EncoderMissing(
                f"{named} has no encoder of texts and sounds, which clap and fad need; name a "
                "model that has one: judge=mini"
            )
        meter = SimilarityMeter(load_audio_encoder(path, judge_id), loaded.engine.device)
    return ProtocolScorer(
        loaded,
        settings.protocol,
        settings.more_metrics,
        storage,
        meter,
        judge_id == loaded.encoder_id,
    )
