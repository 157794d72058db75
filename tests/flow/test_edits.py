"""Residuals and mixes in the files that come out, of tracks of every kind; the job with both."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator.audio.format import AudioFormat
from separator.audio.renditions import Edits, Rendition
from separator.media.encode import encode
from separator.media.encode_settings import EncodeSettings
from separator.results.paths import Layout
from separator.stages.publish import Publisher
from separator.stages.separate import SeparatorStage
from separator.storage import Storage
from tests.helpers.job import RATE_HZ, check_whole, read_tree, run_job, write_config
from tests.helpers.stages import GRID_S, make_stage, run_stages

OVERRIDES = ["output.residual=per_query", "output.remux=replace"]
RENDITIONS = (
    "output.renditions=[{name: quiet, gains_db: {siren: -inf}},"
    "{name: only, gains_db: {siren: 0}, rest_db: -inf, loudness_lufs: -30}]"
)
LAYOUTS = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1"}


def make_track(path: Path, seed: int) -> dict:
    """A random file: what it is made of, as keyword arguments."""
    rng = np.random.default_rng(seed)
    rate_hz = int(rng.choice([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]))
    num_channels = int(rng.choice([1, 2, 2, 4, 6]))
    kind = str(rng.choice(["s16", "s24", "f32"]))
    level = float(rng.choice([0.001, 0.1, 0.3, 1.0, 4.0]))
    num_samples = int(rng.integers(200, 30_000))
    time_s = np.arange(num_samples) / rate_hz
    tones = np.sin(2 * np.pi * rng.uniform(50, 3_000, (num_channels, 1)) * time_s)
    noise = rng.standard_normal((num_channels, num_samples)) * rng.uniform(0, 1)
    samples_CT = (level * (tones + noise) / 2).astype(np.float32)
    depth = {"s16": 16, "s24": 24, "f32": 32}[kind]
    form = "wav" if kind == "f32" or rng.random() < 0.5 else "flac"
    path = path / f"{seed}.{form}"
    settings = EncodeSettings(form, depth)
    layout = LAYOUTS[num_channels]
    encode([samples_CT], path, AudioFormat(rate_hz, num_channels, layout), settings=settings)
    return {"path": path, "kind": kind, "level": level, "rate_hz": rate_hz}


def read_integers(path: str | Path, bits: int) -> np.ndarray:
    """Of a file as it stands, by libsndfile; floats as they are rounded."""
    if soundfile.info(str(path)).subtype == "FLOAT":
        samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
        return np.rint(samples * np.float32(2 ** (bits - 1))).astype(np.int64)
    whole = soundfile.read(path, dtype="int32", always_2d=True)[0].astype(np.int64)
    # 24 bits into 16: rounded, ties to even, as the stems are.
    return np.rint(whole / 2 ** (32 - bits)).astype(np.int64)


@pytest.fixture(scope="module")
def stage() -> SeparatorStage:
    return make_stage()


@pytest.mark.parametrize("seed", range(40))
def test_stem_and_residual_add_up_to_the_track(stage, seed, tmp_path):
    """Random files: no sample differs, or by no more than the record says."""
    residual = "joint" if seed % 2 else "per_query"
    track = make_track(tmp_path, seed)
    bits = 16 if seed % 4 == 0 else 24
    edits = Edits(residual, bits)
    form = EncodeSettings("flac" if seed % 3 else "wav", bits)
    publisher = Publisher(Storage(), Layout(str(tmp_path / "out"), form.format), form, "r")
    records = run_stages(track["path"], stage, publisher, edits)
    assert {r["status"] for r in records} == {"ok"}
    whole_TC = read_integers(track["path"], bits)
    stems = [read_integers(r["stem_uri"], bits) for r in records]
    rests = [read_integers(r["residual_uri"], bits) for r in records]
    if residual == "joint":
        assert records[0]["residual_uri"] == records[1]["residual_uri"]
        stems, rests = [stems[0] + stems[1]], rests[:1]
    for record, stem_TC, rest_TC in zip(records, stems, rests, strict=False):
        off = np.abs(stem_TC + rest_TC - whole_TC).max()
        assert off / 2 ** (bits - 1) == pytest.approx(record["null_error"], abs=1e-12)
        if track["level"] < 0.3:  # louder ones may leave more than fits
            assert record["null_error"] == 0
    assert any(np.abs(stem_TC).max() > 0 for stem_TC in stems)


def test_residuals_and_renditions_do_not_depend_on_spans(stage, tmp_path):
    """Residuals and mixes of one span and of many are the same files."""
    rng = np.random.default_rng(3)
    path = tmp_path / "x.wav"
    samples_CT = (0.1 * rng.standard_normal((2, 40_000))).astype(np.float32)
    encode([samples_CT], path, AudioFormat(8_000, 2), settings=EncodeSettings("wav", 16))
    mix = Rendition("m", {"a": 0.0, "b": 2.0}, 0.5, ((1.0, 3.0),), 0.2, -20.0)
    edits, trees = Edits("per_query", 24, (mix,)), []
    for span_s in (100, 4 * float(GRID_S)):
        out = tmp_path / f"{span_s}"
        publisher = Publisher(
            Storage(), Layout(str(out), "flac"), EncodeSettings(), "r", edits.renditions
        )
        records = run_stages(path, stage, publisher, edits, span_s)
        assert [r["kind"] for r in records] == ["stem", "stem", "rendition"]
        names = sorted(p for p in out.rglob("*.flac") if ".parts" not in p.parts)
        assert len(names) == 5
        trees.append({str(p.relative_to(out)): soundfile.read(p, dtype="int32")[0] for p in names})
    assert trees[0].keys() == trees[1].keys()
    for name, samples in trees[0].items():
        # The network's own results agree to 1e-5 of full scale.
        assert np.abs(samples.astype(np.int64) - trees[1][name]).max() < 2e-5 * 2**31, name


@pytest.mark.slow
@pytest.mark.check
def test_run_writes_residuals_renditions_and_remuxed_files(library, tmp_path):
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    assert "6   renditions 6" in run_job(config, *OVERRIDES, RENDITIONS, code=3)
    manifest = check_whole(out)
    ok = manifest[manifest.status == "ok"].set_index(["asset_uri", "query_name"])
    assert (manifest.groupby("kind").size() == [10, 10]).all()
    assert (ok[ok.kind == "stem"].null_error == 0).all() and len(ok) == 12
    stems = ok[ok.kind == "stem"]
    assert stems.similarity.between(-1, 1).all() and stems.residual_similarity.between(-1, 1).all()
    assert ok[ok.kind == "rendition"].similarity.isna().all()
    heard = stems.loc[f"{library}/talk.wav"]
    assert (heard.similarity > heard.residual_similarity).all()
    for name in ("talk.wav", "long.flac"):
        rows = ok.loc[f"{library}/{name}"]
        track = read_integers(f"{library}/{name}", 24)
        for query in ("a-person-speaking", "siren"):
            total = sum(
                read_integers(rows.loc[query, key], 24) for key in ("stem_uri", "residual_uri")
            )
            assert np.array_equal(total, track)
        # Without the siren, the mix is its residual; alone, the siren at another level.
        quiet = read_integers(rows.loc["quiet", "stem_uri"], 24)
        assert np.abs(quiet - read_integers(rows.loc["siren", "residual_uri"], 24)).max() <= 1
        only, siren = (read_integers(rows.loc[n, "stem_uri"], 24) for n in ("only", "siren"))
        assert rows.loc["only", "loudness_lufs"] == pytest.approx(-30, abs=0.1)
        film, track_hz = soundfile.read(rows.loc["quiet", "remux_uri"], always_2d=True)
        assert np.abs(film - quiet / 2**23).max() <= 2**-16 and track_hz == RATE_HZ
        gain = np.vdot(only, siren) / np.vdot(siren, siren)
        assert np.abs(only - gain * siren).max() < 2


@pytest.mark.slow
def test_run_with_a_changed_rendition_makes_it_and_its_stem_only(library, tmp_path):
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    run_job(config, *OVERRIDES, RENDITIONS, code=3)
    before = read_tree(out)
    run_job(config, *OVERRIDES, RENDITIONS.replace("-30", "-31"), code=3)
    changed = {name for name, data in read_tree(out).items() if before.get(name) != data}
    # The siren was made again: alone, so that it may differ in the last bits.
    changed = {Path(name).name for name in changed}
    made = {"only.flac", "only.wav", "record.json"}
    assert made <= changed <= made | {"siren.flac"}
    check_whole(out)
