"""The commands that read where queries are heard."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from jobs.cli import main
from separator.results.paths import Layout, name_presence
from separator.results.verdicts import Verdict, add_verdicts
from separator.storage import Storage
from tests.helpers.export_library import write_manifest
from tests.helpers.records import make_record
from tests.helpers.runs import TOTALS, write_run

SIREN, TEXT = "a" * 32, "an emergency siren"
STRETCHES = [
    {"start_s": 1.5, "stop_s": 4.25, "score": 0.5},
    {"start_s": 3_700.0, "stop_s": 3_701.0, "score": 0.9},
]


def make_row(asset: str, query: str, presence: list[dict] | None, **more) -> dict:
    return make_record(f"/in/{asset}", query) | {"presence": presence} | more


@pytest.fixture
def output(tmp_path) -> Path:
    """A manifest of `run` and one of `detect`; both know the siren in a.wav."""
    out = tmp_path / "out"
    rows = [
        make_row("sub/a.wav", "siren", STRETCHES, query_text=TEXT, fingerprint=SIREN),
        make_row("sub/a.wav", "rain", [], query_text="rain", status="absent"),
        make_row("b.wav", "siren", None, query_text=TEXT),
        make_row("b.wav", "zebra", None, query_text="glork"),
        make_row("b.wav", "no-siren", None, query_text="siren -inf dB", kind="rendition"),
    ]
    write_manifest(Storage(), str(out), rows)
    detected = [
        make_row("sub/a.wav", "siren", STRETCHES[:1], query_text=TEXT),
        make_row("c.wav", "rain", [{"start_s": 0.0, "stop_s": 1.12 * 3, "score": 0.7}]),
    ]
    write_manifest(Storage(), name_presence(str(out)), detected)
    return out


@pytest.fixture
def config(tmp_path, output) -> str:
    path = tmp_path / "c.yaml"
    path.write_text(f"output: {{uri: {output}}}\n")
    return str(path)


def test_find_prints_stretches_of_both_manifests_in_80_columns(config, capsys):
    assert main(["find", config]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("siren") == 2 and "1:01:40.0" in out and "/in/c.wav" in out
    assert "3 stretches" in out


def test_find_takes_a_part_of_the_text_and_a_least_score(config, capsys):
    assert main(["find", config, "emergency", "--min-score", "0.6", "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["asset_uri"], row["start_s"], row["score"]) == ("/in/sub/a.wav", "3700.0", "0.9")
    assert main(["find", config, "rain", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["asset_uri"] == "/in/c.wav" and found["stop_s"] == 3.36


def test_find_takes_what_was_heard_last(config, output, capsys):
    """And the verdict on the stem, whichever of both it was."""
    heard = [{"start_s": 7.0, "stop_s": 8.0, "score": 0.3}]
    again = make_row("sub/a.wav", "siren", heard, query_text=TEXT, created_at="2126-01-01T00:00Z")
    write_manifest(Storage(), name_presence(str(output)), [again], "later")
    add_verdicts(Storage(), Layout(str(output), ""), [Verdict(SIREN, "accept")])
    assert main(["find", config, "siren", "--verdict", "accept", "--format", "json"]) == 0
    assert [each["start_s"] for each in json.loads(capsys.readouterr().out)] == [7.0]


def test_find_takes_the_verdict_on_a_stem_that_detect_alone_listened_for(config, output, capsys):
    heard = make_row("b.wav", "siren", STRETCHES[:1], query_text=TEXT, fingerprint="2" * 32)
    write_manifest(Storage(), name_presence(str(output)), [heard], "later")
    stem = make_row("b.wav", "siren", None, query_text=TEXT, fingerprint=SIREN)
    write_manifest(Storage(), str(output), [stem], "later")
    add_verdicts(Storage(), Layout(str(output), ""), [Verdict(SIREN, "accept")])
    assert main(["find", config, "siren", "--verdict", "accept", "--format", "json"]) == 0
    assert "/in/b.wav" in {each["asset_uri"] for each in json.loads(capsys.readouterr().out)}


def test_find_and_markers_take_stems_by_their_verdict(config, output, capsys):
    siren, rain = Verdict(SIREN, "accept"), Verdict("c" * 32, "reject")  # of no row
    add_verdicts(Storage(), Layout(str(output), ""), [siren, rain])

    def find(verdict: str) -> set[str]:
        assert main(["find", config, "--verdict", verdict, "--format", "json"]) == 0
        return {each["asset_uri"] for each in json.loads(capsys.readouterr().out)}

    assert find("any") == {"/in/sub/a.wav", "/in/c.wav"}
    assert find("accept") == {"/in/sub/a.wav"} and find("none") == {"/in/c.wav"}
    assert find("reject") == set()
    assert main(["markers", config, "--verdict", "accept"]) == 0
    assert [p.name for p in output.rglob("*.txt")] == ["a.wav.txt"]


@pytest.mark.parametrize("command", ["find", "markers"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--query", "dragon"], "no query of .* has that name, .* there are rain, siren, zebra$"),
        (["--query", "no-siren"], "no query of .* has that name, .* there are rain, siren, zebra$"),
        (["--query", "glork"], "nothing has listened for zebra: "),
        (["--min-score", "7"], "must be from 0 to 1"),
        (["output.uri=/nowhere"], "no manifest there"),
    ],
)
def test_a_mistake_is_told_in_one_line(config, capsys, command, arguments, message):
    assert main([command, config, *arguments]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1


def test_find_takes_its_query_behind_options_and_corrects_them(config, capsys):
    assert main(["find", config, "--format", "json", "siren", "--min-score", "0.7"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert main(["find", config, "--formt", "json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--formt json; did you mean --format? (see separator find --help)" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--verdict", "accept"],
            "no stretch has the verdict accept; 3 stretches without --verdict",
        ),
        (
            ["siren", "--min-score", "1", "--verdict", "reject"],
            "no stretch has the verdict reject and a score of 1 or more;"
            " 2 stretches without --verdict and --min-score",
        ),
        (
            ["rain", "--min-score", "0.8"],
            "no stretch has a score of 0.8 or more; 1 stretch without --min-score",
        ),
    ],
)
def test_find_says_what_it_leaves_out_if_that_is_everything(config, capsys, arguments, said):
    assert main(["find", config, *arguments]) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_find_says_heard_nowhere_only_of_what_is_heard_nowhere(config, output, capsys):
    write_manifest(Storage(), str(output), [make_row("d.wav", "bell", [])], "later")
    assert main(["find", config, "bell", "--min-score", "0.5"]) == 0
    assert capsys.readouterr().out == "heard nowhere\n"
    assert main(["find", config, "rain"]) == 0
    assert capsys.readouterr().out.endswith("\n1 stretch\n")


@pytest.mark.parametrize("command", ["find", "markers"])
def test_runs_that_found_no_asset_are_no_missing_manifest(tmp_path, capsys, command):
    out, nothing = tmp_path / "none", {"state": "finished", "totals": TOTALS | {"assets": 0}}
    (config := tmp_path / "n.yaml").write_text(f"output: {{uri: {out}}}\n")
    write_run(Layout(str(out), ""), "1", **nothing)
    write_run(Layout(name_presence(str(out)), ""), "2", **nothing)
    assert main([command, str(config)]) == 2
    err = capsys.readouterr().err
    assert "the runs so far found no assets; check input.uri" in err and err.count("\n") == 1
    more = nothing | {"totals": TOTALS | {"assets": 0, "assets_skipped": 1}}
    for run in (nothing | {"state": "running"}, {"state": "finished"}, more):
        write_run(Layout(str(out), ""), "3", **run)
        assert main([command, str(config)]) == 2
        assert "no manifest there" in capsys.readouterr().err


def test_find_takes_one_query(config, capsys):
    assert main(["find", config, "a", "b"]) == 2
    err = capsys.readouterr().err
    assert "one query at a time" in err and err.count("\n") == 1


def test_markers_writes_a_file_for_each_asset_with_a_stretch(config, output, capsys):
    for form, suffix in (("audacity", ".txt"), ("csv", ".csv"), ("edl", ".edl"), ("otio", ".otio")):
        assert main(["markers", config, "--format", form, "--fps", "30000/1001"]) == 0
        assert "2 files" in capsys.readouterr().out
        names = {str(p.relative_to(output / "markers")) for p in output.rglob(f"*{suffix}")}
        assert names == {f"sub/a.wav{suffix}", f"c.wav{suffix}"}
    labels = (output / "markers/sub/a.wav.txt").read_text().splitlines()
    assert len(labels) == 2 and labels[0].startswith("1.500000\t4.250000\tsiren 0.50")
    colours = {
        query: set(re.findall(f"ResolveColor(\\w+) .M:{query} ", path.read_text()))
        for path, query in (
            (output / "markers/c.wav.edl", "rain"),
            (output / "markers/sub/a.wav.edl", "siren"),
        )
    }
    assert colours == {"rain": {"Blue"}, "siren": {"Green"}}  # of all queries, in each file


def test_markers_removes_what_an_earlier_call_wrote_and_nothing_else(
    config, output, tmp_path, capsys
):
    out = tmp_path / "shared"
    given = ["markers", config, "--format", "edl", "--out", str(out)]
    assert main([*given, "--format", "csv"]) == main(given) == 0
    (other := tmp_path / "other.yaml").write_text(f"output: {{uri: {tmp_path / 'other'}}}\n")
    rows = [make_row("other.wav", "siren", STRETCHES)]
    write_manifest(Storage(), str(tmp_path / "other"), rows)
    assert main(["markers", str(other), *given[2:]]) == 0
    for name in ("mine.edl", "sub/mine.wav.edl"):
        (out / name).write_text("")
    capsys.readouterr()
    assert main([*given, "--query", "rain"]) == 0
    assert capsys.readouterr().out == f"1 files in {out}; removed 1 of an earlier call\n"
    edls = {str(path.relative_to(out)) for path in out.rglob("*.edl")}
    assert edls == {"c.wav.edl", "other.wav.edl", "mine.edl", "sub/mine.wav.edl"}
    assert len(list(out.rglob("*.csv"))) == 2


def test_markers_removes_no_file_of_a_name_that_leads_out(config, output, capsys):
    (outside := output / "precious.edl").write_text("")
    (output / "markers").mkdir()
    (listed := output / "markers/separator-markers.json").write_text(
        json.dumps({"": {"edl": ["../precious.edl", str(outside)]}})
    )
    assert main(["markers", config, "--format", "edl"]) == 0
    assert outside.exists() and "removed" not in capsys.readouterr().out
    listed.write_text("[1]")
    assert main(["markers", config]) == 2
    assert "is no list of marker files; move it away" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["c.wav.edl", "sub/a.wav.edl"])
def test_markers_overwrites_no_file_of_others(config, output, tmp_path, capsys, name):
    out = tmp_path / "shared"
    given = ["markers", config, "--out", str(out), "--format", "edl"]
    (mine := out / name).parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(given) == 2
    err = capsys.readouterr().err
    assert re.search("is there already .* move it away, or .* --out$", err) and str(mine) in err
    assert err.count("\n") == 1 and mine.read_text() == "mine"
    assert [path for path in out.rglob("*") if path.is_file()] == [mine]
    mine.rename(tmp_path / "kept")
    assert main(given) == main(given) == 0  # its own files it writes again
    assert mine.read_text().startswith("TITLE: ")


def test_markers_name_assets_as_the_library_does_and_know_how_long_they_are(config, output, capsys):
    """Also where one has a newline in its name, and so a URI where its neighbours have paths."""
    long, stretch = f"{'n' * 230}.wav", [{"start_s": 1.0, "stop_s": 2.0, "score": 0.75}]
    names = {f"/in/{long}": long, "/in/sub/5%?.wav": "5%?.wav"}
    names["file:///in/two%0Awords.wav"] = "two words.wav"
    rows = [make_record(uri, "siren") | {"presence": stretch, "duration_s": 8.0} for uri in names]
    rows.append(make_record(f"/in/{long}", "siren", 1) | {"presence": [], "duration_s": 10.0})
    write_manifest(Storage(), str(output), rows, "later")
    for form in ("edl", "otio"):
        assert main(["markers", config, "--format", form]) == 0
    folder = output / "markers"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.otio")}
    assert {"two%0Awords.wav.otio", "sub/5%25%3F.wav.otio", "c.wav.otio"} < found
    assert all(len(Path(name).parts) <= 2 for name in found)
    clips = {}
    for path in folder.rglob("*.otio"):
        clip = json.loads(path.read_text())["tracks"]["children"][0]["children"][0]
        clips[clip["name"]] = clip["source_range"]["duration"]["value"]
        edl = path.with_suffix(".edl").read_text()
        assert edl.startswith(f"TITLE: {clip['name']}\nFCM: ")
    assert set(names.values()) < set(clips)
    assert clips[long] == 250 and clips["two words.wav"] == 200


def test_markers_refuses_a_rate_that_is_none(config, capsys):
    assert main(["markers", config, "--fps", "x"]) == 2
    assert "--fps x: must be a number" in capsys.readouterr().err


def test_find_prints_names_of_control_characters_on_one_line_and_gives_them_to_programs(
    config, output, capsys
):
    name = "s3://in/\x1b[2J\nx.wav"
    row = make_row("", "rain", STRETCHES[:1]) | {"asset_uri": name}
    write_manifest(Storage(), str(output), [row], "later")
    assert main(["find", config, "rain"]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable() and "s3://in/\\x1b[2J\\nx.wav\n" in out
    assert main(["find", config, "rain", "--format", "json"]) == 0
    assert name in {each["asset_uri"] for each in json.loads(capsys.readouterr().out)}


def test_find_names_no_query_that_could_not_be_read(config, output, capsys):
    failed = make_row("d.wav", "", None, query_text="", status="failed", error_code="bad_request")
    write_manifest(Storage(), str(output), [failed], "later")
    assert main(["find", config, "dragon"]) == 2
    assert "there are rain, siren, zebra\n" in capsys.readouterr().err
