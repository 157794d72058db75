"""`separator check`: what a run would need, before it starts."""

import re
from pathlib import Path

import pytest
import ray

from jobs.check import check_detector, check_ffmpeg, check_input
from jobs.cli import main
from separator.config import JobConfig, read_config
from separator.errors import CheckpointMissing, ObjectMissing, RequestError, SeparatorError
from separator.run.local_ray import join_ray
from separator.storage import Storage
from tests.helpers.job import write_config


@pytest.fixture(scope="module")
def joined_ray():
    """One Ray for all checks of this file."""
    join_ray()
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _same_variables_afterwards(monkeypatch) -> None:
    """A check downloads nothing, and says so to its process."""
    monkeypatch.setenv("SEPARATOR_OFFLINE", "")


def test_check_of_a_job_that_can_start(library, tmp_path, capsys, joined_ray):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "new/out"))
    assert main(["check", str(config)]) == 0
    out = capsys.readouterr().out
    found = [line.split()[:2] for line in out.splitlines() if not line.startswith(" ")]
    names = [
        "config",
        "decoder",
        "disk",
        "input",
        "output",
        "weights",
        "encoder",
        "detector",
        "ray",
    ]
    assert found == [[name, "ok"] for name in names]
    assert not (tmp_path / "new").exists(), "a check leaves nothing behind"


def test_check_says_all_that_is_wrong_and_the_way_out(
    library, tmp_path, capsys, joined_ray, monkeypatch
):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "file/out"))
    assert main(["check", str(config), "input.include='*.mxf'", "model.name=audiosep"]) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert "input WRONG" in out and "holds nothing that input.include names" in out
    assert "output WRONG" in out and "weights WRONG" in out and "encoder WRONG" in out
    assert "`separator convert audiosep FILE.safetensors` downloads it now" in out
    assert "ray ok" in out
    assert out.endswith("4 of these would stop the run, or leave it without work")
    assert not (tmp_path / "home").exists(), "nothing is downloaded"
    assert main(["check", str(config), "queries=[qwertz]"]) == 2
    assert re.search(r"encoder  WRONG  'qwertz': the mini model knows", capsys.readouterr().out)
    (tmp_path / "dog.png").write_bytes(b"\x89PNG")
    picture = f"queries=[{{name: dog, image: {tmp_path}/dog.png}}]"
    assert main(["check", str(config), picture]) == 2
    assert "text or example sounds" in " ".join(capsys.readouterr().out.split())
    monkeypatch.delenv("SEPARATOR_OFFLINE")
    assert (
        main(["check", str(config), f"output.uri={tmp_path / 'out'}", "queries=[rain and a dog]"])
        == 0
    )
    assert "'rain and a dog': names several sounds" in " ".join(capsys.readouterr().out.split())


def test_check_of_an_input_names_entries_that_cannot_be_looked_at(tmp_path):
    """A run goes on without them."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.wav").symlink_to("a.wav")
    given = [f"input.uri={tmp_path / 'in'}", f"output.uri={tmp_path / 'out'}", "queries=[siren]"]
    config = read_config(Path(__file__).parents[2] / "configs/local.yaml", given)
    with pytest.raises(RequestError, match="Too many levels of symbolic links"):
        check_input(config, Storage())
    (tmp_path / "in/b.wav").write_bytes(b"")
    text = check_input(config, Storage())
    assert "b.wav is there; " in text and "Too many levels of symbolic links" in text


def read_job(folder: Path, *overrides: str) -> JobConfig:
    config = write_config(folder / "c.yaml", str(folder / "in"), str(folder / "out"))
    return read_config(config, list(overrides))


def test_check_of_a_detector_refuses_what_a_run_would_refuse(tmp_path):
    missing = read_job(tmp_path, f"detect.model={tmp_path}/none.safetensors")
    with pytest.raises(CheckpointMissing, match=r"none\.safetensors: no such file"):
        check_detector(missing, Storage())
    bird = "queries=[{name: bird, audio: x.wav, classes: [no such class]}]"
    with pytest.raises(RequestError, match="the detector has no class 'no such class'"):
        check_detector(read_job(tmp_path, bird), Storage())
    with pytest.raises(RequestError, match=r"detect\.model='encoder' has none"):
        check_detector(read_job(tmp_path, bird, "detect.model=encoder"), Storage())
    jobs = (read_job(tmp_path, f"detect.model={each}") for each in ("auto", "off", "encoder"))
    texts = [check_detector(job, Storage()) for job in jobs]
    assert texts == ["auto: 46 classes", "none: detect.model=off", "none: by similarity"]


def test_check_of_a_detector_on_s3_downloads_nothing(tmp_path, moto_bucket, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    uri = f"{moto_bucket.uri}/heard.ckpt"
    job = read_job(tmp_path, f"detect.model={uri}")
    with pytest.raises(ObjectMissing):
        check_detector(job, moto_bucket.storage)
    moto_bucket.storage.write(uri, bytes(2_000))
    assert check_detector(job, moto_bucket.storage).startswith(f"{uri}: 2.0 kB there")
    assert not (tmp_path / "home").exists()


def test_check_of_a_remux_refuses_a_codec_that_ffmpeg_lacks():
    assert check_ffmpeg("aac").startswith("ffmpeg ")
    with pytest.raises(RequestError, match=r"output\.remux_codec='nosuch'"):
        check_ffmpeg("nosuch")


@pytest.mark.parametrize(
    ("text", "setting", "wrong"),
    [
        ("name,text\na.wav,rain\n", "run.limit=1", r"needed is one of \('uri', "),
        ("uri,text\na.wav,rain\n", "input.queries_column=words", r"input\.queries_column='words'"),
        ("uri,text\na.wav,rain\n", "input.carry=[licence]", r"input\.carry='licence'"),
        ("uri,text\ngone.wav,rain\n", "run.limit=1", r"gone\.wav"),
        ("uri,text\n", "run.limit=1", "a list without a row"),
    ],
)
def test_check_of_a_list_refuses_what_a_run_would_refuse(tmp_path, text, setting, wrong):
    (tmp_path / "in.csv").write_text(text)
    (tmp_path / "a.wav").write_bytes(b"")
    job = read_job(tmp_path, f"input.uri={tmp_path / 'in.csv'}", setting)
    with pytest.raises(SeparatorError, match=wrong):
        check_input(job, Storage())


def test_check_of_a_list_names_the_first_asset_of_any_shard_and_the_first_trouble(tmp_path):
    (tmp_path / "in.csv").write_text("uri,text\ngone.wav,rain\na.wav,wind\n")
    (tmp_path / "a.wav").write_bytes(b"")
    for shard in ("1/2", "2/2"):
        job = read_job(tmp_path, f"input.uri={tmp_path / 'in.csv'}", f"run.shard={shard}")
        text = check_input(job, Storage())
        assert text.startswith(f"{tmp_path}/a.wav is there; ") and "gone.wav" in text
