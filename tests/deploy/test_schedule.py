"""Check docs/schedule.md: each block is what it says it is, and its commands are ours."""

import ast
import configparser
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from jobs.cli import COMMANDS
from separator.config import read_config

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/schedule.md").read_text()
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL))


def find_commands() -> list[list[str]]:
    """Every call of the job, as its arguments."""
    joined = TEXT.replace("\\\n", " ").replace('"\n            "', "")
    calls = re.findall(r"(?:bin/separator|-m jobs\.separate) ([^`\n>]*)", joined)
    return [
        shlex.split(call.strip().rstrip('",').replace("{{ ds_nodash }}", "x")) for call in calls
    ]


def test_there_is_one_of_each():
    assert set(BLOCKS) == {"cron", "bash", "ini", "python"}
    assert len(find_commands()) == 5


def test_lines_of_cron():
    lines = [line for line in BLOCKS["cron"].splitlines() if not re.match(r"[A-Z]+=", line)]
    assert len(lines) == 2
    for line in lines:
        *fields, command = line.split(maxsplit=5)
        for field, most in zip(fields, (59, 23, 31, 12, 7), strict=True):
            assert field == "*" or 0 <= int(field) <= most
        assert "%" not in command  # cron's newline
        subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_script():
    subprocess.run(["bash", "-n"], input=BLOCKS["bash"], text=True, check=True)


def test_the_unit():
    unit = configparser.ConfigParser(strict=True)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read_string(BLOCKS["ini"])
    assert unit["Service"]["Type"] == "oneshot"
    assert unit["Service"]["ExecStart"].startswith("/")


def test_the_dag():
    """Airflow is not here: names and keywords are those of its documentation."""
    tree = ast.parse(BLOCKS["python"])
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keywords = {keyword.arg for call in calls for keyword in call.keywords}
    wanted = {"schedule", "start_date", "catchup", "max_active_runs", "task_id", "bash_command"}
    assert wanted <= keywords


def test_the_cronjob_it_names():
    documents = list(yaml.safe_load_all((ROOT / "deploy/cronjob.yaml").read_text()))
    assert documents[-1]["kind"] == "CronJob" and "deploy/cronjob.yaml" in TEXT


@pytest.mark.parametrize("command", find_commands(), ids=" ".join)
def test_arguments_are_understood(command, tmp_path):
    if command[0] in ("run", "status"):
        assert command[0] in {each.name for each in COMMANDS}
        command = command[1:]
    path, *overrides = command
    if path == "news.yaml":  # the reader's own
        path = tmp_path / path
        path.write_text("input: {uri: /in}\noutput: {uri: /out}\nqueries: [rain]\n")
    else:
        path = ROOT / path
    read_config(path, overrides)
