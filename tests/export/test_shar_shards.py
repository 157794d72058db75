"""Lhotse Shar: Lhotse opens what was exported, as a trainer of separators does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from lhotse import CutSet

from separator.errors import OutputDamaged
from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.export_library import (
    RATE_HZ,
    export,
    make_records,
    write_manifest,
    write_output,
)

SHAR = "output.format=lhotse_shar"


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Load the cuts of each split, by their ids."""
    return {
        path.name: {cut.id: cut for cut in CutSet.from_shar(in_dir=path)}
        for path in sorted((folder / "data").iterdir())
    }


def load_all(folder: Path) -> dict[str, Any]:
    return {key: cut for cuts in load(folder).values() for key, cut in cuts.items()}


def read_wanted(output: Path) -> dict[str, Any]:
    rows = pd.read_parquet(output / "manifest")
    rows = rows[(rows.status == "ok") & (rows.kind == "stem")]
    return {row.fingerprint: row for row in rows.itertuples()}


def test_lhotse_loads_mixtures_and_stems(own_output, tmp_path):
    given = [SHAR, "output.residual=true", "split.valid=0.3", "output.shard_mb=0.03"]
    export(own_output, tmp_path / "set", *given)
    splits, wanted = load(tmp_path / "set"), read_wanted(own_output)
    assert set(splits) == {"train", "valid"}
    assert len(list((tmp_path / "set/data/train").glob("cuts.*"))) > 1
    assert sum(map(len, splits.values())) == len(wanted) == 18
    for cut in load_all(tmp_path / "set").values():
        row = wanted[cut.id]
        stem_T, rate_hz = soundfile.read(row.stem_uri, dtype="int32")
        residual_T, _ = soundfile.read(row.residual_uri, dtype="int32")
        assert cut.sampling_rate == rate_hz and cut.num_samples == len(stem_T)
        target_CT, mixture_CT = cut.load_target_audio(), cut.load_audio()
        np.testing.assert_array_equal(target_CT[0], (stem_T / 2**31).astype(np.float32))
        total_T = (stem_T.astype(np.int64) + residual_T) / 2**31
        np.testing.assert_array_equal(mixture_CT[0], total_T.astype(np.float32))
        # The stem lies in the tar as it was stored.
        assert cut.target_audio.sources[0].source == Path(row.stem_uri).read_bytes()


def test_lhotse_finds_queries_stretches_and_columns(own_output, tmp_path):
    export(own_output, tmp_path / "set", SHAR, "split.valid=0", "output.licence=licence")
    wanted = read_wanted(own_output)
    for cut in load_all(tmp_path / "set").values():
        row = wanted[cut.id]
        found = [(each.start, each.end, each.custom["score"]) for each in cut.supervisions]
        stretches = [(each["start_s"], each["stop_s"], each["score"]) for each in row.presence]
        assert found == [pytest.approx(each) for each in stretches]
        for each in cut.supervisions:
            assert (each.text, each.custom["label"]) == (row.query_text, row.query_name)
        assert cut.asset_uri == row.asset_uri and cut.energy_share == pytest.approx(
            row.energy_share
        )
        assert cut.licence == (json.loads(row.carried)["licence"] or "")
        assert cut.load_audio().shape == (1, RATE_HZ // 4) and not cut.has_custom("target_audio")


def test_cut_by_presence_puts_the_stretch_into_its_own_time(own_output, tmp_path):
    given = [SHAR, "input.cut=presence", "input.pad_s=0.02", "split.valid=0"]
    export(own_output, tmp_path / "set", *given, "output.residual=true")
    cuts, wanted = load_all(tmp_path / "set"), read_wanted(own_output)
    assert len(cuts) == sum(len(row.presence) for row in wanted.values()) > 10
    for key, cut in cuts.items():
        row = wanted[key.rpartition("-")[0]]
        stretch = row.presence[int(key.rpartition("-")[2]) - 1]
        start_s = max(0.0, stretch["start_s"] - 0.02)
        assert cut.cut_start_s == pytest.approx(start_s)
        first = cut.supervisions[0]
        assert first.start == pytest.approx(stretch["start_s"] - start_s, abs=1e-6)
        assert first.duration == pytest.approx(0.05, abs=1e-6)
        stem_T, _ = soundfile.read(row.stem_uri, dtype="float32")
        begin = round(start_s * RATE_HZ)
        target_CT = cut.load_target_audio()
        np.testing.assert_array_equal(target_CT[0], stem_T[begin : begin + target_CT.shape[1]])


def test_stem_of_two_channels_that_nothing_listened_to(tmp_path):
    output = tmp_path / "out"
    (record,) = (row for row in make_records(str(output), 1) if row["query_name"] == "a")
    record |= {"presence": None, "num_channels": 2, "query_text": ""}
    record["stem_uri"] = Layout(str(output), "wav").stem("x0.wav", 0, "stem", "a")
    samples_TC = np.random.default_rng(1).uniform(-1, 1, (RATE_HZ // 4, 2)).astype(np.float32)
    Path(record["stem_uri"]).parent.mkdir(parents=True)
    soundfile.write(record["stem_uri"], samples_TC, RATE_HZ, subtype="FLOAT")
    write_manifest(Storage(), str(output), [record])
    export(output, tmp_path / "set", SHAR, "split.valid=0")
    (cut,) = load_all(tmp_path / "set").values()
    np.testing.assert_array_equal(cut.load_audio(), samples_TC.T)
    (whole,) = cut.supervisions
    assert (whole.start, whole.duration, whole.text) == (0, cut.duration, "a")
    assert whole.channel == [0, 1] and whole.custom["score"] is None


def test_lhotse_reads_shards_from_s3(moto_bucket, tmp_path, monkeypatch):
    storage, root = moto_bucket.storage, moto_bucket.uri
    records = write_output(storage, f"{root}/out", num_assets=4)
    export(f"{root}/out", f"{root}/set", SHAR, "split.valid=0", storage=storage)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_bucket.settings.endpoint_url)
    names = {"cuts": "cuts.000000.jsonl.gz", "recording": "recording.000000.tar"}
    fields = {name: [f"{root}/set/data/train/{file}"] for name, file in names.items()}
    cuts = {cut.id: cut for cut in CutSet.from_shar(fields=fields)}
    wanted = [row for row in records if row["kind"] == "stem"]
    assert len(cuts) == len(wanted) == 8
    for row in wanted:
        (path := tmp_path / "stem.flac").write_bytes(storage.read(row["stem_uri"]))
        stem_T, _ = soundfile.read(path, dtype="float32")
        np.testing.assert_array_equal(cuts[row["fingerprint"]].load_audio()[0], stem_T)


def test_missing_residual_leaves_its_stem_out_alone(own_output, tmp_path):
    wanted = list(read_wanted(own_output).values())
    Path(wanted[0].residual_uri).unlink()
    given = [SHAR, "output.residual=true", "split.valid=0"]
    (contents,) = export(own_output, tmp_path / "set", *given)
    assert contents.missing == [wanted[0].residual_uri]
    assert set(load_all(tmp_path / "set")) == {row.fingerprint for row in wanted[1:]}


def test_stem_whose_mixture_would_clip_is_left_out_and_named(own_output, tmp_path):
    wanted = list(read_wanted(own_output).values())
    for uri in (wanted[0].stem_uri, wanted[0].residual_uri):
        num_samples = soundfile.info(uri).frames
        soundfile.write(uri, np.full(num_samples, 0.7), RATE_HZ)
    (contents,) = export(
        own_output, tmp_path / "set", SHAR, "output.residual=true", "split.valid=0"
    )
    assert contents.too_loud == [wanted[0].stem_uri] and contents.is_whole
    assert set(load_all(tmp_path / "set")) == {row.fingerprint for row in wanted[1:]}


def test_residual_of_another_length_is_a_damaged_output(own_output, tmp_path):
    row = next(iter(read_wanted(own_output).values()))
    soundfile.write(row.residual_uri, np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(OutputDamaged, match=r"residual/.*flac: is not as long as its stem"):
        export(own_output, tmp_path / "set", SHAR, "output.residual=true")
