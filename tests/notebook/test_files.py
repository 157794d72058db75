"""`Separator.separate_file`: media in, stems in a folder out."""

import subprocess

import numpy as np
import pytest
import soundfile

from separator import load_model
from separator.errors import (
    LayoutUnsupported,
    MediaUnreadable,
    ObjectMissing,
    RateError,
    RequestError,
    TrackMissing,
)
from separator.notebook.files import opened
from tests.helpers.job import write_sound
from tests.helpers.shown import read_players


@pytest.fixture(scope="module")
def model():
    return load_model("mini", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film with a picture and two tracks, of one and two channels."""
    folder = tmp_path_factory.mktemp("film")
    write_sound(folder / "a.wav", ("siren", "rain"), 2.0, 1)
    write_sound(folder / "b.wav", ("man",), 2.0, 2)
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:d=2"]
    command += ["-i", folder / "a.wav", "-i", folder / "b.wav", "-map", "0", "-map", "1", "-map"]
    command += ["2", "-c:a", "flac", "-ac:a:1", "2", "-metadata:s:a:1", "language=deu"]
    subprocess.run([*command, folder / "my film.mkv"], check=True)
    return folder / "my film.mkv"


def read_track(film, number, tmp_path):
    path = tmp_path / f"{number}.wav"
    command = ["ffmpeg", "-v", "error", "-y", "-i", film, "-map", f"0:a:{number}"]
    subprocess.run([*command, "-c:a", "pcm_f32le", path], check=True)
    samples_TC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples_TC.T), rate_hz


def test_every_track_is_separated_as_the_arrays_are(model, film, tmp_path):
    queries = ["siren", {"name": "voice", "text": "a person speaking"}]
    made = model.separate_file(str(film), queries, tmp_path / "new/stems")
    assert [each.path.name for each in made] == [
        f"my film.track-{track}.{query}.flac" for track in (0, 1) for query in ("siren", "voice")
    ]
    assert sorted(each.path for each in made) == sorted((tmp_path / "new/stems").iterdir())
    assert [(each.track_index, each.query, each.language) for each in made] == [
        (0, "siren", None),
        (0, "voice", None),
        (1, "siren", "deu"),
        (1, "voice", "deu"),
    ]
    for number in (0, 1):
        samples, rate_hz = read_track(film, number, tmp_path)
        wanted = model.separate(samples, rate_hz, queries)
        for each in made[2 * number : 2 * number + 2]:
            stem_TC, stem_hz = soundfile.read(each.path, dtype="float32", always_2d=True)
            assert stem_hz == each.rate_hz == rate_hz and len(stem_TC) == each.num_samples
            np.testing.assert_allclose(stem_TC.T, wanted[each.query], atol=1e-6)


def test_one_track_needs_no_number_and_a_missing_one_is_said(model, film, tmp_path):
    (made,) = model.separate_file(film, "siren", tmp_path, tracks=[1], format="wav")
    assert made.path == tmp_path / "my film.siren.wav" and made.track_index == 1
    with pytest.raises(TrackMissing, match="matches no track"):
        model.separate_file(film, "siren", tmp_path, tracks=[7])


@pytest.mark.parametrize("format", ["flac", "ogg", "m4a"])
def test_results_show_players_of_the_files(model, film, tmp_path, format):
    made = model.separate_file(film, ["siren"], tmp_path, format=format)
    players, _ = read_players(made._repr_html_())
    assert [player.label for player in players] == ["siren, 0:02.0", "siren, track 1, 0:02.0"]
    shown, rate_hz = players[0].decode(tmp_path)
    assert shown.shape[1] / rate_hz == pytest.approx(2.0, abs=0.2) and np.abs(shown).max() > 0.01


def test_a_long_file_shows_the_loudest_part_of_its_stem(model, tmp_path):
    noise = 1e-3 * np.random.default_rng(0).standard_normal(40 * 8_000)
    noise[30 * 8_000 : 31 * 8_000] *= 300
    soundfile.write(tmp_path / "long.wav", noise, 8_000)
    made = model.separate_file(tmp_path / "long.wav", "rain", tmp_path / "out")
    (stem,) = made
    assert stem.duration_s == 40 and stem.loudest[0] < 30.5 < stem.loudest[1]
    (player,), _ = read_players(made._repr_html_())
    assert player.label.endswith("of 0:40.0")
    shown, rate_hz = player.decode(tmp_path)
    assert shown.shape[1] / rate_hz == pytest.approx(10, abs=0.3)
    written_T, _ = soundfile.read(stem.path)
    assert np.abs(shown).max() == pytest.approx(np.abs(written_T).max(), rel=0.5)
    stem.path.unlink()
    with pytest.raises(ObjectMissing, match="cannot be read any more"):
        made._repr_html_()


def test_mistakes_leave_nothing_behind(model, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    for path, error in (("text.mp4", MediaUnreadable), ("gone.mp4", MediaUnreadable)):
        with pytest.raises(error):
            model.separate_file(tmp_path / path, "rain", tmp_path / "out")
    with pytest.raises(RequestError, match="format='aiff'"):
        model.separate_file(tmp_path / "text.mp4", "rain", tmp_path / "out", format="aiff")
    assert not (tmp_path / "out").exists()
    soundfile.write(tmp_path / "a.wav", np.zeros(4_000), 8_000)
    for out in ("text.mp4", "text.mp4/out"):
        with pytest.raises(RequestError, match=r"text\.mp4.*: cannot be made, a file has its name"):
            model.separate_file(tmp_path / "a.wav", "rain", tmp_path / out)
    with pytest.raises(TypeError, match="not NoneType"):  # no folder named "None"
        model.separate_file(tmp_path / "a.wav", "rain", None)


@pytest.mark.parametrize(
    ("channels", "rate_hz", "error", "message"),
    [
        (1, 384_000, RateError, "track 1: rate_hz=384000: must be"),
        (10, 8_000, LayoutUnsupported, "track 1: 10 channels .* do not fit flac"),
    ],
)
def test_a_track_that_cannot_be_separated_is_named_before_another_one_is(
    model, tmp_path, channels, rate_hz, error, message
):
    soundfile.write(tmp_path / "good.wav", np.full(8_000, 0.1), 8_000)
    soundfile.write(tmp_path / "odd.wav", np.full((rate_hz, channels), 0.1), rate_hz)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "good.wav", "-i", tmp_path / "odd.wav"]
    command += ["-map", "0", "-map", "1", "-c:a", "pcm_s16le", tmp_path / "two.mkv"]
    subprocess.run(command, check=True)
    with pytest.raises(error, match=message):
        model.separate_file(tmp_path / "two.mkv", "rain", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stem_that_cannot_have_its_name_is_refused_before_anything_is_separated(model, tmp_path):
    name = "x" * 245
    for stem in (name, "talk"):
        soundfile.write(tmp_path / f"{stem}.wav", np.zeros(4_000), 8_000)
    with pytest.raises(RequestError, match=r"siren\.flac: a name of 256 bytes"):
        model.separate_file(tmp_path / f"{name}.wav", ["siren", "rain"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "talk.rain.flac").mkdir()
    with pytest.raises(RequestError, match=r"talk\.rain\.flac: is a folder"):
        model.separate_file(tmp_path / "talk.wav", ["siren", "rain"], tmp_path)
    assert not (tmp_path / "talk.siren.flac").exists()


def test_mono_stems_of_a_file_with_two_channels(film, tmp_path):
    mono = load_model("mini", device="cpu", channels="mono")
    (made,) = mono.separate_file(film, "siren", tmp_path, tracks=[1])
    assert soundfile.info(made.path).channels == 1


def test_opened_fetches_from_s3(film, moto, moto_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    moto_bucket.storage.upload(film, f"{moto_bucket.uri}/a/my film.mkv")
    with opened(f"{moto_bucket.uri}/a/my film.mkv", moto_bucket.storage) as (path, name):
        assert name == "my film" and path.read_bytes() == film.read_bytes()
    assert not path.exists()


def test_separate_file_tells_of_samples_over_full_scale(model, tmp_path, caplog):
    write_sound(tmp_path / "a.wav", ("siren",), 1.0, 1)
    samples_T, rate_hz = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "loud.wav", 1_000 * samples_T, rate_hz, "FLOAT")
    model.separate_file(tmp_path / "a.wav", "siren", tmp_path)
    assert not caplog.records
    (stem,) = model.separate_file(tmp_path / "loud.wav", "siren", tmp_path)
    (message,) = caplog.messages
    assert message.startswith(f"{stem.path}: ") and "samples over full scale" in message
