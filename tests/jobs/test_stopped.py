"""Commands that are stopped say whether the same command continues their work."""

import argparse
from dataclasses import replace

import pytest

from jobs.calibrate import CALIBRATE
from jobs.convert import CONVERT
from jobs.mine import MINE
from jobs.sounds import SOUNDS
from jobs.train import TRAIN
from jobs.train_encoder import TRAIN_ENCODER


def stop(options: argparse.Namespace) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "arguments", "resumes"),
    [
        (TRAIN, ["train.yaml"], True),
        (SOUNDS, ["folder"], True),
        (TRAIN_ENCODER, ["out.safetensors", "a.jsonl"], False),
        (MINE, ["stsed", "a.jsonl", "mined.parquet"], False),
        (CONVERT, ["a.ckpt", "a.safetensors"], False),
        (CALIBRATE, ["mini", "a.safetensors"], False),
    ],
)
def test_a_stopped_command_promises_to_go_on_only_if_it_does(command, arguments, resumes, capsys):
    assert replace(command, run=stop).main(arguments) == 130
    assert ("the same command goes on" in capsys.readouterr().err) == resumes
