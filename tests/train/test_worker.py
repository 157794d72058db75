"""Real Ray Train runs on a tiny network: from lists to a model that separates, and deaths."""

import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from jobs.evaluate import main as evaluate
from jobs.train import main as train
from separator.api import load_model
from tests.helpers.kills import find_workers
from tests.helpers.training import (
    CONFIG,
    RATE_HZ,
    find_newest,
    list_train_arguments,
    make_kind,
    read_history,
    read_rows,
    start_training,
    write_rows,
)

# All that a training may say: nothing of Ray's own.
OUR_LINE = re.compile(
    r"\[[#.]{10}\] .* min left|going on from step [\d,]+(?:, with another .*)?"
    r"|model: .*|\w[\w ]+ \.\.\."
)


def check_lines(out: str) -> None:
    assert [line for line in out.splitlines() if not OUR_LINE.fullmatch(line)] == []


def wait_for_checkpoint(process: subprocess.Popen, output: Path) -> None:
    """A new worker gets the newest checkpoint that Ray Train has listed here."""
    snapshot = output / "run" / "checkpoint_manager_snapshot.json"
    while not snapshot.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def survived(sounds_list, encoder_file, tmp_path_factory) -> tuple[Path, str]:
    """The output and the console of a run whose worker was killed; some files do not exist."""
    output = tmp_path_factory.mktemp("trained")
    rows = read_rows(sounds_list)
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
    rows += [{"audio": "gone.wav", "captions": ["hum"], "kind": "hum"}] * 8
    listed = write_rows(output / "with-gone.jsonl", rows)
    arguments = list_train_arguments(output, listed, encoder_file)
    process = start_training([*arguments, "optim.num_steps=60", "checkpoint_every=10"])
    try:
        wait_for_checkpoint(process, output)
        (victim,) = find_workers(process, "trainer")
        victim.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
    finally:
        process.terminate()
    assert process.returncode == 0, out
    return output, out


@pytest.fixture(scope="module")
def trained(survived) -> Path:
    return survived[0]


@pytest.mark.slow
@pytest.mark.check
def test_train_resumes_after_a_killed_worker_and_ends_with_the_same_steps(survived):
    output, out = survived
    check_lines(out)
    assert re.search(r"going on from step \d+$", out, re.M)  # the settings are the same
    assert [row["step"] for row in read_history(output)] == list(range(1, 61))


@pytest.mark.slow
@pytest.mark.check
def test_train_writes_what_it_skipped_and_a_curve(trained):
    assert read_history(trained)[-1]["skipped"] > 0  # files that do not exist
    assert (find_newest(trained) / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.check
def test_train_writes_a_model_that_load_model_reads(trained):
    model = load_model(find_newest(trained) / "model.safetensors", device="cpu")
    waveform = make_kind("beep", 9, RATE_HZ)[None].astype(np.float32)
    assert model.separate(waveform, RATE_HZ, ["a beeping tone"]).shape == (1, 1, RATE_HZ)


@pytest.mark.slow
@pytest.mark.check
def test_evaluate_agrees_with_the_definitions(shared_ray, trained, tmp_path):
    target, other = (make_kind(kind, 11, RATE_HZ) for kind in ("beep", "hiss"))
    soundfile.write(tmp_path / "target.wav", target, RATE_HZ, "FLOAT")
    soundfile.write(tmp_path / "mixture.wav", target + other, RATE_HZ, "FLOAT")
    row = {"mixture": "mixture.wav", "target": "target.wav", "query": "a beeping tone"}
    pd.DataFrame([row]).to_csv(tmp_path / "cases.csv", index=False)
    model_path = find_newest(trained) / "model.safetensors"
    scores_path = tmp_path / "scores"
    assert evaluate([str(model_path), str(tmp_path / "cases.csv"), str(scores_path)]) == 0
    scores = pd.read_parquet(scores_path / "scores.parquet")
    model = load_model(model_path, device="cpu")
    mixture = soundfile.read(tmp_path / "mixture.wav", dtype="float32")[0]
    stem = model.separate(mixture[None], RATE_HZ, ["a beeping tone"])[0, 0]
    sdr_db = 10 * np.log10(np.sum(target**2) / np.sum((target - stem) ** 2))
    before_db = 10 * np.log10(np.sum(target**2) / np.sum(other**2))
    assert scores.sdr_db[0] == pytest.approx(sdr_db, abs=0.05)
    assert scores.sdri_db[0] == pytest.approx(sdr_db - before_db, abs=0.05)
    assert (scores_path / "scores.png").stat().st_size > 1_000


@pytest.mark.slow
def test_train_continues_a_run_of_the_same_name(shared_ray, trained, encoder_file, capsys):
    arguments = list_train_arguments(trained, trained / "with-gone.jsonl", encoder_file)
    assert train([*arguments, "optim.num_steps=62", "checkpoint_every=2"]) == 0
    out = capsys.readouterr().out
    check_lines(out)
    changed = "checkpoint_every, optim.num_steps"
    assert f"going on from step 60, with another {changed}\n" in out and "62/62" in out
    assert [row["step"] for row in read_history(trained)] == list(range(1, 63))


@pytest.mark.slow
@pytest.mark.check
def test_train_ends_with_one_line_where_a_checkpoint_is_of_another_network(
    shared_ray, trained, encoder_file, capfd
):
    """A worker finds it, and is not started again for it."""
    arguments = list_train_arguments(trained, trained / "with-gone.jsonl", encoder_file)
    assert train([*arguments, "net.widths=[3,3,3,3,3,3]", "optim.num_steps=99"]) == 2
    message = capfd.readouterr().err
    assert "holds another network" in message and message.count("\n") == 1


def test_train_refuses_bad_requests_in_one_line(sounds_list, encoder_file, tmp_path, capsys):
    arguments = list_train_arguments(tmp_path, sounds_list, encoder_file)
    wrong = {
        "optim.stepz=3": "optim.stepz",
        "optim.batch=many": "optim.batch",
        "data.lists=[nowhere.jsonl]": "nowhere.jsonl",
        "optim.num_steps=0": "optim.num_steps=0: must be a number from 1",
        "checkpoint_every=0": "checkpoint_every=0",
        "data.segment_s=-1": "data.segment_s=-1",
        "data.num_sounds=[2,1]": "data.num_sounds=[2, 1]",
    }
    for override, reason in wrong.items():
        assert train([*arguments, override]) == 2
        message = capsys.readouterr().err
        assert reason in message and message.count("\n") == 1
    assert train([str(CONFIG)]) == 2 and "output is not set" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_train_with_two_workers_follows_one_with_the_doubled_batch(
    shared_ray, sounds_list, encoder_file, tmp_path
):
    losses = {}
    for workers, batch in ((1, 4), (2, 2)):
        output = tmp_path / f"{workers}"
        arguments = list_train_arguments(output, sounds_list, encoder_file, f"workers={workers}")
        more = [f"optim.batch={batch}", "optim.num_steps=12", "optim.use_text_ratio=1"]
        assert train([*arguments, *more]) == 0
        losses[workers] = [row["loss"] for row in read_history(output)]
    # Each worker has batch norms of its own: close, not equal.
    one, two = (np.array(losses[workers]) for workers in (1, 2))
    size = np.abs(one).mean()
    assert np.corrcoef(np.cumsum(one), np.cumsum(two))[0, 1] > 0.99
    assert abs(one.mean() - two.mean()) < 0.1 * size
    assert np.abs(one - two).max() < 0.25 * size


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_training_in_one_line(sounds_list, encoder_file, tmp_path, number):
    arguments = list_train_arguments(tmp_path, sounds_list, encoder_file)
    process = start_training([*arguments, "optim.num_steps=100_000", "checkpoint_every=5"])
    try:
        wait_for_checkpoint(process, tmp_path)
        process.send_signal(number)
        out, _ = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130, out
    assert "train: stopped; what is finished is kept" in out.splitlines()[-1]
    assert find_newest(tmp_path).is_dir()
