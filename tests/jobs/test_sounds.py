"""`separator sounds` and `separator train-encoder`: what they refuse before they make anything."""

import pytest

from jobs.sounds import main as sounds
from jobs.train_encoder import main as train_encoder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["real"], "name a folder for the recordings: separator sounds real FOLDER"),
        (["s3://bucket/sounds"], "s3:/bucket/sounds: must be a folder of this machine"),
        (["real", "s3://bucket/real"], "s3:/bucket/real: must be a folder of this machine"),
        (["a", "--seconds", "inf"], "--seconds=inf: must be a number from 0.5 to 3600"),
        (["a", "--seconds", "nan"], "--seconds=nan: must be a number from 0.5 to 3600"),
        (["real", "a", "--packages", "gl-117-data"], "--packages gl-117-data --classes all: no "),
        (
            ["real", "a", "--packages", "xboard", "--classes", "wolf"],
            "--classes wolf: no ",
        ),
    ],
)
def test_sounds_refuses_a_wrong_request_and_makes_nothing(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert sounds([*arguments, "--takes", "1"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_train_encoder_refuses_an_output_on_s3(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train_encoder(["s3://bucket/words.safetensors", "a.jsonl"]) == 2
    assert "s3:/bucket: must be a folder of this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
