"""`configs/train.yaml` is the manual of a training's keys: all of them, with their defaults."""

from dataclasses import asdict
from pathlib import Path

import pytest

from separator.config_file import read_overrides, read_settings, read_yaml
from separator.train.recipe import TrainSettings
from tests.helpers.settings import list_keys

PATH = Path(__file__).parents[2] / "configs/train.yaml"
NEEDED = ["output=/out", "data.lists=[sounds.jsonl]"]


@pytest.mark.parametrize("more", [["encoder=mini"], ["task=times"]], ids=lambda more: more[0])
def test_train_yaml_shows_the_defaults(more):
    shown = read_settings(TrainSettings, PATH, NEEDED + more)
    assert asdict(shown) == asdict(read_overrides(TrainSettings, NEEDED + more))


def test_train_yaml_names_every_key():
    tree = read_yaml(PATH)
    for key in list_keys(TrainSettings):
        section = tree
        for part in key.split("."):
            assert part in section, f"configs/train.yaml lacks {key}"
            section = section[part]
