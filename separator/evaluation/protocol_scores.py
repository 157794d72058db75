"""Score the cases of a protocol: separate, compare, and draw where that was asked.

Each figure is there twice, for the stem and (`mixture_...`) for the mixture in its place.

Shapes: C channels, T samples, D condition.
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from separator.api import Separator, load_model
from separator.audio.audiosep_metrics import (
    compute_official_sdr_db,
    compute_official_si_sdr_db,
)
from separator.audio.metrics import (
    compute_level_db,
    compute_sdr_db,
    compute_si_sdr_db,
    compute_window_sdr_db,
)
from separator.audio.speech_metrics import score_speech
from separator.encoders.lookup import AUTO, load_audio_encoder
from separator.encoders.similarity import SimilarityMeter
from separator.errors import EncoderMissing, RequestError
from separator.evaluation.case_pictures import draw_case
from separator.evaluation.generated_cases import make_examples
from separator.evaluation.over_units import Row, Score
from separator.evaluation.protocol import Protocol, ProtocolSettings
from separator.evaluation.protocol_queries import Task
from separator.evaluation.protocol_sounds import CaseSounds, convert, make_sounds
from separator.model import registry
from separator.storage import Storage

SPEECH_HZ = 16_000  # of wide-band PESQ and of DNSMOS
WAY_OUT = "pip install '.[speech]' in the checkout"
NO_SCORES = ("pesq", "ssnr_db", "llr", "wss", "csig", "cbak", "covl")


@dataclass(frozen=True)
class ProtocolScorer:
    """Score some tasks."""

    model: Separator
    protocol: Protocol
    more: Sequence[str]
    storage: Storage
    meter: SimilarityMeter | None = None

    def __call__(self, tasks: Sequence[Task]) -> list[Row]:
        return [self.score(task) for task in tasks]

    def score(self, task: Task) -> Row:
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
            "asked": task.asked,
        }
        row |= self.measure(stem_T, sounds, condition_D, task)
        if task.is_drawn:
            picture = draw_case(sounds.mixture, sounds.target, stem_T, sounds.rate_hz, task.asked)
            row["picture"] = base64.b64encode(picture).decode()
        return row

    def make_query(self, task: Task) -> dict[str, Any]:
        """Make the query of a task that has no condition yet."""
        if task.kind == "generated":
            made = make_examples(self.protocol.generated, task.case.columns, self.protocol.rate_hz)
            rate_hz = self.protocol.rate_hz
            return {"name": "query", "audio": [(sound_T[None], rate_hz) for sound_T in made]}
        return {"name": "query", task.kind: list(task.files)}

    def measure(
        self, stem_T: np.ndarray, sounds: CaseSounds, condition_D: np.ndarray, task: Task
    ) -> Row:
        """Compute all figures of a stem, and those of the mixture in its place."""
        to_hz = self.protocol.score_hz or sounds.rate_hz
        stem_T, target_T, mixture_T = (
            convert(x, sounds.rate_hz, to_hz) for x in (stem_T, sounds.target, sounds.mixture)
        )
        row: Row = {}
        for prefix, estimate_T in (("", stem_T), ("mixture_", mixture_T)):
            found = measure_separation(estimate_T, target_T, mixture_T)
            if "speech" in self.more:
                found |= measure_speech(estimate_T, target_T, to_hz)
            if "dnsmos" in self.more:
                found |= measure_dnsmos(estimate_T, to_hz)
            if self.meter:
                is_text = task.kind == "text"
                found |= measure_clap(self.meter, estimate_T, target_T, to_hz, condition_D, is_text)
            row |= {f"{prefix}{name}": value for name, value in found.items()}
        row["perfect_sdr_db"] = compute_official_sdr_db(target_T, target_T)
        if "snr" in task.case.columns:
            row["snr_db"] = float(task.case.columns["snr"])
        return row


def measure_separation(estimate_T: np.ndarray, target_T: np.ndarray, mixture_T: np.ndarray) -> Row:
    """Compute the figures of AudioSep's benchmark in float32; the names with 64 are in float64."""
    sdr_db = compute_official_sdr_db(estimate_T, target_T)
    return {
        "sdr_db": sdr_db,
        "sdri_db": sdr_db - compute_official_sdr_db(mixture_T, target_T),
        "si_sdr_db": compute_official_si_sdr_db(estimate_T, target_T),
        "sdr64_db": float(compute_sdr_db(estimate_T, target_T)),
        "si_sdr64_db": float(compute_si_sdr_db(estimate_T, target_T)),
        "bss_sdr_db": measure_bss(estimate_T, target_T, mixture_T),
        "under_db": float(compute_level_db(mixture_T) - compute_level_db(estimate_T)),
    }


def measure_bss(estimate_T: np.ndarray, target_T: np.ndarray, mixture_T: np.ndarray) -> float:
    """Compute the SDR of BSSEval v4 over the whole length; NaN where a sound is silent."""
    if not (mixture_T - target_T).any():
        return float("nan")
    pair = estimate_T[None, None], target_T[None, None]
    return float(compute_window_sdr_db(*pair, len(target_T))[0, 0])


def measure_speech(estimate_T: np.ndarray, clean_T: np.ndarray, rate_hz: int) -> Row:
    """Compute PESQ and the composite scores at 16 kHz; NaN where PESQ finds no speech."""
    try:
        import pesq
    except ImportError as error:
        raise RequestError(f"PESQ cannot be computed ({error}): {WAY_OUT}") from None
    estimate_T, clean_T = (convert(x, rate_hz, SPEECH_HZ) for x in (estimate_T, clean_T))
    try:
        mos = float(pesq.pesq(SPEECH_HZ, clean_T, estimate_T, "wb"))
    except pesq.PesqError:
        return dict.fromkeys(NO_SCORES, float("nan"))
    return {"pesq": mos} | asdict(score_speech(estimate_T, clean_T, SPEECH_HZ, mos))


def measure_dnsmos(estimate_T: np.ndarray, rate_hz: int) -> Row:
    """Compute what DNSMOS says of speech, without a reference."""
    try:
        from speechmos import dnsmos
    except ImportError as error:
        raise RequestError(f"DNSMOS cannot be computed ({error}): {WAY_OUT}") from None
    heard_T = np.clip(convert(estimate_T, rate_hz, SPEECH_HZ), -1, 1)
    found: Any = dnsmos.run(heard_T, sr=SPEECH_HZ)
    return {f"dnsmos_{name}": float(found[f"{name}_mos"]) for name in ("ovrl", "sig", "bak")}


def measure_clap(
    meter: SimilarityMeter,
    estimate_T: np.ndarray,
    target_T: np.ndarray,
    rate_hz: int,
    condition_D: np.ndarray,
    is_text: bool,
) -> Row:
    """Compute CLAPScore (text and stem) and CLAPScore_A (target and stem); NaN for silence.

    The absolute values are not those of the official script, which reads at another rate than it
    says.
    """
    scores = {"clap_score": float("nan"), "clap_score_a": float("nan")}
    if is_text:
        scores["clap_score"] = meter.compare(estimate_T[None], rate_hz, condition_D)
    if target_T.any():
        target_D = meter.encoder.encode_audio(target_T[None], rate_hz)
        scores["clap_score_a"] = meter.compare(estimate_T[None], rate_hz, target_D)
    return scores


def make_scorer(settings: ProtocolSettings, model: str) -> Score:
    """Load a model in an actor."""
    loaded = load_model(
        model,
        device=settings.device,
        precision=settings.precision,
        detector=settings.detector or AUTO,
        fetch_uri=Storage(settings.storage).fetch,
    )
    meter = None
    if "clap" in settings.more_metrics:
        if loaded.encoder_id is None:
            raise EncoderMissing(f"model={model!r}: names no encoder, so more=clap has none")
        path = registry.resolve(model, Storage(settings.storage).fetch)
        encoder = load_audio_encoder(path, loaded.encoder_id)
        meter = SimilarityMeter(encoder, loaded.engine.device)
    storage = Storage(settings.storage)
    return ProtocolScorer(loaded, settings.protocol, settings.more_metrics, storage, meter)
