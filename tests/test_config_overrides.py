"""A setting on the command line that is a text is taken as the shell gives it."""

import pytest

from separator.config import JobConfig, read_config
from separator.config_file import read_overrides
from separator.errors import RequestError
from separator.storage import StorageSettings


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("input: /in\noutput: /out\nqueries: siren\n")

    def read(*overrides: str) -> JobConfig:
        return read_config(path, list(overrides))

    return read


@pytest.mark.parametrize(
    "name", ["Show #2", "0010", "1e3", "12:30", "no", "2026-11-28", "a: b", "[new]", "@x", "&x"]
)
@pytest.mark.parametrize("key", ["input.uri", "input"])
def test_text_of_an_override_is_no_yaml(key, name, read):
    """YAML reads a comment, numbers and names of its own in these: other folders."""
    assert read(f"{key}=/media/{name}").input.uri == f"/media/{name}"
    assert read(f"{key}={name}").input.uri == name


def test_quotes_nothing_and_interpolations_of_an_override_are_yaml(read, monkeypatch):
    monkeypatch.setenv("LIBRARY", "/media")
    assert read("input.uri='/a b'").input.uri == "/a b"
    assert read('input.uri="/\\xe9t\\xe9"').input.uri == "/\xe9t\xe9"
    assert read("input={uri: /films}").input.uri == "/films"
    assert read("input.uri=${oc.env:LIBRARY}/new").input.uri == "/media/new"
    for nothing in ("", "null", "~"):
        assert read(f"storage.region={nothing}").storage.region is None


@pytest.mark.parametrize("nothing", ["", "null", " "])
@pytest.mark.parametrize("key", ["input", "run", "input.uri"])
def test_override_without_a_value_is_refused(key, nothing, read):
    """`input=$LIBRARY` with an empty variable would be a run on the library of the file."""
    with pytest.raises(RequestError, match=rf"^(argument .*)?{key}: has no value; write one"):
        read(f"{key}={nothing}")


@pytest.mark.parametrize("word", ["true", "True", "ON", "yes"])
def test_switches_of_overrides_are_what_yaml_takes_for_true(word, read):
    assert read(f"detect.gate={word}").detect.is_gated


def test_overrides_without_a_file_are_texts_too():
    assert read_overrides(StorageSettings, ["profile=0010"]).profile == "0010"
