"""The cronjob of deploy/: what it may do, and how its script ends."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.kubernetes import read_kinds

ROOT = Path(__file__).parents[2]


def test_the_cronjob_may_do_what_its_script_does():
    kinds = read_kinds("cronjob.yaml")
    job = kinds["CronJob"]["spec"]
    assert kinds["CronJob"]["apiVersion"] == "batch/v1" and job["concurrencyPolicy"] == "Forbid"
    assert len(job["schedule"].split()) == 5
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")  # a Job allows no other
    account = kinds["ServiceAccount"]["metadata"]["name"]
    binding = kinds["RoleBinding"]
    assert pod["serviceAccountName"] == account == binding["subjects"][0]["name"]
    assert binding["roleRef"]["name"] == kinds["Role"]["metadata"]["name"]
    (container,) = pod["containers"]
    (script,) = container["args"]
    subprocess.run(["sh", "-n", "-c", script], check=True)
    (rule,) = kinds["Role"]["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["ray.io"], ["rayjobs"])
    assert set(re.findall(r"kubectl (\w+)", script)) - {"describe"} <= set(rule["verbs"])
    # What it starts is in the other file, under the name and the label that it looks for.
    started = read_kinds("rayjob.yaml")["RayJob"]["metadata"]
    assert set(re.findall(r"rayjob ([a-z][-a-z0-9]*)", script)) == {started["name"]}
    ((label, value),) = started["labels"].items()
    assert f"-f /job/rayjob.yaml -l {label}={value}\n" in script
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == "/job" and mount["name"] == pod["volumes"][0]["name"]
    text = (ROOT / "deploy/cronjob.yaml").read_text()
    made = pod["volumes"][0]["configMap"]["name"]
    assert f"create configmap {made} --from-file=deploy/rayjob.yaml" in text


# Answers with the states of a file, one line each call, and notes what it was asked for.
KUBECTL = """#!/bin/sh
echo "$*" >> asked
case "$*" in
  create*) touch is_there ;;
  delete*) rm is_there ;;
  *name)
    [ "$(head -1 states)" != Deleted ] || rm -f is_there
    [ ! -e is_there ] || echo rayjob.ray.io/separator ;;
  *jobDeploymentStatus*)
    state=$(head -1 states); sed -i 1d states
    [ "$state" != Unreachable ] || exit 1
    echo "$state" ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "is_there", "code", "asked"),
    [
        ("Running Complete", False, 0, ["create"]),
        ("Running Unreachable Complete", False, 0, ["create"]),
        ("Running ValidationFailed", False, 1, ["create"]),
        ("Failed Complete", True, 0, ["delete", "create"]),
        ("ValidationFailed Complete", True, 0, ["delete", "create"]),
        ("Running", True, 0, []),
        ("Running Deleted", False, 1, ["create"]),
    ],
)
def test_the_script_of_the_cronjob_ends_in_every_state(states, is_there, code, asked, tmp_path):
    job = read_kinds("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]
    (script,) = job["template"]["spec"]["containers"][0]["args"]
    for name, text in (("kubectl", KUBECTL), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "states").write_text("\n".join(states.split()) + "\n")
    if is_there:
        (tmp_path / "is_there").touch()
    run = subprocess.run(
        ["sh", "-euc", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == code, run.stderr
    calls = [line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()]
    assert [each for each in calls if each != "get"] == asked
