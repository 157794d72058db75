"""Test `load_model` and `Separator` with real files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from separator import Separator, load_model
from separator.api import load_detector
from separator.encoders.clap_audio import ClapAudio
from separator.encoders.lookup import find_audio_encoder
from separator.errors import (
    AudioError,
    CheckpointMissing,
    EncoderMissing,
    NonFiniteAudio,
    QueryError,
    RequestError,
)
from separator.model.checkpoint import compute_encoder_id, write_safetensors
from separator.model.engine import Engine
from separator.model.registry import BUNDLED
from separator.model.tensors import read_tensors, write_tensors
from separator.model.zero_shot_files import read_separator
from separator.storage import Entry, Storage
from tests.helpers import golden
from tests.helpers.golden import make_small_net, relative_error


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    write_safetensors(make_small_net(), path, "clap:0123456789abcdef")
    return path


@pytest.fixture
def model(small: Path) -> Separator:
    return load_model(small, device="cpu", precision="fp32")


def make_stereo(rate_hz: int) -> np.ndarray:
    return 0.2 * np.random.default_rng(0).standard_normal((2, rate_hz)).astype(np.float32)


@pytest.fixture
def conditions() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, 512)).astype(np.float32)


def test_separate_returns_kind_of_input_array(model, conditions):
    waveform = make_stereo(44_100)
    waveform.flags.writeable = False  # as arrays in rows are
    stems = model.separate(waveform, 44_100, conditions=conditions)
    assert isinstance(stems, np.ndarray)
    assert stems.shape == (3, 2, 44_100) and stems.dtype == np.float32
    tensor = model.separate(torch.tensor(waveform), 44_100, conditions=torch.tensor(conditions))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), stems)


def test_separate_is_in_fp32_whatever_the_caller_computes_in(model, conditions):
    waveform = make_stereo(16_000)
    wanted = model.separate(waveform, 16_000, conditions=conditions)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.separate(waveform, 16_000, conditions=conditions)
    np.testing.assert_array_equal(found, wanted)
    torch.set_default_dtype(torch.float64)
    try:
        found = model.separate(waveform, 16_000, conditions=conditions)
        mini = load_model("mini", device="cpu")  # its encoder is checked by a hash
        assert mini.load_encoder().encode_texts(["rain"]).dtype == np.float32
        detector = load_detector("mini-detector", device="cpu")
        assert detector.detect(waveform, 16_000).framewise.dtype == np.float32
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, wanted)


def test_default_device_of_the_caller_changes_no_result(model, conditions):
    """Without a GPU `meta` shows it: what is made on the default device has no values there."""
    waveform = make_stereo(22_060)  # no whole number of samples in a cell of the grid
    wanted = model.separate(waveform, 22_060, conditions=conditions)
    heard = load_detector("mini-detector", device="cpu").detect(waveform, 22_060)
    texts = load_model("mini", device="cpu").encode(["rain"])
    torch.set_default_device("meta")
    try:
        found = model.separate(waveform, 22_060, conditions=conditions)
        found_heard = load_detector("mini-detector", device="cpu").detect(waveform, 22_060)
        found_texts = load_model("mini", device="cpu").encode(["rain"])
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(found_heard.framewise, heard.framewise)
    np.testing.assert_array_equal(found_texts, texts)


def test_separate_warns_of_floats_at_the_scale_of_integers(model, conditions, caplog):
    model.separate(30_000 * make_stereo(8_000), 8_000, conditions=conditions)
    assert "full scale is 1.0; divide 16-bit integers by 32768" in caplog.text


def test_separate_accepts_float64(model, conditions):
    waveform = make_stereo(16_000)
    double = model.separate(waveform.astype(np.float64), 16_000, conditions=conditions)
    np.testing.assert_array_equal(double, model.separate(waveform, 16_000, conditions=conditions))


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x[:, ::-1][:, ::-1],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(np.longdouble),
        np.asfortranarray,
    ],
    ids=["strides", "byte-order", "long-double", "fortran"],
)
def test_separate_accepts_every_layout_of_an_array(model, conditions, convert):
    waveform = make_stereo(8_000)
    stems = model.separate(convert(waveform), np.int64(8_000), conditions=convert(conditions))
    np.testing.assert_array_equal(stems, model.separate(waveform, 8_000, conditions=conditions))


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (make_stereo(8_000).T, r"\(8000, 2\) looks transposed.*waveform\.T"),
        (np.zeros((65, 9), np.float32), r"at most 64 channels"),
        (make_stereo(80)[0], r"waveform\[None\]"),
        ((make_stereo(80) * 9_999).astype(np.int16), "32768"),
        (make_stereo(80).astype(np.complex64), r"waveform\.real"),
        (torch.ones(1, 9, dtype=torch.complex64), r"waveform\.real"),
    ],
)
def test_separate_says_what_is_wrong_with_an_array(model, conditions, waveform, message):
    with pytest.raises(AudioError, match=message):
        model.separate(waveform, 8_000, conditions=conditions)


def test_separate_accepts_64_channels(model, conditions):
    stems = model.separate(np.zeros((64, 9), np.float32), 8_000, conditions=conditions)
    assert stems.shape == (3, 64, 9)


@pytest.mark.parametrize(
    ("level", "rate_hz"), [(1e300, 8_000), (3e38, 8_000), (3e38, 32_000), (3e38, 44_101)]
)
def test_separate_never_returns_nan_for_loud_samples(model, conditions, level, rate_hz):
    waveform = np.sign(make_stereo(8_000)).astype(np.float64) * level
    with pytest.raises(NonFiniteAudio, match=r"full scale (of|is) 1\.0"):
        model.separate(waveform, rate_hz, conditions=conditions)


def test_separate_never_returns_nan_for_weights_that_overflow(conditions, tmp_path):
    net = make_small_net()
    torch.nn.init.constant_(net.get_buffer("base.bn0.running_var"), -1.0)
    write_safetensors(net, tmp_path / "x.safetensors", None)
    model = load_model(tmp_path / "x.safetensors", device="cpu", precision="fp32")
    with pytest.raises(NonFiniteAudio, match="another checkpoint"):
        model.separate(make_stereo(8_000), 8_000, conditions=conditions)


def test_separate_refuses_a_mini_encoder_that_is_not_the_named_one(tmp_path):
    tensors, metadata = read_tensors(BUNDLED)
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, metadata | {"encoder": "mini:0123\n"})
    with pytest.raises(EncoderMissing, match=r"mini:0123\\n.* is damaged"):
        load_model(path, device="cpu").encode(["rain"])


@pytest.mark.parametrize("level", [1e38, 1e300, np.nan, np.inf])
def test_separate_never_returns_nan_for_large_conditions(model, conditions, level):
    with pytest.raises(RequestError, match=r"conditions reach .*length 1"):
        model.separate(make_stereo(8_000), 8_000, conditions=conditions.astype(float) * level)
    with pytest.raises(RequestError, match="real"):
        model.separate(make_stereo(80), 8_000, conditions=conditions.astype(complex))


def test_separate_needs_queries_or_conditions(model, conditions):
    for kwargs in ({}, {"queries": ["a dog"], "conditions": conditions}):
        with pytest.raises(RequestError, match="either"):
            model.separate(make_stereo(8_000), 8_000, **kwargs)
    with pytest.raises(RequestError, match="list"):
        model.separate([[0.0, 0.1]], 8_000, conditions=conditions)


def test_separate_refuses_bad_queries_before_loading_encoder(model):
    with pytest.raises(QueryError):
        model.separate(make_stereo(8_000), 8_000, queries=["dog", "Dog"])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("device", "tpu"),
        ("device", None),
        ("precision", "fp8"),
        ("compile", "maybe"),
        ("channels", "left"),
        ("memory_bytes", "9"),
        ("memory_bytes", float("nan")),
        ("memory_bytes", float("inf")),
        ("context", float("nan")),
    ],
)
def test_load_model_checks_settings(small, setting, value):
    with pytest.raises(RequestError, match=str(value)):
        load_model(small, **{setting: value})


def test_load_model_takes_a_memory_limit_of_any_number_type(small):
    model = load_model(small, device="cpu", memory_bytes=np.int64(50_000_000))  # pyright: ignore
    assert model.engine.config.rate_hz == 32_000


@pytest.mark.parametrize("name", ["", None, b"mini", "a\0.ckpt", "s3://bucket/a\0.ckpt"])
def test_load_model_refuses_what_is_no_name(name):
    with pytest.raises(RequestError, match="no name, path"):
        load_model(name)


@pytest.mark.parametrize("name", ["a" * 5_000, "./" + "a" * 5_000, "~nobody-at-all/x.ckpt"])
def test_load_model_of_impossible_path_is_missing(name):
    with pytest.raises(CheckpointMissing):
        load_model(name)


def test_missing_encoder_error_names_path(model, monkeypatch, tmp_path):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    with pytest.raises(EncoderMissing, match=str(tmp_path)):
        model.separate(make_stereo(8_000), 8_000, queries=["a dog barking"])


def test_load_model_fetches_uri_once(small, conditions, monkeypatch, tmp_path):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    asked = []

    class Noting(Storage):
        def fetch(self, uri: str, path: Path, expected: Entry | None = None) -> Entry:
            asked.append(uri)
            path.write_bytes(small.read_bytes())
            return self.stat(str(path))

    for _ in range(2):
        model = load_model("s3://bucket/small.safetensors", device="cpu", storage=Noting())
    assert asked == ["s3://bucket/small.safetensors"]
    assert model.checkpoint_sha256 == read_separator(small).sha256


@pytest.mark.slow
@pytest.mark.check
def test_separate_texts_with_official_checkpoint(clap_state, tokenizer_path, monkeypatch, tmp_path):
    """A Lightning file with network and encoder; texts in, stems out, conditions cached."""
    monkeypatch.setenv("SEPARATOR_HOME", str(tokenizer_path.parent))
    extra = {f"query_encoder.model.{name}": t for name, t in clap_state.items()}
    path = golden.write_official_checkpoint(tmp_path / "both.ckpt", extra)
    model = load_model(path, device="cpu", precision="fp32")
    assert model.encoder_id == compute_encoder_id(clap_state)
    waveform = make_stereo(44_100)
    queries = ["a person speaking", {"name": "siren", "text": "an emergency siren"}]
    stems = model.separate(waveform, 44_100, queries=queries)
    assert stems.shape == (2, 2, 44_100)
    assert relative_error(torch.tensor(stems[0]), torch.tensor(stems[1])) > 1e-3
    # The referee: embeddings straight from the encoder, given to another engine.
    conditions = torch.tensor(
        model.load_encoder().encode_texts(["a person speaking", "an emergency siren"])
    )
    engine = Engine(read_separator(path).net, "cpu", "fp32", "off", "linked")
    expected = engine.separate(torch.tensor(waveform), 44_100, conditions)
    np.testing.assert_array_equal(stems, expected.numpy())
    again = load_model(path, device="cpu", precision="fp32")
    moved = path.rename(tmp_path / "moved.ckpt")  # cached conditions need no encoder
    np.testing.assert_array_equal(again.encode(queries), conditions.numpy())
    path = moved.rename(path)
    assert isinstance(find_audio_encoder(path, model.encoder_id), ClapAudio)
    assert find_audio_encoder(path, "clap:another") is None
    # A broken audio encoder does not prevent separation.
    assert find_audio_encoder(golden.write_official_checkpoint(path), model.encoder_id) is None
    for bad in ({"audio_projection.0.weight": torch.zeros(1)}, {"audio_branch.fusion_model.": 1}):
        worse = extra | {f"query_encoder.model.{n}": torch.as_tensor(t) for n, t in bad.items()}
        golden.write_official_checkpoint(path, worse)
        assert find_audio_encoder(path, model.encoder_id) is None


def test_load_model_from_s3(small, conditions, tmp_path, monkeypatch, moto, moto_bucket):
    moto_bucket.storage.upload(small, f"{moto_bucket.uri}/m.safetensors")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    model = load_model(f"{moto_bucket.uri}/m.safetensors", device="cpu")
    assert model.separate(make_stereo(8_000), 8_000, conditions=conditions).shape == (3, 2, 8_000)
