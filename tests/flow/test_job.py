"""The job end to end: real Ray, real ffmpeg, the bundled model, local files and S3."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from jobs.separate import main
from separator import load_model
from separator.config import read_config
from separator.run.prepare import load_flow, prepare_target, warn_of_queries
from separator.storage import Storage
from tests.helpers.job import (
    QUERIES,
    ROOT,
    check_whole,
    read_manifest,
    read_stems,
    read_tree,
    run_job,
    write_config,
    write_sound,
)

TEXTS = ["a person speaking", "an emergency siren"]


def copy(finished, tmp_path):
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path / "out"


def test_run_records_every_asset_and_query(library, finished):
    manifest = check_whole(finished / "out")
    assert len(manifest) == 10  # five media files, two queries; notes.txt is none
    failed = manifest[manifest.status == "failed"].set_index("asset_uri")
    assert set(failed.index) == {f"{library}/broken.mp4", f"{library}/cut.wav"}
    assert set(failed.error_code) == {"media_unreadable", "media_truncated"}
    assert (
        set(failed.error_stage) == {"extract"} and not failed.error_detail.str.contains("\n").any()
    )
    out = (finished / "console.txt").read_text()
    assert "failed 2" in out and "media_unreadable" in out
    (run,) = (finished / "out/runs").glob("*.json")
    content = json.loads(run.read_text())
    assert content["state"] == "finished" and content["totals"]["assets"] == 5


def test_stems_equal_those_of_load_model(library, finished):
    """Also where a stem was put together from the parts of three spans."""
    model = load_model("mini", device="cpu", precision="fp32")
    for name in ("talk.wav", "sub dir/rain ü.wav", "long.flac"):
        samples, rate_hz = soundfile.read(library / name, dtype="float32", always_2d=True)
        wanted = model.separate(np.ascontiguousarray(samples.T), rate_hz, TEXTS)
        for query, stem_CT in zip(("a-person-speaking", "siren"), wanted, strict=True):
            path = finished / "out/stems" / name / "track-0" / f"{query}.flac"
            found, found_hz = soundfile.read(path, dtype="float32", always_2d=True)
            assert found_hz == rate_hz and found.shape == samples.shape
            error = np.abs(found.T - np.clip(stem_CT, -1, 1)).max()
            assert error < 1e-5 + 2**-23


def test_manifest_columns_agree_with_the_files(finished):
    manifest = read_manifest(finished / "out")
    for row in manifest[manifest.status == "ok"].itertuples():
        stem, rate_hz = soundfile.read(row.stem_uri, always_2d=True)
        assert (row.num_samples, row.num_channels, row.rate_hz) == (*stem.shape, rate_hz)
        rms_db = 10 * np.log10(np.mean(stem**2))
        assert row.rms_db == pytest.approx(rms_db, abs=0.01)
        assert row.peak_db == pytest.approx(20 * np.log10(np.abs(stem).max()), abs=0.01)
        original, _ = soundfile.read(row.asset_uri, always_2d=True)
        share = np.sum(stem**2) / np.sum(original**2)
        assert row.energy_share == pytest.approx(share, rel=0.01)
        assert soundfile.info(row.stem_uri).extra_info is not None


def test_a_run_with_nothing_to_do_writes_its_run_file_only(library, finished, tmp_path):
    out = copy(finished, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    assert "failed before 2" in run_job(config, code=3)
    after = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    new = {path.parent.name for path in after.keys() - before.keys()}
    assert before.items() <= after.items() | {(out / "lock.json", before[out / "lock.json"])}
    assert new == {"runs"} and len(after) == len(before) + 1


def test_a_run_with_nothing_to_do_loads_neither_torch_nor_ray(library, finished, tmp_path):
    out = copy(finished, tmp_path)
    config = write_config(tmp_path / "c.yaml", str(library), str(out))
    code = (
        "import sys; from jobs.separate import main\n"
        f"assert main([{str(config)!r}]) == 3\n"
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.slow
@pytest.mark.check
def test_second_run_makes_new_queries_and_changed_assets_only(library, finished, tmp_path):
    """At once: a query more, an asset replaced, an asset that is no longer broken."""
    changed = tmp_path / "library"
    shutil.copytree(library, changed)
    out = tmp_path / "out"
    config = write_config(tmp_path / "c.yaml", str(changed), str(out))
    run_job(config, code=3)
    before = read_tree(out)
    write_sound(changed / "cut.wav", ("bird", "wind"), 2, 7)
    write_sound(changed / "talk.wav", ("man", "siren"), 2, 8)
    more = QUERIES[:-1] + ', "a bell ringing"]'
    write_config(tmp_path / "c.yaml", str(changed), str(out), more)
    run_job(config, code=3)
    after = read_tree(out)
    manifest = check_whole(out)
    assert len(manifest) == 15 and (manifest.status == "failed").sum() == 3
    for name, data in before.items():
        if name.endswith(".flac"):
            is_new = "talk.wav" in name
            assert (after[name] != data) == is_new, name
    assert soundfile.info(out / "stems/talk.wav/track-0/siren.flac").duration == 2


@pytest.mark.slow
@pytest.mark.check
def test_run_on_s3_gives_the_same_stems(
    library, finished, tmp_path, moto, moto_bucket, monkeypatch
):
    storage = moto_bucket.storage
    for path in sorted(p for p in library.rglob("*") if p.is_file()):
        storage.upload(path, f"{moto_bucket.uri}/in/{path.relative_to(library)}")
    root = f"{moto_bucket.uri}/out"
    config = write_config(tmp_path / "c.yaml", f"{moto_bucket.uri}/in", root)
    run_job(config, f"storage.endpoint_url={moto}", "storage.region=us-east-1", code=3)
    stems = {
        entry.uri.removeprefix(f"{root}/"): storage.read(entry.uri)
        for entry in storage.list(f"{root}/stems", ["*.flac"])
    }
    wanted = read_stems(finished / "out")
    assert stems.keys() == wanted.keys()
    for name, data in wanted.items():  # all but the tag that says where it came from
        (tmp_path / "one.flac").write_bytes(data)
        (tmp_path / "two.flac").write_bytes(stems[name])
        one, two = (soundfile.read(tmp_path / f"{n}.flac")[0] for n in ("one", "two"))
        np.testing.assert_array_equal(one, two)
    assert not list(storage.list(f"{root}/stems", ["**/.parts/**", ".*"]))


def test_unknown_words_are_a_warning_and_are_recorded(library, tmp_path, caplog):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    target = prepare_target(
        read_config(config, ["queries=[qwertz, siren, rain and a dog]"]), Storage()
    )
    work = load_flow(target, "r").target.work
    warn_of_queries(work)
    assert "'qwertz': the mini model knows none of its words" in caplog.text
    assert "'rain and a dog': names several sounds" in caplog.text
    assert list(work.warnings) == ["qwertz", "rain and a dog"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.devise=cpu", "devise"),
        ("run.span_s=0", "run.span_s=0"),
        ("queries=[]", "queries"),
        ("output.format=aiff", "output.format='aiff'"),
        ("input.uri=http://x/y", "input.uri"),
        ("model.name=minni", "did you mean 'mini'"),
        ("run.shard=3/2", "run.shard='3/2'"),
        ("tracks=loud", "tracks='loud'"),
        ("input.uri=/absent/folder", "input.uri: /absent/folder: no such file"),
        ("output.uri=${input.uri}/stems", "lies inside input.uri"),
    ],
)
def test_run_refuses_a_bad_request_in_one_line_and_writes_nothing(
    library, tmp_path, capsys, override, message
):
    config = write_config(tmp_path / "c.yaml", str(library), str(tmp_path / "out"))
    assert main([str(config), override]) == 2
    printed = capsys.readouterr()
    assert printed.out == "checking the library ...\n"
    assert message in printed.err and len(printed.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
