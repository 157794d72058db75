"""`separator review`: what people decided comes back, and changes what `export` takes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jobs.cli import main
from separator.export.select import select
from separator.results.paths import Layout
from separator.results.verdicts import read_verdicts
from separator.storage import Storage
from tests.helpers.export_library import make_config, make_records, write_manifest
from tests.helpers.report_library import make_record, write_rows, write_run_file


@pytest.fixture
def output(tmp_path):
    """(folder, rows of its stems that are ok)."""
    folder = tmp_path / "out"
    records = make_records(str(folder), 10)
    write_manifest(Storage(), str(folder), records)
    write_run_file(Layout(str(folder), "flac"), "/in")
    return folder, [r for r in records if r["status"] == "ok" and r["kind"] == "stem"]


def write_page(path, output_uri: str, verdicts: list[dict]) -> str:
    content = {"format": "separator-review", "version": 1, "output": output_uri}
    path.write_text(json.dumps(content | {"verdicts": verdicts}))
    return str(path)


def give(row: dict, verdict: str, note: str = "") -> dict:
    when = "2026-01-01T12:00:00.000Z"
    keys = {"fingerprint": row["fingerprint"], "reviewed_at": when}
    return keys | {"verdict": verdict, "note": note}


def choose(folder, where: str) -> set[str]:
    with select(Storage(), make_config(folder, f"input.where={where}")) as selection:
        tables = [shard.rows for shard in selection.iterate()]
    assert all("verdict" not in table.column_names for table in tables)
    return {value for table in tables for value in table["fingerprint"].to_pylist()}


def test_review_of_the_page_changes_what_export_takes(output, tmp_path, capsys):
    folder, rows = output
    ids = [row["fingerprint"] for row in rows]
    assert choose(folder, "verdict is null") == set(ids)
    page = [give(rows[0], "accept"), give(rows[1], "reject", "hum"), give(rows[2], "", "?")]
    assert main(["review", "import", write_page(tmp_path / "r.json", str(folder), page)]) == 0
    assert "new or changed 3" in capsys.readouterr().out
    assert choose(folder, "verdict = 'accept'") == {ids[0]}
    assert choose(folder, "verdict is distinct from 'reject'") == set(ids) - {ids[1]}
    assert choose(folder, "note = 'hum'") == {ids[1]}


def test_review_of_label_studio_goes_out_and_comes_back(output, tmp_path, capsys):
    folder, rows = output
    tasks = tmp_path / "tasks.json"
    sounds = "https://sounds.example/stems/"
    arguments = ["--output", str(folder), "--sounds", sounds, "--most", "6"]
    assert main(["review", "tasks", str(tasks), *arguments[:-1], "500"]) == 0
    every = {task["data"]["fingerprint"] for task in json.loads(tasks.read_text())}
    assert every == {r["fingerprint"] for r in rows}  # no rendition
    assert main(["review", "tasks", str(tasks), *arguments]) == 0
    content = json.loads(tasks.read_text())
    assert len(content) == 6 and (tmp_path / "tasks.xml").read_text().startswith("<View>")
    assert all(task["data"]["audio"].startswith(f"{sounds}stems/") for task in content)
    assert {task["data"]["fingerprint"] for task in content} <= {r["fingerprint"] for r in rows}
    result = [{"from_name": "verdict", "value": {"choices": ["accept"]}}]
    content[0]["annotations"] = [{"result": result, "completed_by": 1}]
    for task in content[1:]:
        task["annotations"] = []
    tasks.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["review", "import", str(tasks), "--output", str(folder)]) == 0
    assert "new or changed 1" in capsys.readouterr().out
    assert choose(folder, "verdict = 'accept'") == {content[0]["data"]["fingerprint"]}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("tasks.json", ["--most", "-3"], "--most -3: must be at least 1"),
        ("tasks.json", ["--most", "0"], "--most 0: must be at least 1"),
        ("tasks.xml", [], "tasks.xml: must end in .json"),
        ("tasks", [], "tasks: must end in .json"),
    ],
)
def test_review_writes_no_tasks_after_a_mistake(output, tmp_path, capsys, name, arguments, said):
    path = tmp_path / "mine" / name
    path.parent.mkdir()
    path.write_text("kept")
    assert main(["review", "tasks", str(path), "--output", str(output[0]), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and path.read_text() == "kept"
    assert list(path.parent.iterdir()) == [path]


def test_review_says_which_verdicts_are_of_no_current_stem(output, tmp_path, capsys):
    folder, _ = output
    page = [give({"fingerprint": "0" * 32}, "accept")]
    assert main(["review", "import", write_page(tmp_path / "r.json", str(folder), page)]) == 0
    assert "1 are of stems that the manifest does not hold" in capsys.readouterr().out
    assert len(read_verdicts(Storage(), Layout(str(folder), ""))) == 1


def test_review_with_a_config_finds_an_output_that_has_moved(output, tmp_path):
    folder, rows = output
    (tmp_path / "c.yaml").write_text(f"output: {folder}\n")
    path = write_page(tmp_path / "r.json", "/elsewhere", [give(rows[0], "accept")])
    assert main(["review", "import", path, "--config", str(tmp_path / "c.yaml")]) == 0
    assert len(read_verdicts(Storage(), Layout(str(folder), ""))) == 1


def test_review_with_a_config_without_an_output_takes_the_one_of_the_file(output, tmp_path):
    """The config is there for its storage: configs/s3.yaml, say."""
    folder, rows = output
    (tmp_path / "c.yaml").write_text("output:\n  uri: ???\nstorage: {region: here}\n")
    path = write_page(tmp_path / "r.json", str(folder), [give(rows[0], "accept")])
    assert main(["review", "import", path, "--config", str(tmp_path / "c.yaml")]) == 0
    assert len(read_verdicts(Storage(), Layout(str(folder), ""))) == 1


def test_review_takes_the_option_before_the_output_of_the_config(output, tmp_path):
    folder, rows = output
    (tmp_path / "c.yaml").write_text("output: /nowhere\n")
    path = write_page(tmp_path / "r.json", "/elsewhere", [give(rows[0], "accept")])
    given = ["--config", str(tmp_path / "c.yaml"), "--output", str(folder)]
    assert main(["review", "import", path, *given]) == 0
    assert len(read_verdicts(Storage(), Layout(str(folder), ""))) == 1


def test_review_without_any_output_says_which_option_is_missing(output, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("output:\n  uri: ???\n")
    given = ["--config", str(tmp_path / "c.yaml")]
    assert main(["review", "tasks", str(tmp_path / "tasks.json"), *given]) == 2
    assert "give --output URI\n" in capsys.readouterr().err


def test_tasks_of_a_copy_are_refused_since_the_manifest_names_the_old_place(
    output, tmp_path, capsys
):
    copy, tasks = tmp_path / "copy", tmp_path / "tasks.json"
    shutil.copytree(output[0], copy)
    given = ["--output", str(copy), "--sounds", "https://sounds.example"]
    assert main(["review", "tasks", str(tasks), *given]) == 2
    said = capsys.readouterr().err
    assert f"does not lie in {copy}." in said and "names the place into which" in said
    assert not tasks.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("{}", "holds no verdicts"),
        ('{"format": "separator-review", "output": "/x"}', "lacks the list"),
        ('{"format": "separator-review", "output": "/x", "verdicts": [1]}', "verdict 1: is 1"),
        ('{"format": "separator-review", "output": "/x", "verdicts": [{"note": 1}]}', "is no text"),
        ('{"format": "separator-review", "output": "/x", "verdicts": [{}]}', "fingerprint=''"),
        ('[{"data": 1}]', "task 1"),
        ("[]", "which output?"),
    ],
)
def test_review_refuses_files_that_hold_no_verdicts_in_one_line(content, said, tmp_path, capsys):
    path = tmp_path / "r.json"
    path.write_text(content)
    assert main(["review", "import", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_review_of_a_place_without_a_run_is_refused(tmp_path, capsys):
    path = write_page(tmp_path / "r.json", str(tmp_path / "none"), [])
    assert main(["review", "import", path]) == 2
    assert "no run has written there" in capsys.readouterr().err


def test_tasks_are_the_most_doubtful_stems_of_all(tmp_path):
    """Many of one asset, one of many assets; those without a file, whatever their doubt, are not
    among them."""
    folder, tasks = tmp_path / "out", tmp_path / "tasks.json"
    places = [("one.wav", f"q{n}") for n in range(300)] + [(f"{n}.wav", "q") for n in range(300)]
    unmeasured = {"energy_share": None, "similarity": None}  # doubt is 1 - presence_score
    rows = []
    for number, (asset, query) in enumerate(places):
        order = number * 7 % 600
        about = {"presence_score": order / 600, "duration_s": 1.0 + order}
        about |= {"stem_uri": f"/out/{number}.flac"} | unmeasured
        rows.append(make_record(Path("/in") / asset, "", query, **about))
    rows += [
        make_record(Path(f"/in/none{n}.wav"), "", "q", **unmeasured, presence_score=0.0)
        for n in range(100)
    ]
    write_rows(Layout(str(folder), ""), rows)
    assert main(["review", "tasks", str(tasks), "--output", str(folder), "--most", "450"]) == 0
    found = [task["data"] for task in json.loads(tasks.read_text())]
    rated = sorted((row["presence_score"], row["fingerprint"]) for row in rows[:600])
    assert [each["fingerprint"] for each in found] == [key for _, key in rated[:450]]
    assert sum(each["asset"] == "/in/one.wav" for each in found) > 200
    doubts = [each["doubt"] for each in found]
    np.testing.assert_allclose(doubts, np.arange(600, 150, -1) / 600, rtol=1e-5)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("/o/a%3C1%25 ü.flac", "/o/a%253C1%2525%20%C3%BC.flac"),
        ("s3://bucket/a%3C1%25 ü.flac", "s3://bucket/a%3C1%25 ü.flac"),  # as Label Studio reads it
        ("file:///o/a%0Ab.flac", "file:///o/a%0Ab.flac"),
    ],
)
def test_tasks_hold_addresses_that_lead_to_the_stems(tmp_path, uri, address):
    folder, tasks = tmp_path / "out", tmp_path / "tasks.json"
    write_rows(Layout(str(folder), ""), [make_record(Path("/a.wav"), "", "q", stem_uri=uri)])
    assert main(["review", "tasks", str(tasks), "--output", str(folder)]) == 0
    (task,) = json.loads(tasks.read_text())
    assert task["data"]["audio"] == address


def test_a_later_note_leaves_the_verdict_of_another_person(output, tmp_path):
    folder, rows = output
    ids = [row["fingerprint"] for row in rows]
    later = {"reviewed_at": "2026-01-02T12:00:00Z"}
    files = [
        [give(row, "reject") for row in rows[:3]],
        [
            give(rows[0], "", "hum") | later,
            give(rows[1], "") | later,  # of an earlier page: taken back
            give(rows[2], "", "hum") | later | {"verdict_at": later["reviewed_at"]},
        ],
    ]
    for number, verdicts in enumerate(files):
        path = write_page(tmp_path / f"{number}.json", str(folder), verdicts)
        assert main(["review", "import", path]) == 0
    assert choose(folder, "verdict = 'reject'") == {ids[0]}
    assert choose(folder, "note = 'hum'") == {ids[0], ids[2]}


@pytest.mark.parametrize("key", ["reviewed_at", "verdict_at", "note_at"])
def test_review_names_a_time_that_is_none(output, tmp_path, capsys, key):
    row = give(output[1][0], "accept") | {key: "0001-01-01T00:00:00+14:00"}
    path = write_page(tmp_path / "r.json", str(output[0]), [row])
    assert main(["review", "import", path]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"verdict 1: {key}='0001-01-01T00:00:00+14:00'" in line
