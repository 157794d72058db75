"""Rules of commit files and of the manifest that hold for every content."""

import itertools
import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from separator.errors import OutputDamaged
from separator.results.commit_file import CommitFile, pack_commit_file, read_commit_file
from separator.results.compact import compact
from separator.results.done import find_done
from separator.results.latest import hash_ids, read_latest
from separator.results.manifest import ManifestWriter, make_table
from separator.results.paths import Layout
from separator.results.schema import COLUMNS
from separator.storage import Storage
from tests.helpers.properties import any_text, examples, json_values
from tests.helpers.records import make_record

texts = st.text(max_size=10)
records = st.builds(
    lambda known, more: known | more,
    st.builds(make_record, texts, texts, st.integers(-1, 3), texts, st.integers(0, 9)),
    st.fixed_dictionaries(
        {}, optional={"carried": texts, "query_text": texts, "rms_db": st.floats(-200, 0)}
    ),
)
damages = st.dictionaries(st.sampled_from(sorted(COLUMNS)), json_values | any_text, max_size=2)


def find_key(row: dict) -> tuple[int, str]:
    return row["track_index"], row["query_name"]


def read_back(data: bytes) -> CommitFile | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "record.json")
        path.write_bytes(data)
        try:
            return read_commit_file(Storage(), str(path))
        except OutputDamaged as error:
            assert str(error).isprintable() and "record.json" in str(error)
            return None


@examples(12)
@given(texts, st.lists(records, max_size=4, unique_by=find_key))
def test_a_commit_file_is_read_back(asset_uri, rows):
    file = CommitFile(asset_uri, rows, ("gone",))
    found = read_back(pack_commit_file(file))
    assert found is not None and found.asset_uri == asset_uri and found.obsolete_uris == ("gone",)
    assert pack_commit_file(found) == pack_commit_file(file)


@examples(30)
@given(records, damages, st.none() | st.tuples(st.integers(0), st.binary(max_size=3)))
def test_a_damaged_commit_file_is_named_or_its_rows_fit_the_manifest(record, damage, splice):
    content = {"version": 1, "asset_uri": "x", "records": [record | damage]}
    data = json.dumps(content).encode()
    if splice is not None:
        at = splice[0] % len(data)
        data = data[:at] + splice[1] + data[at + 1 :]
    if (found := read_back(data)) is not None:
        assert make_table(found.records).num_rows == len(found.records)
        assert len(hash_ids([row["request"] for row in found.records])) == len(found.records)
        pack_commit_file(found)


@examples(20)
@given(st.recursive(json_values, lambda inner: st.fixed_dictionaries(
    {"asset_uri": inner, "records": st.lists(inner, max_size=2)}), max_leaves=4))  # fmt: skip
def test_any_json_is_a_commit_file_or_damaged(content):
    read_back(json.dumps(content).encode())


# (run, hour, asset, its version, query, track, error code): a commit is of one version.
CODES = ("", "no_audio", "throttled")
rows_of_runs = st.lists(
    st.tuples(*(st.integers(0, most) for most in (2, 5, 1, 1, 1, 1, 2))),
    max_size=12,
    unique_by=lambda row: (row[1], row[2], row[4], row[5]),
)


def select_latest(rows: list[dict]) -> list[dict]:
    """Apply the rule as docs/job.md tells it, to rows whose assets could be looked at."""
    newest = {r["asset_uri"]: r for r in sorted(rows, key=lambda r: r["created_at"])}
    last = {}
    for row in rows:
        key = row["asset_uri"], row["query_name"]
        last[key] = max(row["created_at"], last.get(key, ""))
    return [
        r
        for r in rows
        if r["asset_etag"] == newest[r["asset_uri"]]["asset_etag"]
        and r["created_at"] == last[r["asset_uri"], r["query_name"]]
    ]


def select_done(rows: list[dict], retry_failed: bool) -> set[int]:
    final = ("",) if retry_failed else ("", "no_audio")
    latest = sorted(select_latest(rows), key=lambda r: r["request"])
    groups = itertools.groupby(latest, key=lambda r: r["request"])
    done = [key for key, group in groups if all(r["error_code"] in final for r in group)]
    return {int(number) for number in hash_ids(done)}


@examples(10)
@given(rows_of_runs)
def test_compaction_changes_no_current_row_and_done_follows_the_rule(drawn):
    etags = {(asset, hour): etag for _, hour, asset, etag, *_ in drawn}
    runs: dict[int, list[dict]] = {}
    for run, hour, asset, _, query, track, code in drawn:
        etag = f"e{etags[asset, hour]}"
        row = make_record(f"a{asset}", f"q{query}", track, etag, hour, CODES[code])
        runs.setdefault(run, []).append(row)
    rows = list(itertools.chain(*runs.values()))
    with tempfile.TemporaryDirectory() as folder:
        output = Storage(), Layout(folder, "flac")

        def look() -> list[tuple]:
            columns = ["asset_uri", "asset_etag", "query_name", "track_index", "error_code"]
            batches = [batch.to_pydict() for batch in read_latest(*output, columns)]
            return sorted(row for batch in batches for row in zip(*batch.values(), strict=True))

        for run, own in runs.items():
            writer = ManifestWriter(*output, f"run-{run}", rows_per_file=3)
            for row in own:
                writer.add([row])
            writer.flush()
        before = look()
        columns = ("asset_uri", "asset_etag", "query_name", "track_index", "error_code")
        assert before == sorted(tuple(r[c] for c in columns) for r in select_latest(rows))
        for is_retried in (True, False):
            assert set(find_done(*output, is_retried).done.tolist()) == select_done(
                rows, is_retried
            )
        done = find_done(*output, False)
        compact(*output, "run-0", rows_per_file=2)
        assert look() == before
        after = find_done(*output, False)
        assert (after.done.tolist(), after.failed.tolist()) == (
            done.done.tolist(),
            done.failed.tolist(),
        )
