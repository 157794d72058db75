"""`find` and `markers` say whether their answer is whole, and `markers` knows its folder."""

import json

import pytest

from jobs.cli import main
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.records import make_record

STRETCH = [{"start_s": 1.0, "stop_s": 2.0, "score": 0.75}]


@pytest.fixture
def output(tmp_path) -> str:
    """An output in which a siren is heard in a.wav and b.wav; c.wav and d.wav have failed."""
    rows = [make_record(f"/in/{name}.wav", "siren") | {"presence": STRETCH} for name in "ab"]
    rows += [make_record(f"/in/{name}.wav", "siren", -1, code="no_audio") for name in "cd"]
    rows += [make_record("/in/a.wav", "bell") | {"presence": []}]
    write_manifest(Storage(), str(tmp_path / "out"), rows)
    (tmp_path / "c.yaml").write_text(f"output: {{uri: {tmp_path / 'out'}}}\n")
    return str(tmp_path / "out")


@pytest.mark.parametrize("arguments", [["find"], ["find", "--format", "json"], ["markers"]])
def test_the_answer_says_in_how_many_assets_nothing_has_listened(
    output, tmp_path, capsys, arguments
):
    given = [arguments[0], str(tmp_path / "c.yaml"), *arguments[1:], "--query"]
    assert main([*given, "siren"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("nothing has listened in 2 assets: failed (see `separator failures`")
    assert "nothing has" not in said.out and "`separator detect` listens" in said.err
    if "json" in given:
        assert len(json.loads(said.out)) == 2
    assert main([*given, "bell"]) == 0
    assert capsys.readouterr().err == ""


def test_markers_knows_an_output_in_every_spelling(output, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["markers", "c.yaml", "--out", "shared"]
    assert main(given) == 0
    listed = tmp_path / "shared/separator-markers.json"
    listed.write_text(listed.read_text().replace(output, "./out/"))
    rows = [make_record("/in/a.wav", "siren", hour=1) | {"presence": []}]
    write_manifest(Storage(), output, rows, "later")
    capsys.readouterr()
    for uri in (f"{output}/", "out", "./out/"):
        assert main([*given, f"output.uri={uri}"]) == 0
    assert capsys.readouterr().out.startswith(f"1 files in {tmp_path}/shared; removed 1 of an ear")
    assert [path.name for path in (tmp_path / "shared").glob("*.txt")] == ["b.wav.txt"]


def test_markers_refuses_a_folder_without_a_bucket(output, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["markers", "c.yaml", "--out", "s3://"]) == 2
    assert "'' is not a bucket name" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "out"]
