import ast
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.encoders.clap import ClapEncoder, load_clap
from separator.encoders.clap_audio import (
    RATE_HZ,
    STRETCH_SAMPLES,
    cut_stretches,
    prepare_audio,
    read_clap_audio,
)
from separator.encoders.clap_network import import_clap_module
from separator.errors import AudioError, CheckpointMismatch, NonFiniteAudio, RateError
from tests.helpers.tiny_clap import make_noise

# The same at other lengths costs seconds.
long = [pytest.mark.slow, pytest.mark.check]


def load_laion_functions() -> SimpleNamespace:
    """Load laion-clap's own audio preparation; importing its module would ask a hub."""
    spec = importlib.util.find_spec("laion_clap")
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "training" / "data.py"
    wanted = ("int16_to_float32", "float32_to_int16", "get_audio_features")
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in wanted]
    names: dict = {"np": np, "torch": torch, "F": F}
    exec(compile(tree, path, "exec"), names)
    return SimpleNamespace(**{name: names[name] for name in wanted})


@pytest.mark.parametrize("duration_s", [1e-4, 0.7, 3, 4.999, 10])
def test_prepare_audio_equals_laion_clap_on_short_audio(duration_s: float) -> None:
    laion = load_laion_functions()
    audio = make_noise(duration_s) * 8  # some of it beyond full scale
    quantised = laion.int16_to_float32(laion.float32_to_int16(audio[0]))
    expected = laion.get_audio_features(
        {}, torch.from_numpy(quantised), STRETCH_SAMPLES, "rand_trunc", "repeatpad", None
    )
    (stretch,) = cut_stretches(prepare_audio(audio, RATE_HZ))
    assert torch.equal(stretch, expected["waveform"])


def test_encode_audio_equals_htsat_of_laion_clap(
    encoder: ClapEncoder, clap_state: dict[str, Tensor]
) -> None:
    """The referee is laion-clap's HTSAT alone, and its projection by hand."""
    audio_config = SimpleNamespace(
        sample_rate=48_000, window_size=1024, hop_size=480, fmin=50, fmax=14_000, mel_bins=64
    )
    audio_config.class_num, audio_config.model_name = 527, "tiny"
    tower = import_clap_module("htsat").create_htsat_model(audio_config).eval()
    prefix = "audio_branch."
    tower.load_state_dict(
        {k.removeprefix(prefix): v for k, v in clap_state.items() if k.startswith(prefix)}
    )
    audio = make_noise(10)
    with torch.no_grad():
        x = tower({"waveform": prepare_audio(audio, RATE_HZ)[None]})["embedding"]
        x = F.linear(
            x, clap_state["audio_projection.0.weight"], clap_state["audio_projection.0.bias"]
        )
        x = F.linear(
            F.relu(x),
            clap_state["audio_projection.2.weight"],
            clap_state["audio_projection.2.bias"],
        )
    expected = F.normalize(x, dim=-1)[0].numpy()
    np.testing.assert_allclose(encoder.encode_audio(audio, RATE_HZ), expected, atol=1e-6)


@pytest.mark.parametrize("duration_s", [3, *(pytest.param(s, marks=long) for s in (10, 25))])
def test_encode_audio_is_repeatable_and_ignores_stereo(
    encoder: ClapEncoder, duration_s: float
) -> None:
    audio = make_noise(duration_s)
    audio.flags.writeable = False  # as arrays in rows are
    condition = encoder.encode_audio(audio, RATE_HZ)
    assert condition.shape == (512,)
    assert condition.dtype == np.float32
    assert abs(np.linalg.norm(condition.astype(np.float64)) - 1) < 1e-6
    again = encoder.encode_audio(np.repeat(audio, 2, axis=0), RATE_HZ)
    assert condition.tobytes() == again.tobytes()


def test_encode_audio_averages_the_stretches_of_long_audio(encoder: ClapEncoder) -> None:
    audio = make_noise(20)
    halves = [
        encoder.encode_audio(audio[:, i:][:, :STRETCH_SAMPLES], RATE_HZ) for i in (0, 480_000)
    ]
    assert not np.allclose(halves[0], halves[1], atol=1e-5)
    mean = np.mean(halves, axis=0, dtype=np.float64)
    expected = mean / np.linalg.norm(mean)
    np.testing.assert_allclose(encoder.encode_audio(audio, RATE_HZ), expected, atol=1e-6)


@pytest.mark.parametrize("num_samples", [480_000, 480_001, 960_000, 1_200_000, 4_799_999])
def test_cut_stretches_covers_all_audio_evenly(num_samples: int) -> None:
    stretches = cut_stretches(torch.arange(num_samples))
    assert all(len(stretch) == STRETCH_SAMPLES for stretch in stretches)
    starts = [int(stretch[0]) for stretch in stretches]
    assert starts[0] == 0
    assert int(stretches[-1][-1]) == num_samples - 1
    gaps = np.diff(starts)
    assert len(gaps) == 0 or (gaps.max() <= STRETCH_SAMPLES and np.ptp(gaps) <= 1)
    assert len(stretches) == -(-num_samples // STRETCH_SAMPLES)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100])
def test_encode_audio_resamples_other_rates(encoder: ClapEncoder, rate_hz: int) -> None:
    def draw(rate_hz: int) -> np.ndarray:
        time_s = np.arange(4 * rate_hz) / rate_hz
        tones = np.sin(2 * np.pi * np.array([[220], [1310], [3000]]) * time_s)
        return (0.2 * tones.sum(0, keepdims=True)).astype(np.float32)

    condition = encoder.encode_audio(draw(rate_hz), rate_hz)
    assert condition @ encoder.encode_audio(draw(RATE_HZ), RATE_HZ) > 0.9999


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_encode_audio_refuses_samples_that_are_not_finite(
    encoder: ClapEncoder, value: float
) -> None:
    audio = make_noise(1)
    audio[0, 700] = value
    with pytest.raises(NonFiniteAudio, match="1 of 48000 samples"):
        encoder.encode_audio(audio, RATE_HZ)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros((2, 0), np.float32),
        np.zeros((0, 9), np.float32),
        np.zeros(9, np.float32),
        np.zeros((1, 9), np.int16),
    ],
)
def test_encode_audio_refuses_wrong_shapes_and_types(
    encoder: ClapEncoder, audio: np.ndarray
) -> None:
    with pytest.raises(AudioError, match="needed"):
        encoder.encode_audio(audio, RATE_HZ)


@pytest.mark.parametrize("rate_hz", [0, -1, 44_100.5])
def test_encode_audio_refuses_absurd_rates(encoder: ClapEncoder, rate_hz: int) -> None:
    with pytest.raises(RateError):
        encoder.encode_audio(make_noise(1), rate_hz)


def test_encode_audio_gives_silence_a_finite_condition(encoder: ClapEncoder) -> None:
    assert np.isfinite(encoder.encode_audio(np.zeros((1, 100), np.float32), RATE_HZ)).all()


def make_lively(clap_state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make every tensor of the audio side matter: fresh ones have biases of zero."""
    state, generator = dict(clap_state), torch.Generator().manual_seed(3)
    for name, tensor in state.items():
        if not name.startswith(("audio_branch.", "audio_projection.")) or "extractor" in name:
            continue
        if tensor.is_floating_point() and "attn_mask" not in name:
            noise = torch.randn(tensor.shape, generator=generator)
            is_scale = tensor.ndim == 1 and name.endswith(("weight", "running_var"))
            state[name] = (1 + 0.2 * noise).abs() if is_scale else tensor + 0.05 * noise
    return state


@pytest.mark.parametrize("duration_s", [3, *(pytest.param(s, marks=long) for s in (10, 25))])
def test_clap_audio_equals_laion_clap(
    clap_state: dict[str, Tensor], tokenizer_path: Path, duration_s: float
) -> None:
    state = make_lively(clap_state)
    ours, theirs = read_clap_audio(state), load_clap(state, tokenizer_path)
    stereo = np.concatenate([make_noise(duration_s), make_noise(duration_s, seed=1)])
    expected = theirs.encode_audio(stereo, RATE_HZ)
    np.testing.assert_allclose(ours.encode_audio(stereo, RATE_HZ), expected, atol=2e-6)
    ours.in_bf16 = True
    assert ours.encode_audio(stereo, RATE_HZ) @ expected > 0.9995
    # Other weights give another condition.
    plain = read_clap_audio(clap_state)
    assert ours.encode_audio(stereo, RATE_HZ) @ plain.encode_audio(stereo, RATE_HZ) < 0.9


def test_clap_audio_works_without_laion_clap(
    clap_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("laion_clap", "laion_clap.clap_module", "transformers", "torchlibrosa"):
        monkeypatch.setitem(sys.modules, name, None)  # to import it is an error
    condition_D = read_clap_audio(clap_state).encode_audio(make_noise(1), RATE_HZ)
    assert condition_D.shape == (512,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("audio_branch.logmel_extractor.melW"), "melW"),
        (lambda s: s.pop("audio_branch.layers.1.blocks.0.attn.qkv.bias"), "qkv.bias"),
        (lambda s: s.update({"audio_projection.0.weight": torch.zeros(5, 5)}), "size mismatch"),
        (lambda s: s.update({"audio_branch.fusion_model.x": torch.zeros(1)}), "feature fusion"),
        (
            lambda s: [s.pop(name) for name in list(s) if ".blocks." in name],
            "has no audio_branch.l",
        ),
    ],
)
def test_read_clap_audio_refuses_another_audio_side(
    clap_state: dict[str, Tensor], change, message
) -> None:
    state = dict(clap_state)
    change(state)
    with pytest.raises(CheckpointMismatch, match=message):
        read_clap_audio(state)
