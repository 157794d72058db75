"""The console of a run while it is at work."""

import contextlib
import fcntl
import json
import logging
import os
import pty
import re
import shlex
import struct
import sys
import termios
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.json_lines import JsonConsole, JsonFormatter
from jobs.progress import Console
from jobs.separate import print_summary
from separator.config import read_config
from separator.run.stats import RunStats
from tests.helpers.job import end_job, start_job, write_config


def make_stats(phase: str, seconds: float, assets: int = 0, audio_s: float = 0.0) -> RunStats:
    stats = RunStats("run", phase=phase, seconds=seconds, assets=assets, audio_s=audio_s)
    stats.assets_listed = 11
    return stats


def test_console_shows_each_phase_once(capsys):
    console = Console(is_terminal=False)
    for phase in ("checking the library", "starting Ray", "starting Ray", "warming up"):
        console.see(make_stats(phase, 0))
    assert capsys.readouterr().out.splitlines() == [
        "checking the library ...",
        "starting Ray ...",
        "warming up ...",
    ]


def test_console_estimates_from_the_first_asset_and_not_from_the_start(capsys):
    """A minute of start-up must not be taken for the time of an asset."""
    console = Console(is_terminal=False)
    console.see(make_stats("separating", 60, assets=1, audio_s=10))
    first = capsys.readouterr().out.splitlines()
    assert first == ["separating ...", "1/11 assets  10s of audio"]
    console.see(make_stats("separating", 65, assets=2, audio_s=20))
    assert capsys.readouterr().out == ""  # a line every ten seconds
    console.see(make_stats("separating", 80, assets=5, audio_s=110))
    assert capsys.readouterr().out == "5/11 assets  1.8min of audio  5.0x  30s left\n"


def test_console_says_once_what_the_run_waits_for(capsys):
    console = Console(is_terminal=False)
    stats = make_stats("warming up", 60)
    stats.waiting = "waiting for a GPU"
    for _ in range(3):
        console.see(stats)
    assert capsys.readouterr().out.splitlines() == ["warming up ...", "waiting for a GPU"]


SHOW = """
import sys
from jobs.json_lines import JsonConsole, JsonFormatter
from jobs.progress import Console
from jobs.separate import print_summary
from separator.config import read_config
from separator.run.stats import RunStats

console, stats = Console(sys.stdout.isatty()), RunStats("run", phase="separating")
stats.assets_listed = 1_200
for number in range(1, 4):
    stats.assets, stats.seconds, stats.audio_s = 3 * number, 20.0 * number, 4_000.0 * number
    stats.assets_failed = 2
    stats.waiting = "waiting for {a GPU} " + 10 * "and for longer " if number == 2 else ""
    console.see(stats)
console.end()
"""


def test_console_redraws_a_bar_on_a_terminal_of_80_columns():
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", SHOW])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while data := os.read(master, 4096):
            out += data
    os.waitpid(pid, 0)
    lines = [line.strip() for line in out.decode().split("\r")]
    assert "\n" not in out.decode() and all(len(line) <= 79 for line in lines)
    assert any(
        re.fullmatch(r"1% \|.+\| 3\.3h of 444\.4h  200\.0x  2\.2h left  2 failed", line)
        for line in lines
    ), lines
    assert any(line.startswith("0%  waiting for (a GPU) and for longer") for line in lines), lines
    assert lines[-1] == ""


def test_json_console_writes_an_object_in_each_line(capsys):
    console = JsonConsole()
    console.see(make_stats("separating", 60, assets=1, audio_s=10))
    console.end()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == [
        "separating ...",
        "1/11 assets  10s of audio",
        "end",
    ]
    assert all(line["run_id"] == "run" and line["assets"] == 1 for line in lines)


def test_json_formatter_keeps_the_message_and_the_traceback():
    try:
        raise ValueError("no")
    except ValueError:
        about = sys.exc_info()
    record = logging.LogRecord("separator.x", logging.WARNING, "", 1, "%d of", (3,), about)
    found = json.loads(JsonFormatter().format(record))
    assert (found["level"], found["logger"], found["message"]) == ("warning", "separator.x", "3 of")
    assert found["traceback"].endswith("ValueError: no")


@pytest.mark.parametrize("make", [lambda: Console(is_terminal=False), JsonConsole])
def test_a_full_disk_under_the_log_does_not_end_a_run(monkeypatch, make):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        console = make()
        for phase in ("checking the library", "starting Ray"):
            console.see(make_stats(phase, 0))
        assert console.phase == "starting Ray"


def test_the_summary_tells_what_an_earlier_run_had_made(capsys):
    stats = make_stats("finishing", 9, assets=3)
    config = read_config(Path("configs/local.yaml"), ["input.uri=/in", "output.uri=/out"])
    print_summary(stats, config)
    assert "found done" not in capsys.readouterr().out
    stats.assets_known = 2
    print_summary(stats, config)
    assert "assets             3   failed 0   found done 2\n" in capsys.readouterr().out


def test_the_summary_says_what_a_command_did_not_try(capsys):
    stats = make_stats("finishing", 9, assets=1)
    stats.assets_skipped, stats.assets_left = 4, 2
    given = ["input.uri=/in", "output.uri=/out"]
    for more, is_detection, words, hint in (
        ([], False, "done before 4   failed before 2\n", "retry CONFIG.yaml tries"),
        ([], True, "done before 4", "detect CONFIG.yaml run.retry_failed=true tries"),
        (["run.only=failed"], False, "done or new 4", "retry"),
    ):
        print_summary(stats, read_config(Path("configs/local.yaml"), given + more), is_detection)
        out = capsys.readouterr().out
        assert words in out and f"  separator {hint}" in out and "left alone" not in out


def test_the_summary_names_a_command_that_can_be_typed_as_it_stands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("gone.wav\n")
    write_config(Path("a.yaml"), "list.txt", "elsewhere")
    assert main(["run", "a.yaml", "output.uri=my stems", "input.carry=[]"]) == 3
    line = next(each for each in capsys.readouterr().out.splitlines() if "failures" in each)
    command = shlex.split(line.removesuffix(" says which and why"))
    assert command == ["separator", "failures", "a.yaml", "output.uri=my stems"]
    assert main(command[1:]) == 0 and "gone.wav" in capsys.readouterr().out
    assert main(["run", "a.yaml", f"output.uri={'o' * 80}"]) == 3
    assert "  separator failures CONFIG.yaml says which" in capsys.readouterr().out


def test_json_console_of_a_run_with_a_report_writes_nothing_but_json(tmp_path):
    (tmp_path / "list.txt").write_text("gone.wav\n")
    config = write_config(tmp_path / "a.yaml", f"{tmp_path}/list.txt", f"{tmp_path}/out")
    out, err = end_job(start_job(config, "run.log_format=json", "output.report=true"), 3)
    messages = [json.loads(line)["message"] for line in out.splitlines()]
    assert messages[-3:-1] == ["end", "reading the manifest ..."]
    assert messages[-1] == f"look and listen: {tmp_path}/out/report/index.html"
    assert [json.loads(line)["level"] for line in err.splitlines()] == []
