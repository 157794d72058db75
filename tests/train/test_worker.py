"""Real Ray Train runs on a tiny network: from lists to a model that separates, and deaths."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
import torch

from separator.api import load_model
from separator.encoders.mini import MiniEncoder, write_mini
from separator.encoders.words import collect_words
from separator.model.checkpoint import write_safetensors
from separator.model.resunet import ResUNet
from tests.helpers.golden import make_small_net
from tests.helpers.training import KINDS, RATE_HZ, make_kind

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/train-mini.yaml"
TINY = ["net.widths=[4,4,4,4,4,4]", "data.segment_s=0.5", "optim.batch=2", "optim.autocast=false"]


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    encoder = MiniEncoder(collect_words([c for captions in KINDS.values() for c in captions]))
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    write_mini(path, encoder.eval())
    return path


def start(module: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def finish(process: subprocess.Popen, timeout_s: float = 300) -> str:
    try:
        out, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        raise
    assert process.returncode == 0, out[-4_000:]
    return out


def train_arguments(folder: Path, sounds: Path, encoder: Path, *more: str) -> list[object]:
    lists = f"data.lists=[{sounds}]"
    return [CONFIG, f"output={folder}", "name=run", f"encoder={encoder}", lists, *TINY, *more]


def find_newest(folder: Path) -> Path:
    return max((folder / "run").glob("checkpoint_*/"), key=lambda path: path.stat().st_mtime)


def read_history(folder: Path) -> list[dict]:
    lines = (find_newest(folder) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_from_a_list_to_a_model_and_its_figures(sounds_list, encoder_file, tmp_path):
    rows = [json.loads(line) for line in sounds_list.read_text().splitlines()]
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
    rows += [{"audio": "gone.wav", "captions": ["hum"], "kind": "hum"}] * 4
    listed = tmp_path / "with-gone.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = train_arguments(tmp_path, listed, encoder_file)
    out = finish(start("jobs.train", *arguments, "optim.num_steps=6", "checkpoint_every=3"))
    assert "6/6" in out and "SDRi" in out
    history = read_history(tmp_path)
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["skipped"] > 0  # the absent file was met, counted, and cost nothing else
    newest = find_newest(tmp_path)
    assert (newest / "loss.png").read_bytes().startswith(b"\x89PNG")
    model = load_model(newest / "model.safetensors", device="cpu")
    waveform = make_kind("beep", 9, RATE_HZ)[None].astype(np.float32)
    assert model.separate(waveform, RATE_HZ, ["a beeping tone"]).shape == (1, 1, RATE_HZ)
    check_evaluation(newest / "model.safetensors", tmp_path, sounds_list)


def check_evaluation(model_path: Path, folder: Path, sounds_list: Path) -> None:
    target, other = (make_kind(kind, 11, RATE_HZ) for kind in ("beep", "hiss"))
    soundfile.write(folder / "target.wav", target, RATE_HZ, "FLOAT")
    soundfile.write(folder / "mixture.wav", target + other, RATE_HZ, "FLOAT")
    cases = pd.DataFrame(
        [{"mixture": "mixture.wav", "target": "target.wav", "query": "a beeping tone"}]
    )
    cases.to_csv(folder / "cases.csv", index=False)
    out = finish(start("jobs.evaluate", model_path, folder / "cases.csv", folder / "scores"))
    assert "SDRi" in out and "mean" in out
    scores = pd.read_parquet(folder / "scores" / "scores.parquet")
    model = load_model(model_path, device="cpu")
    mixture = soundfile.read(folder / "mixture.wav", dtype="float32")[0]
    stem = model.separate(mixture[None], RATE_HZ, ["a beeping tone"])[0, 0]
    # The referee: the definitions, written out.
    sdr = 10 * np.log10(np.sum(target**2) / np.sum((target - stem) ** 2))
    sdr_before = 10 * np.log10(np.sum(target**2) / np.sum(other**2))
    assert scores.sdr_db[0] == pytest.approx(sdr, abs=0.05)
    assert scores.sdri_db[0] == pytest.approx(sdr - sdr_before, abs=0.05)
    assert (folder / "scores" / "scores.png").stat().st_size > 1_000


@pytest.mark.slow
def test_two_workers_follow_one_with_the_doubled_batch(sounds_list, encoder_file, tmp_path):
    losses = {}
    for workers, batch in ((1, 4), (2, 2)):
        folder = tmp_path / f"{workers}"
        arguments = train_arguments(folder, sounds_list, encoder_file, f"workers={workers}")
        more = [f"optim.batch={batch}", "optim.num_steps=12", "optim.use_text_ratio=1"]
        finish(start("jobs.train", *arguments, *more))
        losses[workers] = [row["loss"] for row in read_history(folder)]
    # Each worker has batch norms of its own: close, not equal.
    one, two = (np.array(losses[workers]) for workers in (1, 2))
    size = np.abs(one).mean()
    assert np.corrcoef(np.cumsum(one), np.cumsum(two))[0, 1] > 0.99
    assert abs(one.mean() - two.mean()) < 0.1 * size
    assert np.abs(one - two).max() < 0.25 * size


@pytest.mark.slow
def test_a_killed_worker_resumes_and_ends_with_the_same_steps(sounds_list, encoder_file, tmp_path):
    arguments = train_arguments(tmp_path, sounds_list, encoder_file)
    process = start("jobs.train", *arguments, "optim.num_steps=60", "checkpoint_every=10")
    deadline = time.monotonic() + 200
    while not list((tmp_path / "run").glob("checkpoint_*/metrics.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    victims = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if any("RayTrainWorker" in part for part in child.cmdline())
    ]
    assert len(victims) == 1
    victims[0].send_signal(signal.SIGKILL)
    finish(process)
    assert [row["step"] for row in read_history(tmp_path)] == list(range(1, 61))


@pytest.mark.slow
def test_the_same_name_again_goes_on(sounds_list, encoder_file, tmp_path):
    arguments = train_arguments(tmp_path, sounds_list, encoder_file)
    finish(start("jobs.train", *arguments, "optim.num_steps=4", "checkpoint_every=2"))
    finish(start("jobs.train", *arguments, "optim.num_steps=8", "checkpoint_every=2"))
    history = read_history(tmp_path)
    assert [row["step"] for row in history] == list(range(1, 9))


def test_bad_requests_are_one_line(sounds_list, encoder_file, tmp_path, capsys):
    from jobs.train import main

    arguments = train_arguments(tmp_path, sounds_list, encoder_file)
    wrong = {
        "optim.stepz=3": "optim.stepz",
        "optim.batch=many": "optim.batch",
        "data.lists=[nowhere.jsonl]": "nowhere.jsonl",
    }
    for override, reason in wrong.items():
        assert main([str(a) for a in (*arguments, override)]) == 2
        message = capsys.readouterr().err
        assert reason in message and message.count("\n") == 1
    assert main([str(CONFIG)]) == 2 and "output is not set" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fine_tuning_trains_what_training_trains(tmp_path):
    from separator.train.recipe import TrainSettings
    from separator.train.worker import make_net

    saved = make_small_net()
    write_safetensors(saved, tmp_path / "m.safetensors", None)
    settings = TrainSettings(output="", encoder="")
    settings.net.start_from = str(tmp_path / "m.safetensors")
    net = make_net(settings)
    fresh = ResUNet(saved.config)
    for (name, own), other in zip(net.named_parameters(), fresh.parameters(), strict=True):
        # DDP waits for the gradient of every parameter that asks for one.
        assert own.requires_grad == other.requires_grad, name
        assert torch.equal(own, saved.get_parameter(name))
