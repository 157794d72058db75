"""Test which encoder of sounds belongs to a checkpoint, and what is refused."""

import shutil
from pathlib import Path

import pytest

from separator.encoders.lookup import UNKNOWN, encode_texts, find_audio_encoder, find_sound_encoder
from separator.encoders.mini import read_mini
from separator.encoders.sound_encoder import AudioSounds, LatentSounds
from separator.errors import (
    CheckpointMismatch,
    CheckpointMissing,
    EncoderMissing,
    QueryError,
    RequestError,
)
from separator.model.checkpoint import write_safetensors
from separator.model.registry import BUNDLED
from separator.model.zero_shot_files import pack_detector, read_separator, write_detector
from tests.helpers import golden_zs
from tests.helpers.checkpoints import make_net

LABELS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def detector():
    return golden_zs.make_small_detector(num_classes=3)


@pytest.fixture(scope="module")
def both(detector, tmp_path_factory) -> Path:
    """A file of our own with separator and detector."""
    path = tmp_path_factory.mktemp("both") / "both.safetensors"
    net = golden_zs.make_small_unet()
    write_safetensors(net, path, None, encoder=pack_detector(detector, LABELS))
    return path


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    net = golden_zs.make_small_unet()
    path = tmp_path_factory.mktemp("official") / "asp.ckpt"
    return golden_zs.write_official(path, net.state_dict())


def find(path: Path, detector: str | Path = "auto"):
    checkpoint = read_separator(path)
    size = checkpoint.net.config.condition_size
    return find_sound_encoder(path, checkpoint.encoder_id, size, detector)


def test_the_copy_inside_comes_first(both):
    encoder = find(both)
    assert isinstance(encoder, LatentSounds) and encoder.detector.labels == tuple(LABELS)


def test_an_official_separator_goes_with_stsed(official, detector, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    with pytest.raises(CheckpointMissing, match="stsed cannot be downloaded"):
        find(official)
    golden_zs.write_detector(tmp_path / "htsat_audioset_2048d.ckpt", detector)
    for name in ("auto", "stsed", tmp_path / "htsat_audioset_2048d.ckpt"):
        encoder = find(official, name)
        assert isinstance(encoder, LatentSounds)


def test_another_detector_is_refused(both, official, detector, tmp_path):
    other = golden_zs.make_small_detector(num_classes=3, seed=1)
    write_detector(tmp_path / "other.safetensors", other, LABELS)
    with pytest.raises(EncoderMissing, match=r"needs the detector 'htsat:\w{16}', other.safet"):
        find(both, tmp_path / "other.safetensors")
    wide = golden_zs.make_small_detector(width=16, num_classes=3)
    write_detector(tmp_path / "wide.safetensors", wide, LABELS)
    with pytest.raises(CheckpointMismatch, match=r"has 128 values, the condition of .* has 64"):
        find(official, tmp_path / "wide.safetensors")
    with pytest.raises(CheckpointMismatch, match="no detector"):
        find(both, BUNDLED)
    encoder_id = pack_detector(detector, LABELS)[1]["encoder"]
    write_safetensors(golden_zs.make_small_unet(), tmp_path / "x.safetensors", encoder_id)
    with pytest.raises(EncoderMissing, match=r"holds no whole copy of it .*detector=\.\.\."):
        find(tmp_path / "x.safetensors")


def test_text_models_take_their_own_audio_side(tmp_path, monkeypatch):
    assert isinstance(find(BUNDLED), AudioSounds)
    with pytest.raises(RequestError, match="takes example sounds by its text encoder, not by a"):
        find(BUNDLED, "stsed")
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path))
    write_safetensors(make_net(), tmp_path / "x.safetensors", "clap:0123")
    with pytest.raises(EncoderMissing, match="trained with the text encoder 'clap:0123' and holds"):
        find(tmp_path / "x.safetensors")
    write_safetensors(make_net(), tmp_path / "y.safetensors", None)
    with pytest.raises(EncoderMissing, match="names no text encoder; give conditions"):
        find(tmp_path / "y.safetensors")


def test_a_zero_shot_separator_reads_no_text(both, official, caplog):
    for path in (both, official):
        encoder_id = read_separator(path).encoder_id
        with pytest.raises(QueryError, match=r"query 'rain': .* reads no text: give \{name"):
            encode_texts(["rain"], encoder_id, lambda: pytest.fail("no encoder is loaded"))
        assert find_audio_encoder(path, encoder_id) is None and not caplog.records


def test_files_are_told_apart_by_content_not_by_name(both, tmp_path):
    copy = shutil.copy(both, tmp_path / "mini.bin")
    assert isinstance(find(Path(copy)), LatentSounds)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("not a siren", "not"),
        ("Everything but rain", "Everything but"),
        ("all but the dog", "all but"),
        ("anything other than rain", "other than"),
        ("the street minus the cars", "minus"),
        ("a knot in a rope", ""),
    ],
)
def test_a_query_that_denies_a_sound_is_warned_of(text, word):
    _, warnings = encode_texts(
        [text], read_separator(BUNDLED).encoder_id, lambda: read_mini(BUNDLED)
    )
    told = f"says {word!r}, and the mini model hears only which sounds are named"
    assert warnings.get(text, "").startswith(told) == bool(word)


def test_a_query_without_a_known_word_is_warned_of_as_such_whatever_else_it_says():
    texts = ["no xylophone", "a xylophone"]
    _, warnings = encode_texts(
        texts, read_separator(BUNDLED).encoder_id, lambda: read_mini(BUNDLED)
    )
    assert warnings == dict.fromkeys(texts, UNKNOWN)
