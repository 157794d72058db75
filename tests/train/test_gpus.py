"""GPUs that were asked for and are not there."""

import pytest

from separator.errors import RequestError
from separator.train.gpus import check_gpus
from separator.train.recipe import DataSettings, TrainSettings
from separator.train.trainer import run_training

MANY = 10_000

pytestmark = pytest.mark.usefixtures("shared_ray")


def test_training_refuses_more_gpus_than_the_machine_has(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    settings = TrainSettings(
        output=str(tmp_path), encoder="mini", use_gpu=True, workers=MANY, data=DataSettings(["a"])
    )
    with pytest.raises(RequestError, match=r"use_gpu=true, workers=10000: .* this machine has \d"):
        run_training(settings, print)


def test_check_gpus_says_that_a_cluster_is_waited_for(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    shown = []
    check_gpus("use_gpu=true", 0, shown.append)
    assert shown == []
    check_gpus("use_gpu=true", MANY, shown.append)
    assert [line.partition("; ")[0] for line in shown] == ["waiting for 10000 GPUs"]
