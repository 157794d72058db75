"""`separator tag`: what sounds in files, and when."""

import contextlib
import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.cli import main
from jobs.tag import show_moment
from separator.api import load_detector
from separator.detect.stretches import Curve, StretchRule, find_stretches
from tests.helpers.detectors import write_small_detector
from tests.helpers.media_files import start

RATE_HZ = 16_000
LABELS = ("siren", "dog", "Hubbub, speech noise, speech babble")


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory):
    return write_small_detector(tmp_path_factory.mktemp("tag") / "small.safetensors", LABELS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A sound, the same beside silence in two tracks of a film, silence, and no media."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    noise_T = 0.1 * rng.standard_normal(13 * RATE_HZ)
    noise_T[: 6 * RATE_HZ] *= np.sin(np.arange(6 * RATE_HZ) / 5) ** 8
    soundfile.write(folder / "noise.wav", noise_T, RATE_HZ)
    soundfile.write(folder / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    inputs = ("-i", folder / "silent.wav", "-i", folder / "noise.wav")
    options = ("-map", 0, "-map", 1, "-c:a", "flac", "-metadata:s:a:1", "language=deu")
    start(*inputs, *options, folder / "two.mkv")
    (folder / "broken.mp4").write_bytes(b"nothing of this kind")
    return folder


def tag(detector_file, *argv) -> int:
    return main(["tag", *map(str, argv), "--detector", str(detector_file), "--device", "cpu"])


def test_tag_prints_what_the_detector_finds_and_fails_for_the_rest_alone(
    files, detector_file, capsys
):
    names = [files / name for name in ("broken.mp4", "silent.wav", "two.mkv", "noise.wav")]
    assert tag(detector_file, *names, "--format", "json") == 3
    out, err = capsys.readouterr()
    rows = json.loads(out)
    for name, code in (("broken.mp4", "media_unreadable"), ("silent.wav", "bad_audio")):
        (line,) = [line for line in err.splitlines() if str(files / name) in line]
        assert line.startswith(f"separator tag: {files / name}: {code}: ")
    assert f"{files / 'two.mkv'}, track 0: bad_audio: track 0 is silent" in err
    own = {
        name: [r for r in rows if r["file"] == str(files / name)]
        for name in ("two.mkv", "noise.wav")
    }
    assert {r["track"] for r in own["two.mkv"]} == {1} and {
        r["track"] for r in own["noise.wav"]
    } == {0}
    bare = [
        [tuple(r[key] for key in r if key not in ("file", "track")) for r in own[n]] for n in own
    ]
    assert bare[0] == bare[1] != []
    samples_T, _ = soundfile.read(files / "noise.wav", dtype="float32")
    detector = load_detector(detector_file)
    found = detector.detect(samples_T[None], RATE_HZ)
    rule = StretchRule(0.5, 0.25, shortest_gap_s=1.0)
    expected = [
        (label, round(s.start_s, 3), round(s.stop_s, 3), pytest.approx(s.score, abs=1e-3))
        for k, label in enumerate(LABELS)
        for s in find_stretches(Curve(found.framewise[:, k], found.frame_s), rule, 13.0)
    ]
    assert sorted(bare[1]) == sorted(expected)


def test_tag_of_a_whole_file_is_0_in_every_format(files, detector_file, capsys):
    noise, two = files / "noise.wav", files / "two.mkv"
    assert tag(detector_file, noise, two, "--min-score", 0.3) == 0  # one of its tracks is silent
    table = capsys.readouterr().out.splitlines()
    assert table[0] == str(noise) and f"{two}, track 1 (deu)" in table
    assert all(len(line) <= 80 for line in table if str(files) not in line)
    assert any(line.split()[0] in LABELS for line in table)
    assert tag(detector_file, noise, "--min-score", 0.3, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["file", "track", "label", "start_s", "stop_s", "score"]
    shown = table[: table.index(f"{two}, track 1 (deu)")]
    assert len(rows) == sum(line.startswith("  ") and "label" not in line for line in shown)


def test_tag_says_that_nothing_reaches_the_score(files, detector_file, capsys):
    assert tag(detector_file, files / "noise.wav", "--min-score", 1) == 0
    assert "no label reaches" in capsys.readouterr().out
    assert tag(detector_file, files / "noise.wav", "--min-score", 1, "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [] and "no label reaches 1" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--min-score", "0"], "--min-score 0: must be above 0"),
        (["--detector", "stsedd"], "did you mean 'stsed'"),
        (["--format", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_tag_refuses_a_wrong_request(files, argv, message, capsys):
    assert main(["tag", str(files / "noise.wav"), *argv]) == 2
    assert message in capsys.readouterr().err


def test_moments_are_written_as_people_read_them():
    moments = [0, 5.04, 59.96, 3599.94, 3723.4]
    assert [show_moment(x) for x in moments] == [
        "0:00.0",
        "0:05.0",
        "1:00.0",
        "59:59.9",
        "1:02:03.4",
    ]


def test_tag_takes_a_folder_as_a_library(files, detector_file, capsys):
    assert tag(detector_file, files, files / "noise.wav", "--format", "csv") == 3
    out, err = capsys.readouterr()
    found = {row["file"] for row in csv.DictReader(io.StringIO(out))}
    assert found == {str(files / "noise.wav"), str(files / "two.mkv")}
    assert "broken.mp4: media_unreadable" in err and "silent.wav: bad_audio" in err


def test_tag_reads_a_library_on_s3(files, detector_file, capsys, bucket):
    for name in ("noise.wav", "two.mkv"):
        bucket.storage.upload(files / name, f"{bucket.uri}/in/{name}")
    settings = [f"--storage=endpoint_url={bucket.settings.endpoint_url}"]
    uris = [f"{bucket.uri}/in", f"{bucket.uri}/in/gone.wav"]
    assert tag(detector_file, *uris, *settings, "--format", "json") == 3
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert {row["file"] for row in rows} == {
        f"{bucket.uri}/in/{n}" for n in ("noise.wav", "two.mkv")
    }
    assert "gone.wav: object_missing" in err


def test_tag_of_a_folder_without_media_says_so(detector_file, tmp_path, capsys):
    assert tag(detector_file, tmp_path) == 3
    assert f"{tmp_path}: object_missing: no media in it" in capsys.readouterr().err


def test_tag_of_a_folder_and_a_file_in_it_tags_the_file_once(
    files, detector_file, capsys, monkeypatch
):
    monkeypatch.chdir(files)
    names = ("noise.wav", files / "noise.wav", files, "./noise.wav")
    tag(detector_file, *names, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    stretches = [(row["label"], row["start_s"]) for row in rows if "noise.wav" in row["file"]]
    assert len(stretches) == len(set(stretches)) > 0


def test_tag_goes_on_after_a_track_that_cannot_be_read(detector_file, tmp_path, capsys):
    """The first of three tracks is of a rate that is not supported; the file is a failure."""
    noise_T = 0.1 * np.random.default_rng(0).standard_normal(6 * RATE_HZ)
    soundfile.write(tmp_path / "noise.wav", noise_T, RATE_HZ)
    soundfile.write(tmp_path / "fast.wav", np.repeat(noise_T, 24), 24 * RATE_HZ)
    inputs = [x for name in ("fast", "noise", "noise") for x in ("-i", tmp_path / f"{name}.wav")]
    maps = ("-map", 0, "-map", 1, "-map", 2, "-c:a", "pcm_s16le")
    start(*inputs, *maps, tmp_path / "three.mkv")
    argv = (tmp_path / "three.mkv", tmp_path / "noise.wav", "--format", "csv")
    assert tag(detector_file, *argv) == 3
    out, err = capsys.readouterr()
    found = {(Path(r["file"]).name, r["track"]) for r in csv.DictReader(io.StringIO(out))}
    assert found == {("three.mkv", "1"), ("three.mkv", "2"), ("noise.wav", "0")}
    (line,) = [line for line in err.splitlines() if "bad_rate" in line]
    assert line.startswith(f"separator tag: {tmp_path / 'three.mkv'}, track 0: bad_rate: ")


def test_tag_of_s3_tells_objects_and_prefixes_by_what_lies_there(
    files, detector_file, capsys, moto_bucket
):
    """A folder with a dot, an object without an extension, a bucket with a dot."""
    storage = moto_bucket.storage
    storage.upload(files / "noise.wav", f"{moto_bucket.uri}/arch.2024/noise.wav")
    storage.upload(files / "noise.wav", f"{moto_bucket.uri}/sounds/take")
    dotted = f"{moto_bucket.name}.dotted"
    moto_bucket.admin.create_bucket(Bucket=dotted)
    storage.upload(files / "noise.wav", f"s3://{dotted}/noise.wav")
    settings = [f"--storage=endpoint_url={moto_bucket.settings.endpoint_url}", "--format=json"]
    wanted = {
        f"{moto_bucket.uri}/arch.2024/": f"{moto_bucket.uri}/arch.2024/noise.wav",
        f"{moto_bucket.uri}/arch.2024": f"{moto_bucket.uri}/arch.2024/noise.wav",
        f"{moto_bucket.uri}/sounds/take": f"{moto_bucket.uri}/sounds/take",
        f"s3://{dotted}/": f"s3://{dotted}/noise.wav",
        f"s3://{dotted}": f"s3://{dotted}/noise.wav",
    }
    for name, uri in wanted.items():
        assert tag(detector_file, name, *settings) == 0, name
        assert {row["file"] for row in json.loads(capsys.readouterr().out)} == {uri}
    gone = (f"{moto_bucket.uri}/gone", "s3://no-such-bucket-here/x.wav")
    assert tag(detector_file, *gone, f"{moto_bucket.uri}/arch.2024", *settings) == 3
    out, err = capsys.readouterr()
    assert f"{gone[0]}: object_missing" in err and f"{gone[1]}: bucket_missing" in err
    assert {row["file"] for row in json.loads(out)} == {wanted[f"{moto_bucket.uri}/arch.2024"]}


def test_tag_goes_on_after_what_cannot_be_looked_at(detector_file, tmp_path, capsys):
    """A link to itself in a folder."""
    noise_T = 0.1 * np.random.default_rng(0).standard_normal(6 * RATE_HZ)
    soundfile.write(tmp_path / "noise.wav", noise_T, RATE_HZ)
    (tmp_path / "a.wav").symlink_to("a.wav")
    assert tag(detector_file, tmp_path, "--format", "json") == 3
    out, err = capsys.readouterr()
    assert {Path(row["file"]).name for row in json.loads(out)} == {"noise.wav"}
    assert "a.wav" in err and "Too many levels of symbolic links" in err


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("form", ["table", "csv"])
def test_tag_prints_every_name_that_a_file_can_have(files, detector_file, tmp_path, form, encoding):
    """Names that are no text, in a terminal whose encoding lacks them, and with its commands."""
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\x1b[31m\xe2\x82\xac.wav"))
    shutil.copy(files / "noise.wav", path)
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
    with contextlib.redirect_stdout(out):
        assert tag(detector_file, path, "--format", form) == 0
    said = out.buffer.getvalue()
    assert said.count(b".wav") and (b"\x1b" in said) is (form == "csv")
    if (form, encoding) == ("csv", "utf-8"):
        assert bytes(path) in said
