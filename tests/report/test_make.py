"""The report of an output: what it counts, what it shows, what it makes again."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from separator.errors import Unreachable
from separator.report.make import list_made, plan_report
from separator.report.page import ReportLayout, describe_run, limit_rows, make_asset, show_path
from separator.results.paths import Layout
from separator.results.verdicts import Verdict, add_verdicts
from separator.storage import Storage
from tests.helpers.report_library import (
    HELL,
    Made,
    make_record,
    read_made,
    read_script,
    write_asset,
    write_rows,
    write_run_file,
    write_site,
    write_site_at,
)


def read_stems(output: Path) -> tuple[list[dict], dict]:
    data = read_script(output / "report/data/stems.js")
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    return rows, data


def list_files(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_report_counts_all_rows(site):
    overview = read_script(site.output / "report/data/overview.js")
    assert (overview["assets"], overview["failed_assets"], overview["tracks"]) == (7, 1, 6)
    assert overview["audio_s"] == pytest.approx(18)
    assert overview["rows"] == [["stem", "failed", 1], ["stem", "ok", 12]]
    (failure,) = overview["failures"]
    assert failure["code"] == "media_unreadable" and len(failure["examples"]) == 1
    queries = {query["name"]: query for query in overview["queries"]}
    assert set(queries) == {"siren", "rain", HELL}
    assert queries["siren"]["rows"] == {"ok": 6, "failed": 1}
    assert (overview["num_queries"], overview["num_renditions"]) == (3, 0)
    histograms = {each["column"]: sum(each["counts"]) for each in overview["histograms"]}
    assert histograms["loudness_lufs"] == 12 and "presence_score" not in histograms
    assert overview["run"]["config"]["model"]["name"] == "mini"


def test_report_sorts_its_table_by_doubt_and_names_previews_that_are_there(site):
    rows, data = read_stems(site.output)
    doubts = [row["doubt"] for row in rows if row["doubt"] is not None]
    assert doubts == sorted(doubts, reverse=True) and len(doubts) == 12
    assert rows[-1]["status"] == "failed"
    assert rows[-1]["error"] == "media_unreadable: 'broken.mp4': moov atom not found"
    for row in rows[:-1]:
        assert (site.output / f"report/previews/{row['preview']}.js").exists()
    assert {path for _, path, _ in data["assets"]} >= {"talk.wav", "broken.mp4"}


def test_report_links_lead_to_the_files_of_the_output(site):
    for path in (site.output / "report/data").glob("asset-*.js"):
        for row in read_script(path)["rows"].values():
            for link in row["links"].values():
                from urllib.parse import unquote

                assert (site.output / "report" / unquote(link)).is_file()


def test_report_links_nothing_outside_the_output():
    layout = ReportLayout(Layout("s3://bucket/out", "flac"))
    assert layout.link("s3://bucket/out/stems/a%20 #.wav/x.flac") == (
        "../stems/a%2520%20%23.wav/x.flac"
    )
    assert layout.link("s3://bucket/elsewhere/x.flac") == layout.link("") == ""
    assert ReportLayout(Layout("s3://bucket", "flac")).link("s3://bucket/stems/x") == "../stems/x"


def test_report_made_again_makes_what_is_new_and_deletes_what_is_gone(site, tmp_path):
    made = Made(tmp_path / "report", [])
    records = write_asset(made.root, "a.wav", 1.0, ["siren"])
    records += write_asset(made.root, "b.wav", 1.0, ["siren"])
    write_rows(made.layout, records)
    write_run_file(made.layout, str(made.root / "library"))
    write_site(made)
    previews = made.output / "report/previews"
    before = list_files(previews)
    plan = plan_report(Storage(), made.layout, 100)
    assert plan.list_work(list_made(Storage(), plan.layout)) == []
    # Another query for a.wav; b.wav is no longer there.
    records = records[:1] + write_asset(made.root, "a.wav", 1.0, ["siren", "rain"])[1:]
    records[1] = records[1] | {"asset_etag": records[0]["asset_etag"]}
    write_rows(made.layout, records)
    write_site(made)
    after = list_files(previews)
    assert len(list(previews.iterdir())) == 1
    kept = before.keys() & after.keys()
    assert kept and all(before[name] == after[name] for name in kept if name.endswith(".js"))
    assert len(list((made.output / "report/data").glob("asset-*.js"))) == 1


def test_report_of_most_assets_says_how_they_were_chosen(tmp_path):
    records = [
        make_record(Path(f"/in/{number}.wav"), "", "siren", similarity=number / 20, duration_s=1.0)
        for number in range(20)
    ]
    layout = Layout(str(tmp_path / "out"), "flac")
    write_rows(layout, records)
    write_run_file(layout, "/in")
    write_site_at(layout, "/in", 8, Storage())
    overview = read_script(tmp_path / "out/report/data/overview.js")
    assert overview["chosen"] == {"assets": 8, "by_doubt": 6, "at_random": 2, "rows": 8}
    assert overview["assets"] == 20
    rows, data = read_stems(tmp_path / "out")
    assert [data["assets"][row["asset"]][1] for row in rows[:6]] == [f"{n}.wav" for n in range(6)]


def test_report_of_an_older_manifest_without_presence(tmp_path):
    """As the first release wrote it: columns that came later are absent from its files."""
    import pyarrow.parquet as pq

    records = [make_record(Path("/in/a.wav"), "", "siren", duration_s=1.0)]
    layout = Layout(str(tmp_path / "out"), "flac")
    write_rows(layout, records)
    (path,) = (tmp_path / "out/manifest").glob("*.parquet")
    later = ["presence", "presence_score", "presence_share", "presence_by", "query_kind"]
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([n for n in later if n in table.column_names]), path)
    plan = plan_report(Storage(), layout, 10)
    assert len(plan.rows) == 1 and plan.scan.num_assets == 1


def test_limit_rows_keeps_the_first_of_each_asset():
    rows = [({"asset_uri": f"/{n % 2}"}, 0.5, 0) for n in range(1_000)]
    assert len(limit_rows(rows)) == 400


def test_make_asset_holds_all_columns_that_have_a_value(site):
    layout = ReportLayout(site.layout)
    row = read_made(site.root).records[0]
    (found,) = make_asset([row], layout)["rows"].values()
    assert found["columns"]["query_text"] == row["query_text"]
    assert "error_code" not in found["columns"]
    json.dumps(found, allow_nan=False)


def test_show_path_is_below_the_library():
    assert show_path("s3://a/lib/x/y.wav", "s3://a/lib/") == "x/y.wav"
    assert show_path("s3://a/other/y.wav", "s3://a/lib/") == "s3://a/other/y.wav"
    # A name with a newline has a URI where its neighbours have paths.
    assert show_path("file:///l%C3%A9/x%20%231%0A.wav", "/lé") == "x #1\n.wav"
    assert show_path("file:///l%0Ab/x%FF.wav", "file:///l%0Ab") == "x\udcff.wav"
    assert show_path("file:///other/x%0A.wav", "/lib") == "file:///other/x%0A.wav"


def test_report_on_s3_is_whole_and_opens_in_browsers(site, moto_bucket, tmp_path):
    storage, layout = moto_bucket.storage, Layout(f"{moto_bucket.uri}/out", "flac")
    records = write_asset(tmp_path, "a.wav", 1.0, ["siren"])
    uri = layout.stem("a.wav", 0, "stem", "siren")
    storage.upload(Path(records[0]["stem_uri"]), uri)
    write_rows(layout, [records[0] | {"stem_uri": uri}], storage)
    write_run_file(layout, str(tmp_path / "library"), storage)
    write_site_at(layout, str(tmp_path / "library"), 10, storage)
    names = {"index.html": "text/html", "style.css": "text/css", "core.js": "text/javascript"}
    for name, kind in names.items():
        answer = moto_bucket.admin.head_object(Bucket=moto_bucket.name, Key=f"out/report/{name}")
        assert answer["ContentType"].startswith(kind)
    listed = [entry.uri for entry in storage.list(f"{layout.root_uri}/report")]
    assert sum(uri.endswith(".m4a") for uri in listed) == 3
    # A copy is the same site.
    for uri in listed:
        path = tmp_path / "copy" / uri.removeprefix(f"{layout.root_uri}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.fetch(uri, path)
    rows, _ = read_stems(tmp_path / "copy")
    assert (tmp_path / "copy/report/previews" / f"{rows[0]['preview']}.js").exists()


def test_report_gives_each_stem_its_own_text_where_a_name_has_several(tmp_path):
    texts = {"/in/a.wav": "a dog barks", "/in/b.wav": "a big dog"}
    records = [make_record(Path(uri), "", "dog", query_text=text) for uri, text in texts.items()]
    layout = Layout(str(tmp_path / "out"), "flac")
    write_rows(layout, records)
    write_run_file(layout, "/in")
    write_site_at(layout, "/in", 8, Storage())
    rows, data = read_stems(tmp_path / "out")
    found = {data["assets"][row["asset"]][0]: data["queries"][row["query"]] for row in rows}
    assert found == {uri: ["dog", text] for uri, text in texts.items()}


class Unreached(Storage):
    """Storage whose library does not answer."""

    def stat(self, uri: str):
        if "/library/" in uri:
            raise Unreachable(f"{uri}: no answer")
        return super().stat(uri)


def test_report_makes_previews_again_that_lack_the_mixture_for_a_while(tmp_path):
    made = Made(tmp_path / "report", [])
    write_rows(made.layout, write_asset(made.root, "a.wav", 1.0, ["siren", "rain"]))
    write_run_file(made.layout, str(made.root / "library"))
    write_site(made, storage=Unreached())

    def list_lanes() -> set[tuple[str, ...]]:
        scripts = [
            read_script(made.output / "report/previews" / f"{row['preview']}.js")
            for row in read_stems(made.output)[0]
        ]
        return {tuple(lane["kind"] for lane in script["lanes"]) for script in scripts}

    assert list_lanes() == {("stem",)}
    plan = write_site(made)
    assert list_lanes() == {("mixture", "stem", "residual")}
    assert plan.list_work(list_made(Storage(), plan.layout)) == []
    # What is gone for good is not looked for each time.
    (tmp_path / "report/library/a.wav").unlink()
    Storage().clear(plan.layout.previews())
    write_site(made)
    assert list_lanes() == {("stem",)}
    assert plan.list_work(list_made(Storage(), plan.layout)) == []


def test_report_deletes_what_a_report_that_was_interrupted_has_left(tmp_path):
    layout = Layout(str(tmp_path / "out"), "flac")
    write_rows(layout, [make_record(Path("/in/a.wav"), "", "siren")])
    write_run_file(layout, "/in")
    (left := tmp_path / "out/report/previews/asset-0000000000000000").mkdir(parents=True)
    (left / "x.m4a").write_bytes(b"x")
    write_site_at(layout, "/in", 8, Storage())
    assert not left.exists() or not list_files(left)


def test_report_calls_a_run_silent_that_was_killed():
    run = {"run_id": "r", "written_at": "2026-01-01T00:00:00+00:00", "totals": {}}
    states = [describe_run(run | {"state": state})["state"] for state in ("running", "finished")]
    assert states == ["silent", "finished"]


def test_report_holds_the_verdicts_on_its_rows(tmp_path):
    layout, at = Layout(str(tmp_path / "out"), "flac"), datetime(2026, 1, 2, tzinfo=UTC)
    record = make_record(Path("/in/a.wav"), "", "siren", duration_s=1.0)
    write_rows(layout, [record])
    write_run_file(layout, "/in")
    given = Verdict(record["fingerprint"], "reject", "hum", at, "ann", verdict_at=at)
    add_verdicts(Storage(), layout, [given, Verdict("0" * 32, "accept", reviewed_at=at)])
    write_site_at(layout, "/in", 100, Storage())
    assert read_script(tmp_path / "out/report/data/verdicts.js")["rows"] == [
        {
            "fingerprint": record["fingerprint"],
            "verdict": "reject",
            "note": "hum",
            "reviewer": "ann",
            **dict.fromkeys(("reviewed_at", "verdict_at", "note_at"), at.isoformat()),
        }
    ]
