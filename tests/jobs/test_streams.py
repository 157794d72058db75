"""Commands whose standard streams are closed, as by `2>&-` or a program that starts them so."""

import subprocess
import sys

import pytest

from tests.helpers.job import ROOT

STATE = """
import os, sys
from jobs.command import open_closed_streams
open_closed_streams()
places = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
child = os.system("test -w /proc/self/fd/2 && echo of a child >&2")
print("of this process", file=sys.stderr, flush=True)
with open(sys.argv[1], "w") as file:
    print(*places, child, file=file)
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_open_closed_streams_leads_them_to_nowhere(closed, tmp_path):
    command = f'"$0" -c "$1" "$2" {closed}'
    arguments = [sys.executable, STATE, tmp_path / "state"]
    subprocess.run(["sh", "-c", command, *arguments], cwd=ROOT, check=True)
    *places, child = (tmp_path / "state").read_text().split()
    assert child == "0"
    assert places[-closed.count("&") :] == ["/dev/null"] * closed.count("&")


def test_what_is_said_to_a_closed_stderr_does_not_go_to_stdout(tmp_path):
    (tmp_path / "c.yaml").write_text(f"output: {{uri: {tmp_path}/none}}\n")
    arguments = [sys.executable, "-m", "jobs.cli", "status", tmp_path / "c.yaml"]
    command = ["sh", "-c", '"$0" "$@" 2>&-', *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
