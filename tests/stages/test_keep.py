"""Finished stems stay where what is new for their asset cannot be made."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from separator.audio.renditions import JOINT, Edits
from separator.errors import Throttled
from separator.results.commit_file import read_commit_file
from separator.results.done import find_done
from separator.results.latest import read_latest
from separator.results.manifest import ManifestWriter
from separator.results.paths import Layout
from separator.rows import RENDITION, RESIDUAL, STEM, Asset, Failed, Outcome, StemWritten, WorkItem
from separator.stages.collect import Collector, Commit, Discard
from separator.stages.commit import Committer
from separator.stages.extract import Extractor, SpanPlan
from separator.storage import Storage
from tests.helpers.rows import make_failure, make_file, make_rendition
from tests.helpers.stages import make_asset

SIREN = WorkItem("a" * 32, STEM, "siren", "a siren")
MAN = WorkItem("b" * 32, STEM, "man", "a man")
MIX = replace(make_rendition("2"), needs=("siren",))


class Busy(Storage):
    """Storage that lists and writes, and gives no asset for now."""

    def on_disk(self, *_):
        raise Throttled("x.wav: too many requests")


class Output:
    """An output with one asset."""

    def __init__(self, folder: Path) -> None:
        self.storage, self.layout = Storage(), Layout(str(folder / "out"), "flac")
        (folder / "x.wav").write_bytes(b"x" * 100)
        etag = self.storage.stat(str(folder / "x.wav")).etag
        self.asset = replace(make_asset(folder / "x.wav", Edits(), etag), items=(SIREN,))
        self.num_runs, self.residual, self.with_remux = 0, "none", False

    def ask(self, *items: WorkItem) -> Asset:
        """Return the asset with what is left to do of these work items."""
        asked = replace(self.asset, items=items)
        return find_done(self.storage, self.layout, True).select_pending(asked)

    def write_stem(self, track: int = 0, num_tracks: int = 1) -> StemWritten:
        uri = self.layout.stem(self.asset.path, track, STEM, "siren")
        self.storage.write(uri, b"a stem")
        return make_file(track, "siren", num_tracks, asset=self.asset, uri=uri)

    def run(self, rows: Sequence[Outcome]) -> None:
        self.num_runs += 1
        run_id = str(self.num_runs)
        done = find_done(self.storage, self.layout, True)
        about = {"run_id": run_id}
        collector = Collector(about, self.residual, self.with_remux, done.last_commit_us)
        writer = ManifestWriter(self.storage, self.layout, run_id, 1_000)
        with Committer(self.storage, self.layout, writer, lambda _: None) as committer:
            for row in rows:
                for command in collector.add(row):
                    if isinstance(command, Commit):
                        committer.commit(command)

    def read_commit(self) -> set[tuple]:
        records = read_commit_file(self.storage, self.layout.record(self.asset.path)).records
        assert len({(r["request"], r["track_index"]) for r in records}) == len(records)
        return {(r["query_name"], r["track_index"], r["status"]) for r in records}

    def read_manifest(self, column: str = "status") -> set[tuple]:
        names = ["query_name", "track_index", column]
        batches = read_latest(self.storage, self.layout, names)
        return {tuple(row.values()) for batch in batches for row in batch.to_pylist()}


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(tmp_path)


def extract(output: Output, asset: Asset) -> list:
    """Extract the asset while its original cannot be read."""
    extractor = Extractor(Busy(), output.layout, SpanPlan(10, Fraction(0), Fraction(1)), True)
    rows = list(extractor(asset))
    assert [row.code for row in rows if isinstance(row, Failed)] == ["throttled"]
    return rows


def test_a_rendition_that_cannot_be_made_leaves_the_stem_that_it_needs(output):
    stem = output.write_stem()
    output.run([stem])
    pending = output.ask(SIREN, MIX)
    assert [item.name for item in pending.items] == ["siren", "2"]
    output.run(extract(output, pending))
    rows = {("siren", 0, "ok"), ("2", -1, "failed")}
    assert output.read_commit() == output.read_manifest() == rows
    assert output.storage.read(stem.uri)


def test_stems_that_cannot_be_made_in_another_way_stay_as_they_are(output):
    stem = output.write_stem()
    output.run([stem])
    changed = [replace(SIREN, id="c" * 32), MAN]
    output.run(extract(output, output.ask(*changed)))
    assert output.read_manifest() == {("siren", -1, "failed"), ("man", -1, "failed")}
    assert output.read_commit() == {("siren", 0, "ok"), *output.read_manifest()}
    assert output.storage.read(stem.uri)
    # With the former settings nothing is to be made.
    (row,) = Extractor(Busy(), output.layout, SpanPlan(10, Fraction(0), Fraction(1)))(output.asset)
    output.run([row])
    assert output.read_manifest() == {("siren", 0, "ok"), ("man", -1, "failed")}


def test_a_second_try_that_fails_leaves_the_tracks_that_were_made(output):
    stem = output.write_stem(0, 2)
    output.run([stem, make_failure(1, "decode_failed", 2, output.asset)])
    rows = {("siren", 0, "ok"), ("siren", 1, "failed")}
    assert output.read_manifest() == rows
    output.run(extract(output, output.ask(SIREN)))
    assert output.read_commit() == output.read_manifest() == rows
    assert output.storage.read(stem.uri)
    # A track that fails alone leaves what was made of it, too.
    failures = [make_failure(track, "decode_failed", 2, output.asset) for track in (0, 1)]
    output.run(failures)
    assert output.read_commit() == output.read_manifest() == rows


def test_a_file_that_comes_late_is_kept_if_a_record_names_it(output):
    stem = output.write_stem()
    output.run([stem])
    writer = ManifestWriter(output.storage, output.layout, "2", 1_000)
    late = output.layout.stem(output.asset.path, 0, STEM, "man")
    output.storage.write(late, b"too late")
    with Committer(output.storage, output.layout, writer, lambda _: None) as committer:
        for uri in (stem.uri, late):
            committer.discard(Discard(output.asset, uri))
    assert Path(stem.uri).exists() and not Path(late).exists()


def test_a_stem_names_no_joint_residual_that_was_made_of_other_stems(output):
    stem, man = output.write_stem(), output.layout.stem(output.asset.path, 0, STEM, "man")
    joint = output.layout.stem(output.asset.path, 0, RESIDUAL, JOINT)
    for uri in (man, joint):
        output.storage.write(uri, b"sound")
    both = replace(output.asset, items=(SIREN, MAN))
    rest = make_file(0, JOINT, kind=RESIDUAL, asset=both, uri=joint)
    output.residual = "joint"
    output.run([replace(stem, asset=both), make_file(0, "man", asset=both, uri=man), rest])
    assert output.read_manifest("residual_uri") == {("siren", 0, joint), ("man", 0, joint)}
    changed = replace(output.asset, items=(replace(SIREN, id="c" * 32),))
    output.run([replace(stem, asset=changed), replace(rest, asset=changed)])
    assert output.read_manifest("residual_uri") == {("siren", 0, joint), ("man", 0, "")}
    assert output.read_commit() == {("siren", 0, "ok"), ("man", 0, "ok")} and Path(man).exists()


def test_tracks_that_fail_in_another_way_leave_what_was_made(output):
    """A format that holds no such track, say: each track fails, and the asset does not."""
    stem = output.write_stem(0, 2)
    output.run([stem, make_failure(1, "throttled", 2, output.asset)])
    changed = replace(output.asset, items=(replace(SIREN, id="c" * 32),))
    output.run([make_failure(track, "layout_unsupported", 2, changed) for track in (0, 1)])
    assert output.read_manifest() == {("siren", 0, "failed"), ("siren", 1, "failed")}
    assert ("siren", 0, "ok") in output.read_commit() and Path(stem.uri).exists()
    # With the former settings the other track is still to be made.
    rows = list(
        Extractor(Busy(), output.layout, SpanPlan(10, Fraction(0), Fraction(1)))(output.asset)
    )
    assert [type(row) for row in rows] == [Failed]


def test_a_mix_whose_remux_failed_stays_where_it_cannot_be_tried_again(output):
    mix = output.layout.stem(output.asset.path, 0, RENDITION, "2")
    output.storage.write(mix, b"a mix")
    asked = replace(output.asset, items=(SIREN, MIX))
    rows = [
        replace(output.write_stem(), asset=asked),
        make_file(0, "2", kind=RENDITION, asset=asked, uri=mix),
        make_failure(-1, "throttled", asset=asked, kind="remux", name="2", stage="remux"),
    ]
    output.with_remux = True
    output.run(rows)
    assert output.read_manifest() == {("siren", 0, "ok"), ("2", 0, "failed")}
    output.run(extract(output, output.ask(SIREN, MIX)))
    assert output.read_manifest("stem_uri") == {("siren", 0, rows[0].uri), ("2", 0, mix)}
    assert Path(mix).exists()


def test_a_cleared_residual_leaves_the_other_tracks_of_its_query(output):
    """The joint residual of one track is made again; the other track fails this time."""
    both = replace(output.asset, items=(SIREN, MAN))
    output.residual = "joint"
    uris, rows = {}, []
    for track in (0, 1):
        rest = output.layout.stem(output.asset.path, track, RESIDUAL, JOINT)
        uris[track] = output.layout.stem(output.asset.path, track, STEM, "man")
        for uri in (rest, uris[track]):
            output.storage.write(uri, b"sound")
        rows += [
            replace(output.write_stem(track, 2), asset=both),
            make_file(track, "man", 2, asset=both, uri=uris[track]),
            make_file(track, JOINT, 2, kind=RESIDUAL, asset=both, uri=rest),
        ]
    output.run(rows)
    changed = replace(output.asset, items=(replace(SIREN, id="c" * 32),))
    again = [replace(row, asset=changed) for row in (rows[0], rows[2])]
    output.run([*again, make_failure(1, "decode_failed", 2, changed)])
    found = output.read_manifest("stem_uri")
    assert {("man", 0, uris[0]), ("man", 1, uris[1])} <= found
    assert all(Path(uri).exists() for uri in uris.values())


def test_a_kept_stem_that_was_deleted_by_hand_ends_no_run(output):
    stem = output.write_stem()
    output.run([stem])
    Path(stem.uri).unlink()
    output.run(extract(output, output.ask(SIREN, MIX)))
    assert output.read_manifest() == {("siren", 0, "ok"), ("2", -1, "failed")}
