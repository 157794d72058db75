"""Measure an estimate of a case: against its target, as speech, and by an encoder.

Measuring functions return named figures; NaN stands for a figure that means nothing.

Shapes: T samples, D condition or embedding.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch

from separator.audio.audiosep_metrics import (
    compute_official_sdr_db,
    compute_official_si_sdr_db,
)
from separator.audio.frechet import compute_frechet_distance
from separator.audio.metrics import (
    compute_level_db,
    compute_sdr_db,
    compute_si_sdr_db,
    compute_window_sdr_db,
)
from separator.audio.resample import resample
from separator.audio.speech_metrics import score_speech
from separator.config_file import check_choice
from separator.encoders.similarity import SimilarityMeter
from separator.errors import RequestError, tell_install
from separator.evaluation.over_units import Row
from separator.evaluation.protocol import Figure, Protocol

SPEECH_HZ = 16_000  # of wide-band PESQ and of DNSMOS
NO_SCORES = ("pesq", "ssnr_db", "llr", "wss", "csig", "cbak", "covl")
NAN = float("nan")
EMBEDDING = "embedding"  # of the stem; prefixes name those of the mixture and the target
# Columns that each metric of `more` adds to a table.
FIGURES = {
    "bss": [("SDR (BSS)", "bss_sdr_db"), ("SIR", "bss_sir_db"), ("SAR", "bss_sar_db")],
    "clap": [("CLAPScore", "clap_score"), ("CLAPScore_A", "clap_score_a")],
    "dnsmos": [("DNSMOS", "dnsmos_ovrl")],
    "fad": [("FAD", EMBEDDING)],
    "speech": [("PESQ", "pesq"), ("CSIG", "csig"), ("CBAK", "cbak"), ("COVL", "covl"),
               ("SSNR", "ssnr_db")],
}  # fmt: skip
# All columns that a metric adds to the rows.
COLUMNS = {
    "bss": ("bss_sir_db", "bss_sar_db"),
    "clap": ("clap_score", "clap_score_a"),
    "dnsmos": ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"),
    "fad": (EMBEDDING,),
    "speech": NO_SCORES,
}
# The package that a metric needs, and the extra that installs it.
PACKAGES = {
    "bss": ("museval.metrics", "bss"),
    "dnsmos": ("speechmos.dnsmos", "speech"),
    "speech": ("pesq", "speech"),
}


@dataclass(frozen=True)
class Estimate:
    """A stem, or the mixture in its place, with the target and the mixture; all at one rate."""

    samples: np.ndarray  # (T,)
    target: np.ndarray  # (T,)
    mixture: np.ndarray  # (T,)
    rate_hz: int


def list_figures(metric: str) -> list[Figure]:
    """List the columns that a metric adds to a table."""
    take = "frechet" if metric == "fad" else ""
    return [Figure(name, column, take) for name, column in FIGURES[metric]]


def check_figures(protocol: Protocol, more: Sequence[str]) -> None:
    """Refuse figures that need columns which the rows will not have."""
    nothing_T = np.zeros(1, np.float32)
    known = [*measure_separation(Estimate(nothing_T, nothing_T, nothing_T, SPEECH_HZ))]
    known += [column for metric in more for column in COLUMNS[metric]]
    for figure in protocol.figures:
        where = f"figure {figure.name}: metric={figure.metric!r}"
        for metric, columns in COLUMNS.items():
            if figure.metric in columns and metric not in more:
                raise RequestError(f"{where}: set protocol.metrics=[{metric}] for it")
        check_choice(f"figure {figure.name}: metric", figure.metric, known)
        is_distance = (figure.take or protocol.take) == "frechet"
        if is_distance != (figure.metric == EMBEDDING):
            raise RequestError(f"{where}: take=frechet is for the metric {EMBEDDING} alone")


def load_package(metric: str) -> Any:
    """Import the package of a metric; if it is missing, the error says how to install it."""
    module, extra = PACKAGES[metric]
    try:
        return import_module(module)
    except ImportError as error:
        raise RequestError(
            f"the metric {metric!r} cannot be computed ({error}): {tell_install(extra)}"
        ) from None


def convert(samples_T: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    if from_hz == to_hz:
        return samples_T
    return resample(torch.from_numpy(samples_T)[None], from_hz, to_hz)[0].numpy()


def measure_separation(estimate: Estimate) -> Row:
    """Compute the figures of AudioSep's benchmark in float32; the names with 64 are in float64."""
    stem_T, target_T, mixture_T = estimate.samples, estimate.target, estimate.mixture
    sdr_db = compute_official_sdr_db(stem_T, target_T)
    si_sdr_db = compute_official_si_sdr_db(stem_T, target_T)
    return {
        "sdr_db": sdr_db,
        "sdri_db": sdr_db - compute_official_sdr_db(mixture_T, target_T),
        "si_sdr_db": si_sdr_db,
        "si_sdri_db": si_sdr_db - compute_official_si_sdr_db(mixture_T, target_T),
        "sdr64_db": float(compute_sdr_db(stem_T, target_T)),
        "si_sdr64_db": float(compute_si_sdr_db(stem_T, target_T)),
        "bss_sdr_db": measure_plain_ratio(estimate),
        "under_db": float(compute_level_db(mixture_T) - compute_level_db(stem_T)),
    }


def measure_plain_ratio(estimate: Estimate) -> float:
    """Compute the SDR of BSSEval v4 over the whole length; NaN if a sound is silent."""
    if not (estimate.mixture - estimate.target).any():
        return NAN
    return measure_whole_sdr(estimate.samples, estimate.target)


def measure_whole_sdr(stem_T: np.ndarray, target_T: np.ndarray) -> float:
    """Compute the SDR of BSSEval v4 in one window; NaN if either sound is silent."""
    pair = stem_T[None, None], target_T[None, None]
    return float(compute_window_sdr_db(*pair, len(target_T))[0, 0])


def measure_bss(estimate: Estimate) -> Row:
    """Compute SIR and SAR of BSSEval v4 over the whole length, as museval does.

    The references are the target and the rest of the mixture; the second estimate, which museval
    wants, is the rest of the mixture after the first. A row with silence in any of them is NaN.
    """
    bss_eval = load_package("bss").bss_eval
    stem_T, target_T, mixture_T = (
        x.astype(np.float64) for x in (estimate.samples, estimate.target, estimate.mixture)
    )
    rest_T = mixture_T - stem_T if (mixture_T - stem_T).any() else mixture_T
    references, estimates = (target_T, mixture_T - target_T), (stem_T, rest_T)
    if not all(x.any() for x in (*references, *estimates)):
        return {"bss_sir_db": NAN, "bss_sar_db": NAN}
    _, _, sir, sar, _ = bss_eval(np.stack(references), np.stack(estimates), np.inf)
    return {"bss_sir_db": float(sir[0, 0]), "bss_sar_db": float(sar[0, 0])}


def measure_speech(estimate: Estimate) -> Row:
    """Compute PESQ and the composite scores at 16 kHz; NaN if PESQ finds no speech."""
    pesq = load_package("speech")
    stem_T, clean_T = (
        convert(x, estimate.rate_hz, SPEECH_HZ) for x in (estimate.samples, estimate.target)
    )
    try:
        mos = float(pesq.pesq(SPEECH_HZ, clean_T, stem_T, "wb"))
    except pesq.PesqError:
        return dict.fromkeys(NO_SCORES, NAN)
    return {"pesq": mos} | asdict(score_speech(stem_T, clean_T, SPEECH_HZ, mos))


def measure_dnsmos(estimate: Estimate) -> Row:
    """Compute DNSMOS, which rates speech without a reference."""
    dnsmos = load_package("dnsmos")
    heard_T = np.clip(convert(estimate.samples, estimate.rate_hz, SPEECH_HZ), -1, 1)
    found: Any = dnsmos.run(heard_T, sr=SPEECH_HZ)
    return {f"dnsmos_{name}": float(found[f"{name}_mos"]) for name in ("ovrl", "sig", "bak")}


# Metrics that need neither a model nor a query.
MEASURES: dict[str, Callable[[Estimate], Row]] = {
    "bss": measure_bss,
    "dnsmos": measure_dnsmos,
    "speech": measure_speech,
}


def measure_clap(meter: SimilarityMeter, estimate: Estimate, text_D: np.ndarray | None) -> Row:
    """Compute CLAPScore (text and stem) and CLAPScore_A (target and stem); NaN for silence.

    The absolute values are not those of the official script, which reads sounds at another rate
    than it says.
    """
    scores = {"clap_score": NAN, "clap_score_a": NAN}
    heard_T = estimate.samples[None]
    if text_D is not None:
        scores["clap_score"] = meter.compare(heard_T, estimate.rate_hz, text_D)
    if estimate.target.any():
        target_D = meter.encoder.encode_audio(estimate.target[None], estimate.rate_hz)
        scores["clap_score_a"] = meter.compare(heard_T, estimate.rate_hz, target_D)
    return scores


def embed(meter: SimilarityMeter, samples_T: np.ndarray, rate_hz: int) -> str:
    """Embed a sound and pack the embedding (D,) as text for JSON; empty for silence."""
    if not samples_T.any():
        return ""
    embedding_D = meter.encoder.encode_audio(samples_T[None], rate_hz)
    return base64.b64encode(np.asarray(embedding_D, "<f4").tobytes()).decode()


def take_frechet(rows: list[Row], column: str) -> float:
    """Compute the Fréchet distance of the stems (or mixtures) of rows from their targets; rows with
    silence on either side are left out."""
    pairs = [(row[column], row[f"target_{EMBEDDING}"]) for row in rows]
    both = [(stem, target) for stem, target in pairs if stem and target]
    if not both:
        return NAN
    unpacked = [np.stack([unpack(side) for side in sides]) for sides in zip(*both, strict=True)]
    return compute_frechet_distance(unpacked[0], unpacked[1])


def unpack(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), "<f4")
