"""The job with queries by example sounds: the bundled model, and zero-shot separators."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separator import load_model
from separator.model.checkpoint import write_safetensors
from separator.model.zero_shot_files import pack_detector
from tests.helpers import golden_zs, media_files
from tests.helpers.job import check_whole, run_job, write_config, write_sound

pytestmark = pytest.mark.slow


@pytest.fixture
def kit(tmp_path) -> Path:
    """A library of one asset of several spans, and two example sounds beside a text file."""
    write_sound(tmp_path / "library/talk.wav", ("man", "siren"), 12, 1)
    (tmp_path / "alarm").mkdir()
    for name, seed in (("a.ogg", 21), ("b.mp3", 22)):
        write_sound(tmp_path / "x.wav", ("siren",), 3, seed)
        sound_T, rate_hz = soundfile.read(tmp_path / "x.wav")
        media_files.write(tmp_path / "alarm" / name, sound_T[None], rate_hz=rate_hz)
    (tmp_path / "alarm/notes.txt").write_text("two alarms")
    return tmp_path


def check_stem(kit: Path, stem_uri: str, model, audio: str) -> None:
    """The stem is that of `load_model` with the same examples."""
    samples_T, rate_hz = soundfile.read(kit / "library/talk.wav", dtype="float32")
    queries = [{"name": "alarm", "audio": audio}]
    (wanted_CT,) = model.separate(samples_T[None], rate_hz, queries=queries)
    stem_T, _ = soundfile.read(stem_uri, dtype="float32")
    np.testing.assert_allclose(stem_T, wanted_CT[0], atol=2e-6)
    assert np.abs(stem_T).max() > 1e-3


def test_example_sounds_on_s3_are_told_and_their_change_makes_stems_again(moto_bucket, kit):
    folder = f"{moto_bucket.uri}/queries/alarm/"
    for path in (kit / "alarm").iterdir():
        moto_bucket.storage.upload(path, f"{folder}{path.name}")
    queries = f"[{{name: alarm, audio: '{folder}'}}, rain]"
    config = write_config(kit / "c.yaml", str(kit / "library"), str(kit / "out"), queries)
    settings = [f"storage.endpoint_url={moto_bucket.settings.endpoint_url}"]
    said = run_job(
        config, *settings, f"queries=[{{name: alarm, audio: {kit / 'gone.wav'}}}]", code=2
    )
    assert "query 'alarm': " in said and "gone.wav" in said and not (kit / "out").exists()
    run_job(config, *settings)
    before = check_whole(kit / "out").set_index("query_name")
    assert list(before.query_kind) == ["audio", "text"] and list(before.query_text) == ["", "rain"]
    assert json.loads(before.query_source["alarm"]) == [folder] and not before.query_source["rain"]
    storage = moto_bucket.storage
    model = load_model("mini", device="cpu", precision="fp32", storage=storage)
    check_stem(kit, before.stem_uri["alarm"], model, folder)
    assert before.similarity.notna().all()
    assert "nothing to do" in run_job(config, *settings)
    moto_bucket.storage.upload(kit / "alarm/a.ogg", folder + "b.mp3")
    run_job(config, *settings)
    after = check_whole(kit / "out").set_index("query_name")
    assert after.request["alarm"] != before.request["alarm"]
    assert after.run_id["alarm"] != before.run_id["alarm"]
    rows = [each.loc["rain"].drop("presence").dropna() for each in (after, before)]
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize("name", ["own", "zeroshot-asp"])
def test_zero_shot_separators_run_in_the_job(kit, name, monkeypatch):
    """A file of our own with exact windows; the official files, by name, in pieces."""
    monkeypatch.setenv("SEPARATOR_HOME", str(kit / "home"))
    (kit / "home").mkdir()
    net, detector = golden_zs.make_small_unet(), golden_zs.make_small_detector(num_classes=3)
    if name == "own":
        name, context = str(kit / "own.safetensors"), "exact"
        write_safetensors(net, Path(name), None, encoder=pack_detector(detector, ["a", "b", "c"]))
    else:
        context = "pieces"
        golden_zs.write_official(kit / "home/zeroshot_asp_full.ckpt", net.state_dict())
        golden_zs.write_detector(kit / "home/htsat_audioset_2048d.ckpt", detector)
    queries = f"[{{name: alarm, audio: '{kit / 'alarm'}'}}]"
    config = write_config(kit / "c.yaml", str(kit / "library"), str(kit / "out"), queries)
    settings = [f"model.name={name}", f"model.context={context}"]
    run_job(config, *settings)
    (row,) = check_whole(kit / "out").itertuples()
    model = load_model(name, device="cpu", precision="fp32", context=context)
    assert row.checkpoint_sha256 == model.checkpoint_sha256
    check_stem(kit, row.stem_uri, model, str(kit / "alarm"))
