"""Sounds that are cut and added: the samples are those that a job wrote."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.audio.format import AudioFormat
from separator.errors import OutputDamaged, RequestError
from separator.export.sounds import add, add_sounds, check_sound
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings

RELEASE = Path(__file__).parents[1] / "data/first_release"
ASSETS = pytest.mark.parametrize("asset", ["talk.wav", "sub/rain.wav"])


def make_row(stem_path: Path, residual_path: Path) -> dict[str, str]:
    return {"stem_uri": str(stem_path), "residual_uri": str(residual_path)}


@ASSETS
@pytest.mark.parametrize("name", ["siren.flac", "a-person-speaking.flac"])
def test_stem_and_residual_of_a_job_add_up_to_the_asset(asset, name, tmp_path):
    track = RELEASE / "out/stems" / asset / "track-0"
    stem_path, residual_path = track / name, track / "residual" / name
    mixture = tmp_path / "mixture.flac"
    assert add_sounds(stem_path, residual_path, mixture, make_row(stem_path, residual_path))
    made_TC, rate_hz = soundfile.read(mixture, dtype="int32", always_2d=True)
    wanted_TC, wanted_hz = soundfile.read(
        RELEASE / "library" / asset, dtype="int32", always_2d=True
    )
    assert rate_hz == wanted_hz
    np.testing.assert_array_equal(made_TC, wanted_TC)
    assert soundfile.info(mixture).subtype == soundfile.info(stem_path).subtype


def test_sums_that_leave_the_type_are_none():
    top = np.iinfo(np.int32).max
    one = np.array([[top], [-top], [5]], np.int32)
    assert add(one, np.array([[0], [-1], [-7]], np.int32)).tolist() == [[top], [-top - 1], [-2]]
    for two in ([[1], [0], [0]], [[0], [-2], [0]]):
        assert add(one, np.array(two, np.int32)) is None
    assert add(np.float32([[0.5]]), np.float32([[0.25]])).tolist() == [[0.75]]


def test_lossy_stems_give_no_mixture(tmp_path):
    paths = []
    for folder in ("stem", "residual"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "siren.ogg")
        soundfile.write(paths[-1], np.zeros(8_000), 8_000)
    with pytest.raises(RequestError, match=r"siren\.ogg: OGG cannot be added .*flac and wav"):
        add_sounds(*paths, tmp_path / "mixture.ogg", make_row(*paths))


@pytest.mark.parametrize("form", ["flac", "wav", "ogg", "mp3", "m4a"])
def test_a_sound_that_is_empty_or_cut_short_is_damaged(tmp_path, form):
    path = tmp_path / f"a.{form}"
    noise_CT = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 40_017)).astype(np.float32)
    audio_format = AudioFormat(22_050, 1, "mono")  # ogg has to store another rate
    encode([noise_CT], path, audio_format, settings=EncodeSettings(format=form))
    row = {"stem_uri": "a", "duration_s": 40_017 / 22_050, "cut_stop_s": None}
    check_sound(path, row)
    data = path.read_bytes()
    for num_bytes in (0,) if form == "m4a" else (0, 1_000, len(data) // 2):
        path.write_bytes(data[:num_bytes])
        with pytest.raises(OutputDamaged):
            check_sound(path, row)
