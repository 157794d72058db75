"""A config is checked whole before anything is touched; what cannot work names its key."""

from pathlib import Path

import pytest

from separator.config import is_within, read_config
from separator.errors import RequestError

ROOT = Path(__file__).parents[1]
NEEDED = ["input.uri=/in", "output.uri=/out"]


def test_the_configs_that_come_with_it(monkeypatch):
    for name in ("local", "s3", "demo"):
        config = read_config(ROOT / f"configs/{name}.yaml", NEEDED)
        assert config.input.uri == "/in" and config.queries
    assert config.model.name == "mini" and not config.run.retry_failed


def test_local_yaml_shows_the_defaults():
    """It is the manual: what it says is what one gets without saying it."""
    shown = read_config(ROOT / "configs/local.yaml", NEEDED).to_dict()
    plain = read_config(ROOT / "configs/demo.yaml", [*NEEDED, "run.retry_failed=true"]).to_dict()
    assert shown | {"queries": 0} == plain | {"queries": 0}


def test_values_from_the_environment(monkeypatch):
    monkeypatch.setenv("STEMS", "s3://stems/news")
    config = read_config(
        ROOT / "configs/local.yaml", ["input.uri=/in", "output.uri=${oc.env:STEMS}"]
    )
    assert config.output.uri == "s3://stems/news"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["output.uri=/out"], "input.uri is not set"),
        (["input.urri=/in"], "input.urri"),
        (["run.limit=many"], "run.limit"),
        (["run.limit=0"], "run.limit=0"),
        (["run.shard=0/3"], "run.shard='0/3'"),
        (["run.actors=0"], "run.actors=0"),
        (["model.precision=fp16"], "model.precision='fp16'"),
        (["model.channels=both"], "model.channels"),
        (["output.bit_depth=8"], "bit_depth=8"),
        (["output.clip=wrap"], "clip='wrap'"),
        (["queries=[a, A]"], "queries"),
        (["queries=siren"], "queries"),
        (["storage.endpoint_url=host"], "storage.endpoint_url"),
        (["input.include=['/x']"], "input.include"),
        (["tracks={language: 5}"], "tracks"),
        (["output.uri=/in/stems"], "lies inside"),
    ],
)
def test_what_cannot_work_names_its_key(overrides, message):
    given = NEEDED if "not set" not in message else []
    with pytest.raises(RequestError) as caught:
        read_config(ROOT / "configs/local.yaml", [*given, *overrides])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "folder", "within"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a/", True),
        ("/ab", "/a", False),
        ("s3://bkt/x/y", "s3://bkt/x", True),
        ("s3://bkt/x", "/x", False),
    ],
)
def test_a_place_within_another(uri, folder, within):
    assert is_within(uri, folder) == within


def test_local_yaml_names_every_key():
    """All but `include`, whose default is a long list; a comment shows it."""
    text = (ROOT / "configs/local.yaml").read_text()
    plain = read_config(ROOT / "configs/local.yaml", NEEDED).to_dict()
    for section, value in plain.items():
        assert f"\n{section}:" in text
        for key in value if isinstance(value, dict) else ():
            assert f"\n  {key}:" in text or f"\n  # {key}:" in text, f"{section}.{key}"


def test_columns_are_of_lists():
    local = ROOT / "configs/local.yaml"
    for override in ("input.queries_column=q", "input.tracks_column=t", "input.carry=[a]"):
        with pytest.raises(RequestError, match=r"input\.\w+=.*no list; a list ends in .parquet"):
            read_config(local, [*NEEDED, override])
    config = read_config(
        local, ["input.uri=/in.csv", "output.uri=/out", "queries=[]", "input.queries_column=q"]
    )
    assert config.parse_queries() == []
