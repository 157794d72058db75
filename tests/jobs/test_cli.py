"""The command `separator`: help, exit codes, and one line for what a user gets wrong."""

import argparse
import os
import re
import signal
import subprocess
import sys
from dataclasses import is_dataclass
from typing import get_type_hints

import pytest

from jobs import cli, export, separate, train
from jobs.cli import COMMANDS, main
from jobs.command import JOB_KEYS, Command, Parser, run_command
from separator.config import JobConfig
from separator.errors import (
    AccessDenied,
    CheckpointMissing,
    ClusterUnreachable,
    DiskFull,
    LockLost,
    OutputTaken,
    QueryError,
    StorageBusy,
    Throttled,
)
from separator.export.settings import ExportConfig
from separator.run.local_ray import join_ray
from separator.train.recipe import TrainSettings
from tests.helpers.job import write_config

NAMES = [command.name for command in COMMANDS]


def call(capsys, *argv: object) -> tuple[int, str, str]:
    code = main(list(map(str, argv)))
    return code, *capsys.readouterr()


def drop_phases(err: str) -> list[str]:
    """The lines that do not say what a command is at."""
    return [line for line in err.splitlines() if not line.endswith(" ...")]


def test_help_lists_every_command_in_80_columns(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0 and "exit codes:" in out
    assert all(re.search(rf"^    {name}\b", out, re.MULTILINE) for name in NAMES)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_names_what_was_typed(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(capsys, name, "--help")
    assert code == 0 and out.startswith(f"usage: separator {name} ")
    assert f"example:\n  separator {name} " in out and "exit codes:" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["find"], "(table)"),
        (["markers"], "(audacity)"),
        (["tag"], "format of the output (table)"),
        (["convert"], "type of the weights (fp32)"),
        (["mine"], "windows: by asking the detector about 2 s at a time"),
        (["evaluate"], "(caption)"),
        (["train"], "separators and detectors on Ray Train"),
        (["train"], "every key: configs/train.yaml"),
        (["review", "import"], "where the file names none, or the output has moved"),
        (["run"], "an output that is taken, or storage that refuses"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_help_explains_values_and_defaults(argv, said, capsys):
    _, out, _ = call(capsys, *argv, "--help")
    assert said in " ".join(out.split())


def test_help_of_a_module_names_the_module(capsys):
    assert separate.main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m jobs.separate [-h] CONFIG.yaml")


def test_an_output_in_the_folder_of_a_ray_job_is_refused(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "working_dir_files/_ray_pkg_1"
    folder.mkdir(parents=True)
    (folder / "c.yaml").write_text("input: {uri: /in}\noutput: {uri: stems}\nqueries: [rain]\n")
    monkeypatch.chdir(folder)
    code, _, err = call(capsys, "run", "c.yaml")
    assert code == 2 and "output.uri='stems': would lie in Ray's copy" in err
    assert not (folder / "stems").exists()


def test_help_of_retry_says_what_it_does(capsys):
    _, out, _ = call(capsys, "retry", "--help")
    assert "what has failed in earlier runs, and nothing else" in out


@pytest.mark.parametrize(
    ("keys", "kind"),
    [(JOB_KEYS, JobConfig), (export.KEYS, ExportConfig), (train.KEYS, TrainSettings)],
)
def test_keys_in_the_help_exist(keys, kind):
    found = [
        name
        for line in re.findall(r"^  (\S+(?:, \S+)*)  ", keys, re.M)
        for name in line.split(", ")
    ]
    assert len(found) >= 7
    for name in found:
        hint = kind
        for part in name.split("."):
            assert is_dataclass(hint) and part in get_type_hints(hint), name
            hint = get_type_hints(hint)[part]


def test_version(capsys):
    code, out, _ = call(capsys, "--version")
    assert code == 0 and re.fullmatch(r"separator \d+\.\d+\.\d+\n", out)


def test_importing_the_commands_loads_nothing_heavy():
    """So that the first words come at once."""
    heavy = "{'torch', 'numpy', 'ray', 'omegaconf', 'pyarrow', 'boto3'}"
    code = f"import sys, jobs.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "separator: the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["statu"], "invalid choice: 'statu'; did you mean status?"),
        (["run", "c.yaml", "--run.limit", "3"], "a setting has no dashes: run.limit=... (see"),
        (["find", "c.yaml", "--format", "tabel"], "'tabel'; did you mean table?"),
        (["plan"], "separator plan: the following arguments are required: CONFIG.yaml (see"),
        (["run", "input.uri=a"], "'input.uri=a' is a setting; a config comes before it, such as"),
        (["plan", "absent.yaml"], "separator plan: absent.yaml: No such file or directory; a con"),
        (
            ["report", "tests"],
            "tests: Is a directory; a config is a file such as configs/local.yaml",
        ),
        (["file", "talk.wav"], "separator file: the following arguments are required: --query"),
        (["convert", "mini", "mini.ckpt"], "separator convert: mini.ckpt: must end in"),
        (["sounds", "folder", "--takes", "0"], "separator sounds: --takes 0: must be at least 1"),
        (["sounds", "real", "f", "--packages", "x"], "separator sounds: 'x' is none of 0ad-data"),
    ],
)
def test_usage_errors_are_one_line_and_2(argv, message, capsys):
    code, out, err = call(capsys, *argv)
    assert code == 2 and message in err and not out
    assert len(drop_phases(err)) == 1


@pytest.mark.parametrize("name", ["run", "plan", "status", "failures", "check", "retry"])
def test_commands_refuse_a_config_in_one_line(name, capsys, tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("input: {uri: /in, include: [*.mp4]}\n")
    code, _, err = call(capsys, name, path, f"output.uri={tmp_path / 'out'}")
    assert code == 2 and not (tmp_path / "out").exists()
    assert err.splitlines()[-1].startswith(f"separator {name}: {path}, line 1, column 29: a * ")
    code, _, err = call(capsys, name, path, "siren")
    assert code == 2 and len(drop_phases(err)) == 1


def end_with(error: BaseException) -> int:
    def fail(_: argparse.Namespace) -> None:
        raise error

    command = Command("try", "jobs.try", "Try.", lambda _: None, fail)
    parser = Parser(prog="separator try")
    command.add_to(parser)
    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(each) for each in signals]
    try:
        return run_command(parser, [])
    finally:
        for each, handler in zip(signals, handlers, strict=True):
            signal.signal(each, handler)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QueryError("x"), 2),
        (OutputTaken("x"), 2),
        (AccessDenied("x"), 2),
        (CheckpointMissing("x"), 2),
        (StorageBusy("x"), 1),
        (Throttled("x"), 1),
        (DiskFull("x"), 1),
        (LockLost("x"), 1),
        (ClusterUnreachable("x"), 1),
        (KeyboardInterrupt(), 130),
        (FileNotFoundError(2, "No such file or directory", "x"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_of_an_error_is_the_same_for_every_command(error, code, capsys):
    assert end_with(error) == code
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1 and "separator try: " in said


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        end_with(ZeroDivisionError())


@pytest.mark.parametrize("name", ["run", "plan", "status", "failures"])
def test_a_store_that_does_not_answer_gives_1(name, library, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unspoken")
    config = write_config(tmp_path / "c.yaml", "s3://library/in", "s3://library/out")
    silent = ["endpoint_url=http://127.0.0.1:9", "attempts=1", "timeout_s=1"]
    code, _, err = call(capsys, name, config, *(f"storage.{each}" for each in silent))
    assert code == 1 and "127.0.0.1:9" in err and "unspoken" not in err
    assert len(drop_phases(err)) == 1


@pytest.mark.parametrize("name", ["run", "retry"])
def test_without_ffmpeg_no_run_that_remuxes_is_started(
    name, library, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    rendition = "output.renditions=[{name: quiet, gains_db: {siren: -12}}]"
    code, _, err = call(capsys, name, config, rendition, "output.remux=replace")
    assert code == 2 and "ffmpeg is not installed: install ffmpeg 5 or newer" in err
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_ffmpeg_lacks_starts_no_run(library, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    remux = ["output.renditions=[{name: a, gains_db: {siren: -12}}]", "output.remux=replace"]
    code, _, err = call(capsys, "run", config, *remux, "output.remux_codec=nonsense")
    assert code == 2 and "output.remux_codec='nonsense': ffmpeg has no such encoder" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        "evaluate mini sounds.jsonl scores --sounds 0",
        "evaluate mini sounds.jsonl scores --actors 0",
        "mine mini-zeroshot sounds.jsonl mined.parquet --actors 0",
        "train-encoder encoder.safetensors sounds.jsonl --steps 0",
    ],
)
def test_numbers_below_their_least_are_refused_before_anything_is_read(command, capsys):
    code, _, err = call(capsys, *command.split())
    least = 2 if "--sounds" in command else 1
    assert code == 2 and f"must be at least {least}" in err and err.count("\n") == 1


def test_a_run_on_an_empty_folder_says_so(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"))
    code, out, _ = call(capsys, "run", config)
    assert code == 0 and f"nothing to do: no assets in {tmp_path / 'in'}\n" in out


def test_a_run_takes_its_config_from_a_pipe(tmp_path, capsys):
    """As of `separator run <(make-config)`: it can be read once only."""
    (tmp_path / "in").mkdir()
    config = write_config(tmp_path / "c.yaml", str(tmp_path / "in"), str(tmp_path / "out"))
    reader, writer = os.pipe()
    os.write(writer, config.read_bytes())
    os.close(writer)
    code, out, err = call(capsys, "run", f"/dev/fd/{reader}")
    os.close(reader)
    assert code == 0 and "nothing to do: no assets" in out, err


def test_commands_are_reached_by_their_modules():
    """`python -m jobs.X` goes on working for every command."""
    for command in cli.COMMANDS:
        assert command.module in sys.modules and command.summary
        assert hasattr(sys.modules[command.module], "main")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_is_not_there_is_said_at_once(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterUnreachable, match="no cluster can be reached there") as caught:
        join_ray()
    assert f"RAY_ADDRESS={address!r}" in str(caught.value) and "\n" not in str(caught.value)
