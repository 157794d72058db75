"""Real Ray runs of the zero-shot recipe: a detector, a mined list, a separator that holds both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jobs.mine import main as mine
from jobs.train import main as train
from separator import load_model
from separator.api import load_htsat
from separator.config_file import read_settings
from separator.encoders.latent import encode_sounds
from separator.storage import Storage
from separator.train.recipe import TrainSettings
from separator.train.start import load_start
from tests.helpers.training import KINDS, RATE_HZ, ROOT, find_newest, make_kind, read_history

pytestmark = pytest.mark.slow
DETECTOR = ["detector.width=8", "detector.depths=[1,1,1,1]", "data.segment_s=2"]
SEPARATOR = ["net.widths=[4,4,4,4,4,4]", "net.n_fft=256", "net.hop=128", "optim.autocast=false"]
SHORT = ["optim.batch=4", "checkpoint_every=2", "data.without=[]", "name=run"]


def list_detector_arguments(output: Path, sounds: Path) -> list[str]:
    """List the arguments of `jobs.train` for a tiny detector."""
    config = str(ROOT / "configs/train-mini-zeroshot-detector.yaml")
    return [config, f"output={output}", f"data.lists=[{sounds}]", *DETECTOR, *SHORT]


@pytest.fixture(scope="module")
def detector_path(sounds_list, tmp_path_factory) -> Path:
    """A detector as the task writes it, untrained."""
    output = tmp_path_factory.mktemp("detector")
    config, *overrides = list_detector_arguments(output, sounds_list)
    settings = read_settings(TrainSettings, config, overrides)
    torch.manual_seed(0)
    net, task = load_start(settings, Storage())
    task.export(net, output / "detector.safetensors")
    return output / "detector.safetensors"


@pytest.fixture(scope="module")
def mined(shared_ray, detector_path, sounds_list, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mined") / "mined.parquet"
    assert mine([str(detector_path), str(sounds_list), str(path)]) == 0
    return path


def test_train_of_labels_writes_a_detector_that_mine_reads(shared_ray, sounds_list, tmp_path):
    assert train([*list_detector_arguments(tmp_path, sounds_list), "optim.num_steps=4"]) == 0
    assert [row["step"] for row in read_history(tmp_path)] == [1, 2, 3, 4]
    path = find_newest(tmp_path) / "model.safetensors"
    assert mine([str(path), str(sounds_list), str(tmp_path / "mined.parquet")]) == 0
    assert len(pd.read_parquet(tmp_path / "mined.parquet")) == 4 * len(KINDS)


@pytest.mark.check
def test_mine_writes_a_stretch_and_an_embedding_of_every_sound(mined, sounds_list):
    table = pd.read_parquet(mined)
    assert len(table) == 4 * len(KINDS) and set(table.kind) == set(KINDS)
    assert (table.start_s >= 0).all() and table.score.between(0, 1).all()
    assert {len(latent) for latent in table.latent} == {64}
    assert all(Path(uri).exists() for uri in table.audio)


def test_train_by_example_writes_one_file_for_both(mined, detector_path, tmp_path):
    config = str(ROOT / "configs/train-mini-zeroshot.yaml")
    named = [f"output={tmp_path}", f"encoder={detector_path}", f"data.lists=[{mined}]"]
    arguments = [config, *named, *SEPARATOR, *SHORT, "data.segment_s=0.5"]
    assert train([*arguments, "optim.num_steps=2"]) == 0
    assert [row["step"] for row in read_history(tmp_path)] == [1, 2]
    path = find_newest(tmp_path) / "model.safetensors"
    detector, model = load_htsat(path), load_model(path, device="cpu")
    assert detector.labels == tuple(sorted(KINDS))
    sound = make_kind("beep", 9, RATE_HZ)[None].astype(np.float32)
    query = encode_sounds(detector, [(sound, RATE_HZ)])
    original = encode_sounds(load_htsat(detector_path), [(sound, RATE_HZ)])
    np.testing.assert_array_equal(query.conditions, original.conditions)
    stems = model.separate(sound, RATE_HZ, conditions=query.conditions)
    assert stems.shape == (1, 1, RATE_HZ)


@pytest.mark.check
def test_train_by_example_refuses_a_list_of_another_detector(
    mined, detector_path, tmp_path, capsys
):
    table = pd.read_parquet(mined)
    table["latent"] = [latent[:10] for latent in table.latent]
    table.to_parquet(tmp_path / "other.parquet")
    config = str(ROOT / "configs/train-mini-zeroshot.yaml")
    named = [f"output={tmp_path}", f"encoder={detector_path}"]
    lists = f"data.lists=[{tmp_path / 'other.parquet'}]"
    assert train([config, *named, lists, *SEPARATOR, *SHORT, "max_failures=0"]) == 2
    said = capsys.readouterr()
    assert "embeddings of [10] values" in said.err and "starting Ray" not in said.out


@pytest.mark.parametrize(
    ("detector", "labels", "message"),
    [
        ("mini", "hum", "no detector, but"),
        ("minni", "hum", "did you mean 'mini'"),
        (None, "whale", "knows none of the labels ['whale']"),
    ],
)
def test_mine_refuses_before_ray(
    detector_path, detector, labels, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    (tmp_path / "some.jsonl").write_text(f'{{"audio": "a.wav", "labels": ["{labels}"]}}\n')
    named = [str(detector or detector_path), str(tmp_path / "some.jsonl")]
    assert mine([*named, str(tmp_path / "mined.parquet")]) == 2
    error = capsys.readouterr().err
    assert message in error and "starting Ray" not in error


def test_mine_names_a_sound_that_cannot_be_read(detector_path, sounds_list, tmp_path, capsys):
    rows = sounds_list.read_text().splitlines()[:3]
    rows = [row.replace('"audio": "', f'"audio": "{sounds_list.parent}/') for row in rows]
    rows.append('{"audio": "gone.wav", "labels": ["hum"]}')
    (tmp_path / "some.jsonl").write_text("\n".join(rows))
    path = tmp_path / "mined.parquet"
    assert mine([str(detector_path), str(tmp_path / "some.jsonl"), str(path)]) == 3
    error = capsys.readouterr().err
    assert "1 sounds cannot be read:\n" in error and "gone.wav" in error
    assert len(pd.read_parquet(path)) == 3


def test_mine_leaves_the_list_before_if_no_sound_can_be_read(
    mined, detector_path, tmp_path, capsys
):
    path = tmp_path / "mined.parquet"
    path.write_bytes(mined.read_bytes())
    (tmp_path / "some.jsonl").write_text('{"audio": "gone.wav", "labels": ["hum"]}\n')
    assert mine([str(detector_path), str(tmp_path / "some.jsonl"), str(path)]) == 2
    error = capsys.readouterr().err
    assert "no stretch found in 1 sounds, 1 of them unreadable, such as " in error
    assert path.read_bytes() == mined.read_bytes()
