"""The publish stage: in one piece or by parts the same file, and no part after the commit."""

import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from separator.audio.renditions import Rendition
from separator.detect.stretches import StretchRule
from separator.errors import list_passing_codes
from separator.media.encode_settings import EncodeSettings
from separator.results.commit_file import CommitFile, pack_commit_file, read_commit_file
from separator.results.manifest import make_table
from separator.results.paths import Layout
from separator.rows import RENDITION, STEM, Failed, Heard, Seconds, StemRow, StemWritten
from separator.stages.collect import Assemble, Collector, Commit, Discard
from separator.stages.publish import Publisher
from separator.storage import Storage
from tests.helpers.meters import measure_loudness
from tests.helpers.rows import ASSET, make_failure, make_rendition, make_track

RATE_HZ = 8_000


@pytest.fixture
def publisher(tmp_path) -> Publisher:
    return Publisher(Storage(), Layout(str(tmp_path), "flac"), EncodeSettings(), "now")


def make_stem(samples_CT, number=0, is_last=True, name="a", kind=STEM, asset=ASSET) -> StemRow:
    return StemRow(
        asset,
        make_track(),
        1,
        kind=kind,
        name=name,
        number=number,
        is_last=is_last,
        samples=samples_CT,
        similarity=0.25,
        energy_in=1.0,
        seconds=Seconds(extract=2.0, separate=3.0),
    )


def make_noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((2, 30_000))).astype(np.float32)


def publish_parts(
    publisher: Publisher, collector: Collector, samples_CT, name="a", kind=STEM, asset=ASSET
) -> tuple[StemWritten, list]:
    pieces, commands = np.split(samples_CT, [9_000, 21_000], axis=1), []
    for number, piece_CT in enumerate(pieces):
        row = make_stem(piece_CT, number, number == 2, name, kind, asset)
        commands = collector.add(publisher.publish(row))
    (command,) = commands
    assert isinstance(command, Assemble)
    done = publisher.assemble(command)
    assert isinstance(done, StemWritten)
    return done, collector.add(done)


def get_records(commands) -> list[dict]:
    (commit,) = commands
    assert isinstance(commit, Commit)
    return commit.records


def test_publish_writes_the_same_file_by_parts_or_in_one_piece(publisher, tmp_path):
    samples_CT = make_noise()
    one = publisher.publish(make_stem(samples_CT))
    assert isinstance(one, StemWritten)
    data = (tmp_path / "stems/x.mp4/track-0/a.flac").read_bytes()
    other, _ = publish_parts(publisher, Collector({}), samples_CT)
    assert (tmp_path / "stems/x.mp4/track-0/a.flac").read_bytes() == data
    same = replace(other, seconds=one.seconds, measures=replace(other.measures, energy_in=1.0))
    assert same == one and other.measures.energy_in == 3.0
    # The seconds of earlier stages are counted with the parts, not again with the whole.
    assert (one.seconds.extract, one.seconds.separate) == (2.0, 3.0)
    assert (other.seconds.extract, other.seconds.separate) == (0.0, 0.0)
    stem, rate_hz = soundfile.read(one.uri, dtype="float32")
    assert rate_hz == RATE_HZ and np.abs(stem.T - samples_CT).max() <= 2**-23
    assert one.loudness_lufs == measure_loudness(samples_CT, RATE_HZ) > -40
    assert one.true_peak_dbtp >= 20 * np.log10(one.measures.peak) > -40


def test_publish_passes_failures_on(publisher):
    failure = make_failure(0, "media_truncated")
    assert list(publisher(failure)) == [failure]


def test_publish_reports_a_place_that_cannot_be_written(publisher, tmp_path):
    (tmp_path / "stems").write_text("a file where a folder has to be")
    done = publisher.publish(make_stem(make_noise()))
    assert isinstance(done, Failed) and (done.stage, done.kind, done.name) == ("publish", STEM, "a")
    assert done.code == "object_missing" and done.seconds.separate == 3.0


@pytest.mark.parametrize("change", ["shorter", "longer", "ragged", "gone"])
def test_assemble_refuses_parts_that_are_not_all_of_the_stem(publisher, tmp_path, change):
    collector, pieces = Collector({}), np.split(make_noise(), [9_000, 21_000], axis=1)
    commands = []
    for number, piece_CT in enumerate(pieces):
        row = make_stem(piece_CT, number, number == 2)
        commands = collector.add(publisher.publish(row))
    (command,) = commands
    assert isinstance(command, Assemble)
    part = tmp_path / "stems/x.mp4/.parts/track-0/stem/a/000001.f32"
    data = part.read_bytes()
    if change == "gone":
        part.unlink()
    else:
        part.write_bytes({"shorter": data[:-8], "longer": 2 * data, "ragged": data[:-3]}[change])
    done = publisher.assemble(command)
    assert isinstance(done, Failed) and done.stage == "publish"
    assert ".parts" in done.detail and "instead of" in done.detail
    assert done.code in list_passing_codes()
    assert not (tmp_path / "stems/x.mp4/track-0").exists()


@pytest.mark.parametrize("run_id", ["now", "the one that took over"])
def test_publish_writes_no_part_after_the_commit(publisher, tmp_path, run_id):
    """Ray repeats the work of a lost node, even where all of its results were used."""
    collector, samples_CT = Collector({"run_id": run_id}), make_noise()
    parts, commands = tmp_path / "stems/x.mp4/.parts", []
    for name in ("a", "b"):
        _, commands = publish_parts(publisher, collector, samples_CT, name)
    records = get_records(commands)
    assert parts.exists()
    storage, layout = publisher.storage, publisher.layout
    storage.write(layout.record("x.mp4"), pack_commit_file(CommitFile("/x.mp4", records)))
    storage.clear(layout.parts("x.mp4"))
    assert len(read_commit_file(storage, layout.record("x.mp4")).records) == 2
    late = publisher.publish(make_stem(samples_CT[:, :9_000], 0, is_last=False))
    assert not isinstance(late, Failed) and not parts.exists()
    assert collector.add(late) == [Discard(late.asset)]  # it cannot know that nothing was written


def test_publish_writes_parts_of_what_an_earlier_run_committed(publisher):
    """All tracks of an asset are made again where one of them has failed."""
    samples_CT = make_noise()
    collector = Collector({"run_id": "before"})
    publish_parts(publisher, collector, samples_CT, "a")
    records = get_records(collector.add(publisher.publish(make_stem(samples_CT, name="b"))))
    assert {record["status"] for record in records} == {"ok"}
    storage, layout = publisher.storage, publisher.layout
    storage.write(layout.record("x.mp4"), pack_commit_file(CommitFile("/x.mp4", records)))
    storage.clear(layout.parts("x.mp4"))
    publish_parts(publisher, Collector({"run_id": "now"}), samples_CT, "a")


@pytest.mark.parametrize("in_parts", [False, True])
def test_publish_brings_a_rendition_to_its_loudness(publisher, in_parts):
    """Measured over the whole, scaled once; as far as the true peak allows."""
    asset = replace(ASSET, items=(make_rendition("m"),))
    quiet = (0.02 * np.random.default_rng(1).standard_normal((2, 30_000))).astype(np.float32)
    peaky = quiet.copy()
    peaky[0, 15_000] = 0.5
    for samples_CT, is_limited in ((quiet, False), (peaky, True)):
        rendition = Rendition("m", loudness_lufs=-23.0, true_peak_dbtp=-3.0)
        ready = replace(publisher, renditions=(rendition,))
        collector = Collector({})
        if in_parts:
            _, commands = publish_parts(ready, collector, samples_CT, "m", RENDITION, asset)
        else:
            row = make_stem(samples_CT, 0, True, "m", RENDITION, asset)
            commands = collector.add(ready.publish(row))
        (record,) = get_records(commands)
        written, _ = soundfile.read(record["stem_uri"], dtype="float32")
        assert record["stem_uri"].endswith("/x.mp4/track-0/rendition/m.flac")
        check_levels(record, written.T, samples_CT)
        loudness_lufs = measure_loudness(written.T, RATE_HZ)
        assert loudness_lufs == pytest.approx(record["loudness_lufs"], abs=0.01)
        if is_limited:
            assert record["true_peak_dbtp"] == pytest.approx(-3.0, abs=0.05)
            assert record["loudness_lufs"] < -23.5
        else:
            assert record["loudness_lufs"] == pytest.approx(-23.0, abs=0.05)
            assert record["true_peak_dbtp"] < -3.0


def check_levels(record, written_CT: np.ndarray, separated_CT: np.ndarray) -> None:
    """The levels are those of the file, and `gain_db` leads back to what was separated."""
    for name, measure in (("peak_db", find_peak_db), ("rms_db", find_rms_db)):
        assert record[name] == pytest.approx(measure(written_CT), abs=1e-3)
        assert record[name] - record["gain_db"] == pytest.approx(measure(separated_CT), abs=1e-3)


def find_peak_db(samples_CT: np.ndarray) -> float:
    return 20 * np.log10(np.abs(samples_CT).max())


def find_rms_db(samples_CT: np.ndarray) -> float:
    return 10 * np.log10(np.square(samples_CT, dtype=np.float64).mean())


@pytest.mark.parametrize("in_parts", [False, True])
def test_levels_of_a_scaled_stem_are_those_of_its_file(publisher, in_parts):
    loud_CT, asset = 40 * make_noise(), replace(ASSET, items=ASSET.items[:1])
    ready = replace(publisher, settings=EncodeSettings(clip="scale"))
    collector = Collector({})
    if in_parts:
        _, commands = publish_parts(ready, collector, loud_CT, asset=asset)
    else:
        commands = collector.add(ready.publish(make_stem(loud_CT, asset=asset)))
    (record,) = get_records(commands)
    written, _ = soundfile.read(record["stem_uri"], dtype="float32")
    check_levels(record, written.T, loud_CT)
    assert record["peak_db"] == pytest.approx(0, abs=1e-3) and record["gain_db"] < -20
    assert record["loudness_lufs"] == pytest.approx(measure_loudness(written.T, RATE_HZ), abs=0.01)
    assert 0 <= record["true_peak_dbtp"] < 3 and record["num_clipped"] == 0


def make_silent(number: int, is_last: bool, heard: Heard, name: str = "a") -> StemRow:
    return replace(
        make_stem(np.zeros((0, 0), np.float32), number, is_last, name),
        num_silent=10_000,
        similarity=math.nan,
        heard=heard,
    )


def test_silent_parts_are_not_written_and_are_silence_in_the_stem(publisher, tmp_path):
    samples_CT = make_noise()
    heard = [
        Heard("classes", 0.2),
        Heard("classes", 0.9, ((5.0, 6.0, 0.9),)),
        Heard("classes", 0.1),
    ]
    rows = [
        make_silent(0, False, heard[0]),
        replace(make_stem(samples_CT[:, :10_000], 1, False), heard=heard[1]),
        make_silent(2, True, heard[2]),
    ]
    collector = Collector({"run_id": "r"})
    commands = [c for row in rows for c in collector.add(publisher.publish(row))]
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] != []
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1  # the part that sounds
    (command,) = commands
    assert isinstance(command, Assemble) and command.silent == ((0, 10_000), (2, 10_000))
    written = publisher.assemble(command)
    assert isinstance(written, StemWritten)
    found_TC, _ = soundfile.read(written.uri, always_2d=True)
    assert found_TC.shape == (30_000, 2)
    assert not found_TC[:10_000].any() and not found_TC[20_000:].any()
    np.testing.assert_allclose(found_TC[10_000:20_000].T, samples_CT[:, :10_000], atol=2**-23)
    assert written.heard == Heard("classes", 0.9, ((5.0, 6.0, 0.9),))


@pytest.mark.parametrize("num_parts", [1, 2])
def test_a_stem_that_is_silent_throughout_is_recorded_as_absent(publisher, tmp_path, num_parts):
    heard = Heard("classes", 0.2, ((1.0, 2.0, 0.3),))
    rows = [make_silent(i, i == num_parts - 1, heard, n) for n in "ab" for i in range(num_parts)]
    collector = Collector({"run_id": "r"})
    records = get_records([c for row in rows for c in collector.add(publisher.publish(row))])
    assert [r["status"] for r in records] == ["absent", "absent"]
    for record in records:
        assert (record["stem_uri"], record["error_code"], record["presence"]) == ("", "", [])
        assert (record["presence_score"], record["presence_share"]) == (0.2, 0)
        assert record["num_samples"] == num_parts * 10_000 and record["presence_by"] == "classes"
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    table = make_table(records)
    assert table["presence"].to_pylist() == [[], []]


def test_a_silent_stem_is_not_absent_where_its_query_may_be_heard(publisher):
    """Detection alone makes no stems: between the two thresholds it does not say absent."""
    for score, status in ((0.24, "absent"), (0.25, "ok"), (0.6, "ok")):
        heard = Heard("classes", score, ((1.0, 2.0, score),))
        rows = [make_silent(0, True, heard, name) for name in "ab"]
        collector = Collector({"run_id": "r"}, rule=StretchRule(0.5, 0.25))
        records = get_records([c for row in rows for c in collector.add(publisher.publish(row))])
        assert [r["status"] for r in records] == [status] * 2
        assert (records[0]["presence"] != []) == (score >= 0.5)


def test_presence_of_a_stem_is_in_its_record(publisher):
    heard = Heard("stem", 0.8, ((0.5, 1.0, 0.8), (1.2, 1.5, 0.6), (2.0, 2.5, 0.3)))
    rows = [replace(make_stem(make_noise(), name=name), heard=heard) for name in "ab"]
    collector = Collector({"run_id": "r"}, rule=StretchRule(0.5, 0.25, shortest_gap_s=0.5))
    records = get_records([c for row in rows for c in collector.add(publisher.publish(row))])
    assert records[0]["presence"] == [{"start_s": 0.5, "stop_s": 1.5, "score": 0.8}]
    assert records[0]["presence_share"] == pytest.approx(1.0 / 3.75)
    assert make_table(records)["presence"].to_pylist()[0][0]["stop_s"] == 1.5
