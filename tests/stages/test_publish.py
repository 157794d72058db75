"""Stems to storage: in one piece or by parts the same bytes, and no part after the commit."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from separator.audio.format import AudioFormat
from separator.audio.loudness import Meter
from separator.audio.renditions import Product, Rendition
from separator.media.encode import EncodeSettings
from separator.results.paths import Layout
from separator.results.record import pack_record, read_record
from separator.rows import DoneRow
from separator.stages import extract, separate
from separator.stages.collect import Ledger
from separator.stages.publish import Publisher
from separator.storage import Storage
from tests.helpers.rows import ASSET

RATE_HZ = 8_000
TRACK = {"rate_hz": RATE_HZ, "num_channels": 2, "layout": "stereo", "language": "en"}


@pytest.fixture
def publisher(tmp_path) -> Publisher:
    return Publisher(Storage(), Layout(str(tmp_path), "flac"), EncodeSettings(), "now")


def make_part(samples_CT, number=0, is_last=True, query="a", kind="stem", asset=ASSET):
    span = extract.make_row(asset, num_tracks=1)  # pyright: ignore[reportArgumentType]
    span["track_index"], span["track"] = 0, json.dumps(TRACK)
    span["number"], span["is_last"] = number, is_last
    product = Product(kind, query, samples_CT, similarity=0.25)
    return separate.make_row(span, product, energy_in=1.0)


def make_noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((2, 30_000))).astype(np.float32)


def publish_parts(
    publisher, ledger, samples_CT, query="a", kind="stem", asset=ASSET
) -> tuple[DoneRow, list | None]:
    pieces = np.split(samples_CT, [9_000, 21_000], axis=1)
    for number, piece_CT in enumerate(pieces):
        done = publisher.publish(make_part(piece_CT, number, number == 2, query, kind, asset))
        whole, _ = ledger.add(done)
    assert whole is not None
    done = publisher.assemble(whole)
    return done, ledger.add(done)[1]


def test_by_parts_or_in_one_piece_the_same(publisher, tmp_path):
    samples_CT = make_noise()
    one = publisher.publish(make_part(samples_CT))
    data = (tmp_path / "stems/x.mp4/track-0/a.flac").read_bytes()
    other, _ = publish_parts(publisher, Ledger({}), samples_CT)
    assert (tmp_path / "stems/x.mp4/track-0/a.flac").read_bytes() == data
    assert {key for key in one if one[key] != other[key]} <= {"publish_s", "number", "energy_in"}
    stem, rate_hz = soundfile.read(one["stem_uri"], dtype="float32")
    assert rate_hz == RATE_HZ and np.abs(stem.T - samples_CT).max() <= 2**-23
    meter = Meter(AudioFormat(RATE_HZ, 2, "stereo"))
    meter.add(samples_CT)
    assert one["loudness_lufs"] == meter.loudness_lufs() > -40
    assert one["true_peak_dbtp"] >= 20 * np.log10(one["peak"]) > -40


def test_a_part_that_comes_after_the_commit_is_not_written(publisher, tmp_path):
    """Ray repeats what a lost node had done, also where all of it was used already."""
    ledger, samples_CT, parts = (
        Ledger({"run_id": "now"}),
        make_noise(),
        tmp_path / "stems/x.mp4/.parts",
    )
    records = None
    for query in ("a", "b"):
        _, records = publish_parts(publisher, ledger, samples_CT, query)
    assert records is not None and parts.exists()
    storage, layout = publisher.storage, publisher.layout
    storage.write(layout.record("x.mp4"), pack_record(records))
    storage.clear(layout.parts("x.mp4"))
    assert len(read_record(storage, layout.record("x.mp4"))) == 2
    late = publisher.publish(make_part(samples_CT[:, :9_000], 0, is_last=False))
    assert not late["error_code"] and not parts.exists()
    assert ledger.add(late) == (None, None)


def test_what_an_earlier_run_committed_is_done_again_parts_and_all(publisher, tmp_path):
    """Of an asset that failed on another track, say: all of its tracks are asked for again."""
    samples_CT = make_noise()
    earlier = publish_parts(publisher, Ledger({"run_id": "before"}), samples_CT, "a")
    earlier_b = [publisher.publish(make_part(samples_CT, query="b"))]
    ledger = Ledger({"run_id": "before"})
    ledger.add(earlier[0])
    _, records = ledger.add(earlier_b[0])
    assert records is not None and {record["status"] for record in records} == {"ok"}
    storage, layout = publisher.storage, publisher.layout
    storage.write(layout.record("x.mp4"), pack_record(records))
    storage.clear(layout.parts("x.mp4"))
    again, _ = publish_parts(publisher, Ledger({"run_id": "now"}), samples_CT, "a")
    assert not again["error_code"], again["error_detail"]


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_mix_is_brought_to_its_loudness(publisher, in_parts):
    """Measured over the whole, scaled once; as far as the true peak allows."""
    mix = {"kind": "rendition", "name": "m", "text": "a mix", "request": "3" * 32, "warning": ""}
    asset = ASSET | {"queries": json.dumps([mix])}
    quiet = (0.02 * np.random.default_rng(1).standard_normal((2, 30_000))).astype(np.float32)
    peaky = quiet.copy()
    peaky[0, 15_000] = 0.5
    for samples_CT, is_limited in ((quiet, False), (peaky, True)):
        rendition = Rendition("m", loudness_lufs=-23.0, true_peak_dbtp=-3.0)
        ready = replace(publisher, renditions=(rendition,))
        ledger = Ledger({})
        if in_parts:
            done, records = publish_parts(ready, ledger, samples_CT, "m", "rendition", asset)
        else:
            done = ready.publish(make_part(samples_CT, 0, True, "m", "rendition", asset))
            records = ledger.add(done)[1]
        assert records is not None
        written, _ = soundfile.read(done["stem_uri"], dtype="float32")
        assert done["stem_uri"].endswith("/x.mp4/track-0/rendition/m.flac")
        meter = Meter(AudioFormat(RATE_HZ, 2, "stereo"))
        meter.add(written.T)
        assert meter.loudness_lufs() == pytest.approx(records[0]["loudness_lufs"], abs=0.01)
        if is_limited:
            assert records[0]["true_peak_dbtp"] == pytest.approx(-3.0, abs=0.05)
            assert records[0]["loudness_lufs"] < -23.5
        else:
            assert records[0]["loudness_lufs"] == pytest.approx(-23.0, abs=0.05)
            assert records[0]["true_peak_dbtp"] < -3.0
