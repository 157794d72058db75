"""The files that start clusters fit the schemas they are for, this repository, and each other."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

from separator.config import read_config
from separator.run.gauges import COUNTERS, GAUGES
from tests.helpers.kubernetes import NAME, read_kinds

ROOT = Path(__file__).parents[2]
AMOUNT = re.compile(r"[0-9]+(m|Mi|Gi|Ti)?")
# Fields of KubeRay's v1 types that have no default and without which nothing starts.
IN_CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
IN_GROUP = {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def read_launcher() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def read_docker() -> list[tuple[str, str]]:
    """(instruction, arguments) of each line, continued lines joined."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def read_environment() -> dict[str, str]:
    words = [word for name, rest in read_docker() if name == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def list_groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def list_jobs(path: Path) -> list[str]:
    """Every `python -m jobs.separate ...` of a file, its lines joined."""
    text = re.sub(r"\\\n#?", " ", path.read_text())
    return re.findall(r"(?<=-- )python -m jobs\.separate [^\n`]+", text)


def check_entrypoint(line: str) -> Any:
    """The config that the job would run with, read as the job reads it."""
    python, option, module, config, *overrides = shlex.split(line)
    assert (python, option, module) == ("python", "-m", "jobs.separate")
    return read_config(ROOT / config, overrides)


def test_the_launcher_file_is_what_ray_wants():
    validate_config(prepare_config(read_launcher()))


def test_a_wrong_launcher_file_would_be_noticed():
    for change in ({"max_worker": 3}, {"head_node_type": "haed"}, {"max_workers": "many"}):
        with pytest.raises((ValueError, jsonschema.ValidationError)):
            validate_config(prepare_config(read_launcher() | change))


def test_machines_of_the_launcher():
    config = read_launcher()
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0 and "GPU" not in head["resources"]
    assert "InstanceMarketOptions" not in head["node_config"]  # must outlive the others
    assert sum("GPU" in each["resources"] for each in types.values()) == 1
    for each in types.values():
        assert each["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert each["max_workers"] >= 1 and each["resources"]["CPU"] >= 1
    assert config["idle_timeout_minutes"] > 0


def test_the_launcher_sends_what_an_installation_needs(tmp_path):
    """The mounted files alone make a package that installs and has the job in it."""
    mounts = read_launcher()["file_mounts"]
    home = "/home/ubuntu/separator/"
    sent = {to.removeprefix(home): ROOT / local for to, local in mounts.items() if home in to}
    assert all(path.exists() and not path.name.startswith(".") for path in sent.values())
    for name, path in sent.items():
        (tmp_path / name).symlink_to(path)
    script = "import sys, hatchling.build as b; print(b.build_editable(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0 and built.stdout.startswith("separator-"), built.stderr
    assert (tmp_path / "configs/s3.yaml").exists() and (tmp_path / "requirements-dev.lock").exists()
    assert all("requirements-dev.lock" not in c or "--require-hashes" in c for c in list_commands())


def list_commands() -> list[str]:
    return [c for key, lines in read_launcher().items() if key.endswith("commands") for c in lines]


def test_commands_of_the_launcher_are_shell():
    for command in list_commands():
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_no_credentials_anywhere():
    for path in (ROOT / "ray_cluster.yaml", *(ROOT / "deploy").iterdir()):
        assert not re.search(r"AKIA[0-9A-Z]{16}|aws_secret|[0-9a-f]{40}", path.read_text()), path


def test_the_dockerfile_copies_what_is_there_and_is_nobody():
    lines = read_docker()
    assert lines[0][0] == "FROM"
    for word, rest in lines:
        if word == "COPY":
            *sources, _ = shlex.split(rest)
            assert sources and all((ROOT / source).exists() for source in sources)
    users = [rest for word, rest in lines if word == "USER"]
    assert users[-1].isdecimal() and int(users[-1]) > 0  # a number: runAsNonRoot cannot judge names
    installs = [rest for word, rest in lines if word == "RUN" and "requirements-dev.lock" in rest]
    assert installs and all("--require-hashes" in rest for rest in installs)
    assert ("VOLUME", read_environment()["SEPARATOR_HOME"]) in lines


def test_python_and_ray_are_those_of_the_lock():
    (image,) = [rest for word, rest in read_docker() if word == "FROM"]
    assert image.startswith("python:3.11-slim")
    assert "--python 3.11" in " ".join(list_commands())
    cluster = read_kinds("rayjob.yaml")["RayJob"]["spec"]["rayClusterSpec"]
    locked = re.findall(
        r"^ray(?:\[.*\])?==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.M
    )
    assert locked == [cluster["rayVersion"]] == [version("ray")]


def test_the_rayjob_has_what_kuberay_needs():
    job = read_kinds("rayjob.yaml")["RayJob"]
    assert job["apiVersion"] == "ray.io/v1" and job["spec"]["shutdownAfterJobFinishes"] is True
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster.keys() >= IN_CLUSTER and cluster["enableInTreeAutoscaling"] is True
    assert cluster["authOptions"] == {"mode": "token"}
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert all(isinstance(v, str) for v in head["rayStartParams"].values())  # KubeRay's type
    gpus = 0
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() >= IN_GROUP and NAME.fullmatch(group["groupName"])
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        if "nvidia.com/gpu" in limits:
            gpus += group["maxReplicas"] * int(limits["nvidia.com/gpu"])
    config = check_entrypoint(job["spec"]["entrypoint"])
    # `auto` counts the GPUs that are there when the job starts: none. More actors than GPUs would
    # wait for ever, fewer leave machines without work.
    assert config.model.device == "cuda" and config.run.actors == gpus
    # A retry is for crashes: assets that cannot be read would be tried with it over and over.
    assert config.run.failed_assets == "ok"


def test_pods_of_the_rayjob():
    kinds = read_kinds("rayjob.yaml")
    (user,) = [rest for word, rest in read_docker() if word == "USER"]
    pods = [group["template"]["spec"] for group in list_groups(kinds["RayJob"])]
    assert len({pod["containers"][0]["image"] for pod in pods}) == 1  # one Ray, one Python
    for pod in pods:
        assert pod["serviceAccountName"] == kinds["ServiceAccount"]["metadata"]["name"]
        assert pod["securityContext"]["runAsUser"] == int(user)
        resources = pod["containers"][0]["resources"]
        for amount in (*resources["requests"].values(), *resources["limits"].values()):
            assert isinstance(amount, str) and AMOUNT.fullmatch(amount)
    head = pods[0]
    (mount,) = head["containers"][0]["volumeMounts"]
    (volume,) = head["volumes"]
    assert mount["name"] == volume["name"]
    assert mount["mountPath"] == read_environment()["SEPARATOR_HOME"]
    claim = kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim


def test_the_raycronjob_starts_the_rayjob():
    """KubeRay's type has a schedule and the spec of a RayJob, and neither has a default."""
    (cron,) = read_kinds("raycronjob.yaml").values()
    assert (cron["apiVersion"], cron["kind"]) == ("ray.io/v1", "RayCronJob")
    assert cron["spec"].keys() == {"schedule", "jobTemplate"}
    assert len(cron["spec"]["schedule"].split()) == 5
    assert cron["spec"]["jobTemplate"] == read_kinds("rayjob.yaml")["RayJob"]["spec"]


def test_the_dashboard_shows_every_metric_and_no_other():
    board = json.loads((ROOT / "deploy/grafana.json").read_text())
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"ray_(\w+)", target["expr"])
    }
    assert shown == {f"{name}_total" for name in COUNTERS} | GAUGES.keys()
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    assert len(places) == len(board["panels"]) == len({panel["id"] for panel in board["panels"]})
    tags = {tag for _, tag in (COUNTERS | GAUGES).values() if tag}
    text = json.dumps(board)
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) == tags


@pytest.mark.parametrize("name", ["README.md", "docs/cluster.md", "configs/s3.yaml"])
def test_jobs_that_are_shown_would_run(name):
    jobs = list_jobs(ROOT / name)
    assert jobs
    for line in jobs:
        check_entrypoint(line)


def list_package(folder: Path, package: Path) -> set[str]:
    """List the files that `ray job submit --working-dir` would send of a folder."""
    excludes = get_runtime_env_default_excludes()
    create_package(str(folder), package, include_gitignore=True, excludes=excludes)
    return {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}


def test_what_goes_up_with_a_submitted_job(tmp_path):
    """The code and its weights; not what installing, testing and running leave behind."""
    names = list_package(ROOT, tmp_path / "whole.zip")
    assert {"jobs/separate.py", "configs/s3.yaml", "separator/weights/mini.safetensors"} <= names
    assert (tmp_path / "whole.zip").stat().st_size < 50e6  # Ray's own limit is 500 MiB

    left = [
        ".venv",
        ".git",
        "__pycache__",
        ".pytest_cache",
        ".ruff_cache",
        "runs",
        "sounds",
        "demo",
    ]
    tree = tmp_path / "tree"
    for name in ("jobs", "jobs/__pycache__", *left):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").touch()
    shutil.copy(ROOT / ".gitignore", tree)
    assert list_package(tree, tmp_path / "tree.zip") == {".gitignore", "jobs/file"}
