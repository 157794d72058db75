"""Test what a training starts from: found as `load_model` finds it, and checked before Ray."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch

from jobs.cli import main
from jobs.train import main as train
from separator.api import load_model
from separator.errors import RequestError
from separator.model.checkpoint import read_encoder_id, write_safetensors
from separator.model.registry import BUNDLED
from separator.model.resunet import NetworkConfig, ResUNet
from separator.storage import Storage
from separator.train.recipe import DataSettings, NetSettings, TrainSettings
from separator.train.start import check_start, make_net
from tests.helpers.golden import make_small_net
from tests.helpers.training import (
    ROOT,
    TINY,
    find_newest,
    list_train_arguments,
    read_rows,
    write_rows,
)


@pytest.fixture
def folder(tmp_path, sounds_list, encoder_file, monkeypatch) -> Path:
    """A user's working directory, with the files that the documents' commands name."""
    rows = read_rows(sounds_list)
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
    for name in ("configs", "sounds"):
        (tmp_path / name).mkdir()
    (tmp_path / "sounds/train").symlink_to(sounds_list.parent)
    (tmp_path / "sounds/real").mkdir()
    write_rows(tmp_path / "sounds/real/train.jsonl", [row | {"package": "p"} for row in rows])
    for config in (ROOT / "configs").glob("train*.yaml"):
        (tmp_path / "configs" / config.name).symlink_to(config)
    (tmp_path / "bucket").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "bucket/captions.parquet")
    own = [{"audio": row["audio"], "caption": row["captions"][0]} for row in rows]
    pd.DataFrame(own).to_csv(tmp_path / "mine.csv", index=False)
    for name in ("audiosep.ckpt", "encoder.safetensors"):
        (tmp_path / name).symlink_to(encoder_file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    """Two networks: `net`, which a training may start from, and `narrow`, which it may not."""
    folder = tmp_path_factory.mktemp("networks")
    write_safetensors(make_small_net(), folder / "net.safetensors", None)
    narrow = NetworkConfig(n_fft=256, hop=128, widths=(4,) * 6, condition_size=8)
    write_safetensors(ResUNet(narrow), folder / "narrow.safetensors", None)
    return folder


@pytest.fixture
def no_ray(monkeypatch) -> None:
    """Let Ray fail to start with another exit code: what is refused with 2 came before it."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")


def find_command(path: Path, begin: str) -> list[str]:
    """Find a command in a document, without the continuation of lines and the name before it."""
    text = re.sub(r"\\\n", " ", path.read_text())
    found = re.search(rf"^[# ]*separator ({re.escape(begin)}.*)$", text, re.MULTILINE)
    assert found, f"{path}: no line begins with separator {begin}"
    return shlex.split(found[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "begin"),
    [
        ("docs/training.md", "train configs/train-audiosep.yaml"),
        ("docs/training.md", "train configs/train-mini.yaml"),
        ("configs/train-mini.yaml", "train configs/train-mini.yaml"),
    ],
)
def test_train_runs_the_documents_own_command(shared_ray, folder, document, begin):
    command = [
        each.replace("s3://bucket", "bucket") for each in find_command(ROOT / document, begin)
    ]
    short = [*TINY, "name=run", "optim.num_steps=1", "checkpoint_every=1", "max_failures=0"]
    assert main([*command, *short, "net.start_from=mini"]) == 0
    output = next(each for each in command if each.startswith("output=")).removeprefix("output=")
    model = load_model(find_newest(folder / output) / "model.safetensors", device="cpu")
    encoder = BUNDLED if "encoder=mini" in command else folder / "encoder.safetensors"
    assert model.encoder_id == read_encoder_id(encoder)


def make_settings(**changes: str) -> TrainSettings:
    net = NetSettings(start_from=changes.pop("start_from", None))
    named = {"output": "runs", "encoder": "encoder.safetensors"} | changes
    lists = ["sounds/train/sounds.jsonl"]
    return TrainSettings(**named, net=net, data=DataSettings(lists))  # pyright: ignore


@pytest.mark.parametrize("task", ["tags", "times"])
@pytest.mark.parametrize("setting", ["encoder", "start_from"])
def test_a_detector_does_not_start_from_another_file(task, setting):
    with pytest.raises(RequestError, match=rf"{setting}='mini': task={task} trains a new detector"):
        make_settings(**{"task": task, "encoder": "", setting: "mini"})


def test_check_start_makes_paths_absolute_and_keeps_names(folder, networks):
    (folder / "net.safetensors").symlink_to(networks / "net.safetensors")
    checked = check_start(make_settings(start_from="net.safetensors"))
    assert checked.encoder == str(folder / "encoder.safetensors")
    assert checked.net.start_from == str(folder / "net.safetensors")
    assert checked.data.lists == [str(folder / "sounds/train/sounds.jsonl")]
    checked = check_start(make_settings(encoder="mini", start_from="mini"))
    assert (checked.encoder, checked.net.start_from) == ("mini", "mini")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoder=no-such.safetensors", "no-such.safetensors: no such file"),
        ("encoder=minni", "did you mean 'mini'"),
        ("encoder=net.safetensors", "holds no encoder"),
        ("encoder=mini-zeroshot", "mini-zeroshot.safetensors: holds no encoder of texts"),
        ("net.start_from=no-such.ckpt", "no-such.ckpt: no such file"),
        ("net.start_from=encoder.safetensors", "holds no separator"),
        ("net.start_from=narrow.safetensors", "conditions of 8 values"),
        ("net.hop=0", "net: hop=0"),
        ("net.widths=[1]", "net: widths=(1,)"),
        ("data.real_ratio=0.5", "four kinds of recordings"),
        ("data.lists=[lonely.jsonl]", "only the group 'hum'"),
        ("seed=-1", "seed=-1: must be a number from 0"),
        ("name=../evil", "name='../evil': must be the name of a folder"),
        ("data.level_db=-5", "data.level_db=-5"),
        ("data.third_ratio=5", "data.third_ratio=5"),
        ("data.changes.high_pass_hz=20000", "data.changes.high_pass_hz=20000"),
        ("data.changes.semitones=.nan", "data.changes.semitones=nan"),
        ("optim.ema=1.5", "optim.ema=1.5: must be a number from 0 to 1"),
        ("optim.rate=-1", "optim.rate=-1"),
        ("optim.use_text_ratio=2", "optim.use_text_ratio=2"),
        ("optim.ema=1", "optim.ema=1: the average would never change"),
        ("optim.factors=[[20,1],[10,0.1]]", "optim.factors=[[20.0, 1.0], [10.0, 0.1]]: steps must"),
        ("optim.factors=[[10,.nan]]", "factors lie in 0..1000"),
        ("max_failures=-2", "max_failures=-2"),
        ("data.changes.low_pass_hz=[100,.inf]", "data.changes.low_pass_hz=[100.0, inf]"),
        ("data.sound_s=[1,.inf]", "data.sound_s=[1.0, inf]: must be [least, most]"),
        ("data.lists=[sounds/train/sounds.jsonl,a.tsv]", "a.tsv: no sound listed in it"),
    ],
)
def test_train_refuses_a_wrong_start_before_ray(
    folder, networks, no_ray, override, message, capsys
):
    for name in ("net.safetensors", "narrow.safetensors"):
        (folder / name).symlink_to(networks / name)
    (folder / "a.tsv").touch()
    write_rows(folder / "lonely.jsonl", [{"audio": "sounds/train/hum-0.wav", "caption": "hum"}])
    named = list_train_arguments(
        Path("runs"), Path("sounds/train/sounds.jsonl"), Path("encoder.safetensors")
    )
    assert train([*named, override]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("output", ["taken", "taken/runs", "/proc/runs", "full"])
def test_train_refuses_an_output_that_cannot_be_written(folder, no_ray, output, capsys):
    (folder / "taken").touch()
    (folder / "full").mkdir()
    (folder / "full/run").touch()
    named = list_train_arguments(
        Path(output), Path("sounds/train/sounds.jsonl"), Path("encoder.safetensors")
    )
    assert train(named) == 2
    error = capsys.readouterr().err
    assert f"output='{output}': " in error and error.count("\n") == 1


def test_make_net_trains_the_same_parameters_when_fine_tuning(tmp_path):
    saved = make_small_net()
    write_safetensors(saved, tmp_path / "m.safetensors", None)
    chosen = NetSettings(start_from=str(tmp_path / "m.safetensors"))
    net = make_net(chosen, saved.config.condition_size, Storage())
    fresh = ResUNet(saved.config)
    for (name, own), other in zip(net.named_parameters(), fresh.parameters(), strict=True):
        # DDP waits for the gradient of every parameter that asks for one.
        assert own.requires_grad == other.requires_grad, name
        assert torch.equal(own, saved.get_parameter(name))


@pytest.mark.parametrize(
    ("task", "override", "message"),
    [
        ("tags", "detector.depths=[1,1,1]", "detector.depths=[1, 1, 1]: must be four numbers"),
        ("tags", "detector.depths=[0,0,0,0]", "detector.depths=[0, 0, 0, 0]"),
        ("tags", "detector.width=25", "detector.width=25: must be a multiple of 4"),
        ("tags", "detector.drop_ratio=1", "detector.drop_ratio=1"),
        ("tags", "detector.mixup=-1", "detector.mixup=-1"),
        ("times", "detector.widths=[1,2]", "detector: FrameConfig"),
        ("times", "detector.stripe_mels=65", "detector.stripe_mels=65"),
        ("times", "data.changes.level_db=[-60,-60]", "task=times draws a level of its own"),
    ],
)
def test_train_refuses_a_wrong_detector_before_ray(folder, no_ray, task, override, message, capsys):
    given = ["data.lists=[sounds/train/sounds.jsonl]", "output=runs", f"task={task}"]
    (folder / "c.yaml").write_text("name: run\n")
    assert train(["c.yaml", *given, override]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "runs").exists()
