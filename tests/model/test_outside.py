"""A model that another package brings: found by its entry point, run as ours are."""

import sys
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from separator import load_model
from separator.errors import CheckpointMismatch, QueryError, RequestError
from separator.media.decode import USUAL_RATES_HZ
from separator.model import registry
from separator.model.entry_points import find_package, list_outside
from separator.model.outside import OutsideEngine, OutsideTexts
from tests.helpers.outside import install_bandpass

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def bandpass(tmp_path_factory):
    """Make the package importable, as if it were installed here."""
    site = str(install_bandpass(tmp_path_factory.mktemp("bandpass")))
    sys.path.insert(0, site)
    yield
    sys.path.remove(site)
    sys.modules.pop("bandpass", None)


def make_tones(seconds: float) -> np.ndarray:
    """Make two channels: 300 Hz, and 300 Hz beside 4000 Hz."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    low, high = (0.2 * np.sin(2 * np.pi * freq_hz * t) for freq_hz in (300, 4_000))
    return np.stack([low, low + high]).astype(np.float32)


def test_load_model_runs_a_model_of_another_package(bandpass):
    assert list_outside() == ["band-pass"]
    model = load_model("band-pass", device="cpu")
    waveform = make_tones(2.0)
    stems = model.separate(waveform, RATE_HZ, ["300 Hz", {"name": "high", "text": "4000 Hz"}])
    assert stems.shape == (2, 2, waveform.shape[1]) and stems.dtype == np.float32
    levels = np.abs(stems[:, :, 20_000:-20_000]).max(-1)
    np.testing.assert_allclose(levels, [[0.2, 0.2], [0, 0.2]], atol=0.03)


def test_its_result_does_not_depend_on_spans(bandpass):
    engine = OutsideEngine(find_package("band-pass"), "cpu", "fp32")
    model = load_model("band-pass", device="cpu")
    waveform = make_tones(3.0)
    tensor, conditions = torch.from_numpy(waveform), torch.tensor([[300.0]])
    whole = engine.separate(tensor, RATE_HZ, conditions)
    cut = engine.separate(tensor, RATE_HZ, conditions, span_s=0.7)
    assert len(engine.plan_spans(waveform.shape[1], RATE_HZ, 0.7)) > 3
    # The resampler's filter is longer than nothing: edges of spans agree to its stop band.
    np.testing.assert_allclose(cut.numpy(), whole.numpy(), atol=1e-4)
    mono = load_model("band-pass", device="cpu", channels="mono")
    np.testing.assert_allclose(
        mono.separate(waveform, RATE_HZ, ["300 Hz"])[0],
        model.separate(waveform, RATE_HZ, ["300 Hz"])[0].mean(0, keepdims=True),
        atol=1e-5,
    )


def test_its_identity_names_the_package_and_the_version(bandpass, monkeypatch):
    first = load_model("band-pass", device="cpu").checkpoint_sha256
    monkeypatch.setattr(find_package("band-pass"), "identity", "bandpass 1.1")
    assert load_model("band-pass", device="cpu").checkpoint_sha256 != first


def test_a_model_of_texts_refuses_example_sounds(bandpass):
    model = load_model("band-pass", device="cpu")
    sound = (make_tones(1.0), RATE_HZ)
    with pytest.raises(QueryError, match="band-pass reads texts"):
        model.separate(make_tones(1.0), RATE_HZ, [{"name": "x", "audio": [sound]}])


def test_a_stem_of_another_shape_is_refused(bandpass, monkeypatch):
    model = load_model("band-pass", device="cpu")
    inner = model.engine.model
    monkeypatch.setattr(inner, "separate", lambda waveform_CT, condition_D: waveform_CT[:1])
    with pytest.raises(CheckpointMismatch, match=r"stem of shape \(1, "):
        model.separate(make_tones(1.0), RATE_HZ, ["300 Hz"])


def test_without_the_package_its_name_is_unknown():
    with pytest.raises(RequestError, match="no such checkpoint"):
        registry.resolve("band-pass")


def test_with_the_package_a_mistyped_name_is_explained(bandpass):
    with pytest.raises(RequestError, match="did you mean 'band-pass'"):
        registry.resolve("bandpass")


def test_a_package_cannot_take_the_name_of_one_of_ours_nor_of_another_package(
    bandpass, tmp_path, monkeypatch
):
    for name, value in (("one", "mini = bandpass:package"), ("two", "band-pass = other:package")):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[separator.models]\n{value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.find_package("mini") is None and load_model("mini", device="cpu").encoder_id
    with pytest.raises(RequestError, match="several packages bring one of this name: bandpass:pa"):
        registry.find_package("band-pass")


class Halving:
    """Bring a model that halves the samples in place, as torch code does."""

    identity = "halving 1.0"
    rate_hz, condition_size, grid_s, context_s, is_exact = RATE_HZ, 1, 0.1, 0.0, True

    def load(self, device, precision):
        return self

    def separate(self, waveform_CT, condition_D):
        return waveform_CT.mul_(0.5)


def test_a_model_may_change_the_samples_that_it_gets():
    engine, waveform = OutsideEngine(Halving(), "cpu", "fp32"), torch.from_numpy(make_tones(1.0))
    before = waveform.clone()
    stems = engine.separate(waveform, RATE_HZ, torch.zeros(2, 1))
    assert torch.equal(waveform, before)
    assert torch.equal(stems, 0.5 * torch.stack([before, before]))


class Hopping(Halving):
    def __init__(self, grid_s: float, context_s: float = 0.0) -> None:
        self.grid_s, self.context_s = grid_s, context_s


@pytest.mark.parametrize("grid_s", [0.1, 256 / 16_000, 512 / 44_100, 1 / 3, 5.85])
def test_spans_begin_on_the_grid_of_the_model_at_every_rate_of_tracks(grid_s):
    engine = OutsideEngine(Hopping(grid_s, 0.2), "cpu", "fp32")
    for rate_hz in USUAL_RATES_HZ:
        spans = engine.plan_spans(200 * rate_hz, rate_hz, 20.0)
        assert len(spans) > 3
        for span in spans:
            for start in (span.start, span.core_start):
                cells = start / rate_hz / grid_s
                assert cells == pytest.approx(round(cells), abs=1e-6)
            assert span.core_start == 0 or span.core_start - span.start >= 0.2 * rate_hz


def test_a_context_of_whole_cells_is_not_made_longer():
    assert OutsideEngine(Hopping(0.2, 0.2), "cpu", "fp32").context_s == Fraction(1, 5)


@pytest.mark.parametrize("grid_s", [0.011609977, 4_099 / 44_100])
def test_a_grid_that_fits_no_rate_of_tracks_is_refused(grid_s):
    with pytest.raises(CheckpointMismatch, match=r"only every .* give a multiple of 0\.04"):
        OutsideEngine(Hopping(grid_s), "cpu", "fp32")


@pytest.mark.parametrize("rate_hz", [11_025, 22_050])
def test_files_of_any_usual_rate_are_separated(bandpass, tmp_path, rate_hz):
    t = np.arange(130 * rate_hz) / rate_hz  # more than one span
    tones = np.stack([0.2 * np.sin(2 * np.pi * freq_hz * t) for freq_hz in (300, 4_000)])
    soundfile.write(tmp_path / "tones.wav", tones.sum(0), rate_hz, "FLOAT")
    model = load_model("band-pass", device="cpu")
    (stem,) = model.separate_file(tmp_path / "tones.wav", "300 Hz", tmp_path, format="wav")
    samples_T, stem_hz = soundfile.read(stem.path)
    assert stem_hz == rate_hz and len(samples_T) == len(t)
    error_T = (samples_T - tones[0])[rate_hz:-rate_hz]
    assert np.sqrt(np.mean(error_T**2)) < 0.02


@dataclass
class Texts:
    """A model that gives these conditions for any texts."""

    conditions: Any
    condition_size: int = 2

    def encode_texts(self, texts: list[str]) -> Any:
        return self.conditions


def test_conditions_of_another_shape_are_refused_and_tensors_are_taken():
    wanted_QD = np.arange(6, dtype=np.float32).reshape(3, 2)
    given = torch.tensor(wanted_QD, dtype=torch.float64, requires_grad=True)
    found_QD = OutsideTexts("package:x", Texts(given)).encode_texts(["a", "b", "c"])
    np.testing.assert_array_equal(found_QD, wanted_QD)
    assert found_QD.dtype == np.float32
    for wrong in (given[:2], given[:, 0], given[:, :1]):
        with pytest.raises(CheckpointMismatch, match=r"for 3 texts: \(3, 2\) is needed"):
            OutsideTexts("package:x", Texts(wrong)).encode_texts(["a", "b", "c"])
