"""Preparing a run: its precision, and the weights that need not be read again."""

import shutil
from dataclasses import replace

import pytest
import torch

from separator.config import read_config
from separator.errors import CheckpointError
from separator.model import registry
from separator.model.device import choose_precision
from separator.model.identity import find_sha256, remember_sha256, stamp_file
from separator.model.precision import choose_cpu_precision
from separator.results.paths import Layout
from separator.run.prepare import (
    load_flow,
    prepare_target,
    resolve_precision,
)
from separator.storage import Storage
from tests.helpers.listing import ROOT
from tests.helpers.runs import write_run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def make_config(folder, *overrides: str):
    given = [f"input.uri={folder / 'in'}", f"output.uri={folder / 'out'}", "model.device=cpu"]
    return read_config(ROOT / "configs/local.yaml", [*given, *overrides])


def test_cpu_precision_without_torch_is_that_of_torch():
    assert choose_cpu_precision() == choose_precision("auto", torch.device("cpu"))


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [("fpu avx512f", "fp32"), ("avx512_bf16 fpu", "bf16"), ("fpu amx_tile", "bf16")],
)
def test_cpu_precision_follows_the_flags(tmp_path, flags, wanted):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags\t\t: {flags}\n\nprocessor : 1\n")
    assert choose_cpu_precision(path) == wanted
    assert choose_cpu_precision(tmp_path / "absent") == "fp32"


def test_precision_is_that_of_the_config_or_of_the_outputs_earlier_runs(tmp_path):
    config = make_config(tmp_path, "model.precision=auto")
    layout = Layout(config.output.uri, "flac")
    assert resolve_precision(config, Storage(), layout) == choose_cpu_precision()
    other = {"bf16": "fp32", "fp32": "bf16"}[choose_cpu_precision()]
    own = choose_cpu_precision()
    # The third run set its precision itself, the fourth is of the first release.
    for run_id, asked, taken in (
        ("1", "auto", own),
        ("2", "auto", other),
        ("3", own, own),
        ("4", "auto", None),
    ):
        write_run(layout, run_id, precision=taken, config={"model": {"precision": asked}})
    assert resolve_precision(config, Storage(), layout) == other
    explicit = make_config(tmp_path, f"model.precision={choose_cpu_precision()}")
    assert resolve_precision(explicit, Storage(), layout) == choose_cpu_precision()


def test_identity_of_a_file_is_forgotten_when_the_file_changes(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"weights")
    assert find_sha256(path) is None
    remember_sha256(path, "abc", stamp_file(path))
    assert find_sha256(path) == "abc" and find_sha256(tmp_path / "other") is None
    stamp = stamp_file(path)
    path.write_bytes(b"other weights")
    assert find_sha256(path) is None
    remember_sha256(path, "of the weights before", stamp)
    assert find_sha256(path) is None
    (registry.home() / "identities.json").write_text("no json")
    assert find_sha256(path) is None
    remember_sha256(path, "def", stamp_file(path))
    assert find_sha256(path) == "def"


def test_queries_of_several_sounds_are_listened_for_and_those_without_meaning_are_not(tmp_path):
    (tmp_path / "in").mkdir()
    queries = "queries=[a dog and rain, everything but rain, xylophone]"
    config = make_config(tmp_path, "detect.model=encoder", "model.precision=fp32", queries)
    listening = load_flow(prepare_target(config, Storage()), "r").listening
    assert listening is not None
    found = {text: told for text, told in listening.descriptions.items() if told != "similarity"}
    assert found == {"xylophone": "nothing"} and listening.unknown == {"xylophone"}


def test_load_flow_refuses_weights_that_changed_since_the_ids_were_made(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "model.safetensors"
    shutil.copy(registry.BUNDLED, path)
    config = make_config(tmp_path, f"model.name={path}", "model.precision=fp32")
    target = prepare_target(config, Storage())
    assert load_flow(target, "r").target.work.checkpoint_sha256 == find_sha256(path)
    other = replace(target.work.rule, settings=target.work.rule.settings | {"checkpoint": "x"})
    with pytest.raises(CheckpointError, match="changed while the run began"):
        load_flow(replace(target, work=replace(target.work, rule=other)), "r")
