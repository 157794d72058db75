"""`separator file`: stems of single files, without a config and without Ray."""

import numpy as np
import pytest
import soundfile

from jobs.cli import main
from separator.api import load_model
from separator.errors import RequestError


def test_file_writes_the_stems_that_the_api_computes(library, tmp_path, capsys):
    """Beside a damaged file, which costs nothing but itself."""
    talk, cut = library / "talk.wav", library / "cut.wav"
    argv = ["file", str(cut), str(talk), "--out", str(tmp_path / "new/stems"), "--device", "cpu"]
    assert main([*argv, "--query", "siren", "--query", "a person speaking"]) == 3
    out, err = capsys.readouterr()
    assert f"separator file: {cut}: media_truncated: " in err
    names = ["talk.siren.flac", "talk.a-person-speaking.flac"]
    assert out.splitlines() == [str(tmp_path / "new/stems" / name) for name in names]
    assert sorted(path.name for path in (tmp_path / "new/stems").iterdir()) == sorted(names)
    mixture_T, rate_hz = soundfile.read(talk, dtype="float32")
    model = load_model("mini", device="cpu")
    for name, text in zip(names, ["siren", "a person speaking"], strict=True):
        stem_CT = model.separate(mixture_T[None], rate_hz, [text])[0]
        written_T, written_hz = soundfile.read(tmp_path / "new/stems" / name, dtype="float32")
        assert written_hz == rate_hz
        np.testing.assert_allclose(written_T, stem_CT[0], atol=2**-22)


def test_file_puts_stems_beside_the_file(library, tmp_path):
    data, rate_hz = soundfile.read(library / "talk.wav")
    soundfile.write(tmp_path / "talk.wav", data[: rate_hz // 2], rate_hz)
    assert main(["file", str(tmp_path / "talk.wav"), "--query", "rain", "--device", "cpu"]) == 0
    assert (tmp_path / "talk.rain.flac").exists()


def test_file_takes_examples_of_a_query(library, tmp_path):
    data, rate_hz = soundfile.read(library / "talk.wav", dtype="float32")
    soundfile.write(tmp_path / "talk.wav", data[:rate_hz], rate_hz)
    argv = ["file", str(tmp_path / "talk.wav"), "--device", "cpu", "--query", "rain"]
    argv += ["--query", "bird", "--like", str(tmp_path / "talk.wav")]
    assert main([*argv, "--like", str(library / "sub dir")]) == 0
    stem_T, _ = soundfile.read(tmp_path / "talk.bird.flac", dtype="float32")
    audio = [str(tmp_path / "talk.wav"), str(library / "sub dir")]
    model = load_model("mini", device="cpu")
    queries = [{"name": "bird", "audio": audio}]
    wanted_CT = model.separate(data[None, :rate_hz], rate_hz, queries=queries)[0]
    np.testing.assert_allclose(stem_T, wanted_CT[0], atol=1e-5)
    assert (tmp_path / "talk.rain.flac").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["talk.wav", "--like", "a.wav", "--query", "x"], "must stand behind the --query that"),
        (["talk.wav", "--query", "x", "--like", "gone.wav"], "gone.wav: no such file"),
        (["a/talk.wav", "a/talk.mp4", "--query", "rain"], "would both write a/talk.rain.flac"),
        (["talk.wav", "talk.rain.flac", "--query", "rain"], "talk.rain.flac is an input"),
        ([f"{'x' * 246}.wav", "--query", "rain"], "a name of 256 bytes, at most 255"),
        (["s3://b/talk.wav", "--query", "rain"], "s3://b/talk.wav: is no local file; `sepa"),
        (["tests", "--query", "rain"], "tests: is a folder; name its files, or use `sepa"),
        (["talk.wav", "--query", "rain", "--out", "s3://b/out"], "must be a folder of this mach"),
        (["talk.wav", "--query", "rain", "--query", "Rain"], "the same as queries[0]"),
        (["talk.wav", "--query", "rain", "--model", "minni"], "did you mean 'mini'?"),
        (["talk.wav", "--query", "rain", "--device", "tpu"], "device='tpu'"),
    ],
)
def test_file_refuses_before_anything_is_separated(argv, message, capsys):
    assert main(["file", *argv]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_file_of_nothing_but_failures_is_3(tmp_path, capsys):
    assert main(["file", str(tmp_path / "gone.wav"), "--query", "rain"]) == 3
    assert "media_unreadable" in capsys.readouterr().err


def test_file_never_replaces_an_example_sound(library, tmp_path, capsys):
    """Such as a stem that somebody cleaned by hand."""
    data, rate_hz = soundfile.read(library / "talk.wav")
    for name in ("talk.wav", "talk.bird.flac"):
        soundfile.write(tmp_path / name, data[: rate_hz // 2], rate_hz)
    talk, bird = tmp_path / "talk.wav", tmp_path / "talk.bird.flac"
    before = bird.read_bytes()
    for example in (bird, tmp_path):
        assert main(["file", str(talk), "--query", "bird", "--like", str(example)]) == 2
        assert f"{bird} is an input" in capsys.readouterr().err
        queries = [{"name": "bird", "audio": example}]
        with pytest.raises(RequestError, match=r"talk\.bird\.flac: is an input"):
            load_model("mini", device="cpu").separate_file(talk, queries, tmp_path)
    assert bird.read_bytes() == before
    deep = tmp_path / "deep/birds"
    deep.mkdir(parents=True)
    bird.rename(deep / bird.name)
    for example in (tmp_path / "deep", (deep / bird.name).as_uri()):
        arguments = ["--query", "bird", "--like", str(example), "--out", str(deep)]
        assert main(["file", str(talk), *arguments]) == 2
        assert "is an input" in capsys.readouterr().err
    assert (deep / bird.name).read_bytes() == before


def test_file_tells_files_apart_that_would_share_a_stem_by_a_link(tmp_path, capsys):
    folder = tmp_path / "one"
    folder.mkdir()
    for name in ("a.wav", "a.flac"):
        soundfile.write(folder / name, 0.1 * np.ones(4_000), 8_000)
    (tmp_path / "two").symlink_to(folder)
    files = [str(folder / "a.wav"), str(tmp_path / "two/a.flac")]
    assert main(["file", *files, "--query", "rain"]) == 2
    assert "would both write" in capsys.readouterr().err
