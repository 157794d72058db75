"""Figures of one estimate: BSSEval's against another implementation, DNSMOS and FAD for real."""

import sys

import fast_bss_eval
import museval
import numpy as np
import pytest

from separator.api import load_model
from separator.encoders.lookup import load_audio_encoder
from separator.encoders.similarity import SimilarityMeter
from separator.errors import RequestError, tell_install
from separator.evaluation.case_metrics import (
    PACKAGES,
    Estimate,
    convert,
    embed,
    load_package,
    measure_bss,
    measure_clap,
    measure_dnsmos,
    measure_separation,
    measure_speech,
    take_frechet,
)
from separator.model import registry
from tests.helpers.golden import FOLDER
from tests.helpers.protocols import make_tone

HZ = 16_000


def make_estimate(length: int = 12_000) -> Estimate:
    """Make a stem with some of the other sound, some distortion and another colour."""
    rng = np.random.default_rng(0)
    target, other, noise = (0.1 * rng.standard_normal(length) for _ in range(3))
    coloured = np.convolve(target, [0.9, 0.2, -0.1])[:length]
    stem = coloured + 0.1 * other + 0.05 * noise * np.sign(target)
    parts = [x.astype(np.float32) for x in (stem, target, target + other)]
    return Estimate(*parts, HZ)


def test_sir_and_sar_equal_fast_bss_eval():
    """The two figures are the same in BSSEval v3, which that package computes."""
    made = make_estimate()
    references = np.stack([made.target, made.mixture - made.target]).astype(np.float64)
    estimates = np.stack([made.samples, made.mixture - made.samples]).astype(np.float64)
    _, sir, sar = fast_bss_eval.bss_eval_sources(references, estimates, compute_permutation=False)
    found = measure_bss(made)
    assert found["bss_sir_db"] == pytest.approx(float(sir[0]), abs=1e-4)
    assert found["bss_sar_db"] == pytest.approx(float(sar[0]), abs=1e-4)
    assert 10 < found["bss_sir_db"] < 30 and 10 < found["bss_sar_db"] < 30


def test_bss_sdr_equals_museval_and_needs_no_filters():
    made = make_estimate()
    references = np.stack([made.target, made.mixture - made.target])
    estimates = np.stack([made.samples, made.mixture - made.samples])
    sdr, *_ = museval.metrics.bss_eval(references, estimates, np.inf)
    assert measure_separation(made)["bss_sdr_db"] == pytest.approx(float(sdr[0, 0]), abs=1e-3)


def test_bss_figures_of_the_mixture_are_finite_and_those_of_silence_are_nan():
    made = make_estimate()
    found = measure_bss(Estimate(made.mixture, made.target, made.mixture, HZ))
    assert found["bss_sir_db"] == pytest.approx(0, abs=1) and found["bss_sar_db"] > 50
    silent = np.zeros_like(made.target)
    for stem, target in (
        (silent, made.target),
        (made.samples, silent),
        (made.samples, made.mixture),
    ):
        assert np.isnan(list(measure_bss(Estimate(stem, target, made.mixture, HZ)).values())).all()


def test_si_sdri_is_the_gain_over_the_mixture():
    made = make_estimate()
    own = measure_separation(made)
    mixture = measure_separation(Estimate(made.mixture, made.target, made.mixture, HZ))
    assert own["si_sdri_db"] == own["si_sdr_db"] - mixture["si_sdr_db"] > 5
    assert mixture["si_sdri_db"] == 0


@pytest.mark.slow
@pytest.mark.check
def test_dnsmos_prefers_clean_speech_and_hears_it_at_any_rate():
    with np.load(FOLDER / "speech_signals.npz") as data:
        clean, noisy = data["clean"], data["noisy"]
    at = {"clean": clean, "noisy": noisy}
    found = {name: measure_dnsmos(Estimate(x, clean, noisy, HZ)) for name, x in at.items()}
    for name in ("dnsmos_ovrl", "dnsmos_bak"):
        assert 1 < found["noisy"][name] < found["clean"][name] - 0.2 < 5, name
    doubled = convert(clean, HZ, 2 * HZ)
    again = measure_dnsmos(Estimate(doubled, doubled, doubled, 2 * HZ))
    assert again["dnsmos_ovrl"] == pytest.approx(found["clean"]["dnsmos_ovrl"], abs=0.05)


def test_speech_scores_of_silence_are_nan():
    silent = np.zeros(HZ, np.float32)
    assert np.isnan(measure_speech(Estimate(silent, silent, silent, HZ))["pesq"])


@pytest.mark.parametrize(("metric", "extra"), [(m, extra) for m, (_, extra) in PACKAGES.items()])
def test_absent_package_is_one_line_that_says_how_to_install_it(metric, extra, monkeypatch):
    module, _ = PACKAGES[metric]
    monkeypatch.setitem(sys.modules, module, None)  # Python's own way to say: not installed
    with pytest.raises(RequestError) as caught:
        load_package(metric)
    line = str(caught.value)
    assert line.startswith(f"the metric {metric!r} cannot be computed (") and module in line
    assert line.endswith(tell_install(extra)) and "\n" not in line


def make_meter() -> SimilarityMeter:
    model = load_model("mini", device="cpu", precision="fp32")
    return SimilarityMeter(load_audio_encoder(registry.resolve("mini"), model.encoder_id))


def test_fad_is_the_distance_of_the_encoders_embeddings():
    meter = make_meter()
    stems, targets = ([make_tone(seed + i, seconds=1.0) for i in range(4)] for seed in (0, 40))
    rows = [
        {"embedding": embed(meter, stem, 32_000), "target_embedding": embed(meter, target, 32_000)}
        for stem, target in zip(stems, targets, strict=True)
    ]
    plain = [
        np.stack([meter.encoder.encode_audio(x[None], 32_000) for x in sounds]).astype(np.float64)
        for sounds in (stems, targets)
    ]
    gap = plain[0].mean(0) - plain[1].mean(0)
    covariances = [np.cov(x, rowvar=False) for x in plain]
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex)
    shared = np.sqrt(eigenvalues).real.sum()
    expected = gap @ gap + np.trace(covariances[0] + covariances[1]) - 2 * shared
    assert take_frechet(rows, "embedding") == pytest.approx(expected, rel=1e-3)
    silent = {"embedding": embed(meter, np.zeros(32_000, np.float32), 32_000)}
    assert silent["embedding"] == ""
    left_out = [rows[0] | silent, rows[0] | {"target_embedding": ""}]
    assert take_frechet([*rows, *left_out], "embedding") == take_frechet(rows, "embedding")
    assert np.isnan(take_frechet([rows[0] | silent], "embedding"))


def test_clap_scores_are_cosines_and_a_text_is_optional():
    meter = make_meter()
    stem, target = make_tone(0, seconds=1.0), make_tone(1, seconds=1.0)
    stem_D, target_D = (meter.encoder.encode_audio(x[None], 32_000) for x in (stem, target))
    text_D = meter.encoder.encode_texts(["a bell"])[0]  # pyright: ignore
    found = measure_clap(meter, Estimate(stem, target, stem + target, 32_000), text_D)
    assert found["clap_score"] == pytest.approx(float(stem_D @ text_D), abs=1e-5)
    assert found["clap_score_a"] == pytest.approx(float(stem_D @ target_D), abs=1e-5)
    alone = measure_clap(meter, Estimate(stem, 0 * target, stem, 32_000), None)
    assert np.isnan(list(alone.values())).all()
