"""The job with queries by text, image and a moment of a video, for a model trained with CLIP."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from separator import load_model
from tests.helpers.clip_training import make_image, train_with_clip, write_illustrated_list
from tests.helpers.job import check_whole, read_tree, run_job, write_config
from tests.helpers.media_files import start
from tests.helpers.training import RATE_HZ, make_kind, write_sounds_list

pytestmark = pytest.mark.slow

SECONDS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a trained model, its CLIP in `home`, and an image of each kind of sound."""
    folder = tmp_path_factory.mktemp("clip")
    sounds = write_illustrated_list(folder, write_sounds_list(tmp_path_factory.mktemp("sounds")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPARATOR_HOME", str(folder / "home"))
        train_with_clip(sounds, folder / "model.safetensors")
    return folder


@pytest.fixture
def kit(trained, tmp_path, monkeypatch) -> Path:
    """A library of one asset, an image, and a video that shows something else before 2 s."""
    monkeypatch.setenv("SEPARATOR_HOME", str(trained / "home"))
    (tmp_path / "library").mkdir()
    low, high = (make_kind(kind, 77, SECONDS * RATE_HZ) for kind in ("hum", "beep"))
    soundfile.write(tmp_path / "library/both.wav", low + high, RATE_HZ, "FLOAT")
    Image.fromarray(make_image("hum")).save(tmp_path / "hum.jpg", quality=95)
    shown = [
        word
        for kind in ("hum", "beep")
        for word in ("-loop", "1", "-t", "2", "-i", trained / f"{kind}.png")
    ]
    start(*shown, "-filter_complex", "concat=n=2", "-r", "10", "-pix_fmt", "yuv420p",
          tmp_path / "film.mp4")  # fmt: skip
    return tmp_path


def list_queries(kit: Path, at_s: float = 3) -> list[dict]:
    return [
        {"name": "words", "text": "a low hum"},
        {"name": "picture", "image": str(kit / "hum.jpg")},
        {"name": "film", "video": str(kit / "film.mp4"), "at_s": at_s},
    ]


def run(kit: Path, trained: Path, *more: str, at_s: float = 3, code: int = 0) -> str:
    queries = json.dumps(list_queries(kit, at_s))
    config = write_config(kit / "c.yaml", str(kit / "library"), str(kit / "out"), queries)
    return run_job(config, f"model.name={trained / 'model.safetensors'}", *more, code=code)


def measure_gain_db(stem_T: np.ndarray, wanted_T: np.ndarray, other_T: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(other_T**2) / np.mean((stem_T - wanted_T) ** 2)))


def test_job_separates_by_text_by_image_and_by_a_moment_of_a_video(kit, trained):
    run(kit, trained)
    before = check_whole(kit / "out").set_index("query_name")
    assert before.query_kind.to_dict() == {"words": "text", "picture": "image", "film": "video"}
    assert json.loads(before.query_source["picture"]) == [str(kit / "hum.jpg")]
    assert json.loads(before.query_source["film"]) == [str(kit / "film.mp4")]
    assert list(before.status) == ["ok"] * 3 and before.query_text["picture"] == ""
    model = load_model(trained / "model.safetensors", device="cpu", precision="fp32")
    samples_T, _ = soundfile.read(kit / "library/both.wav", dtype="float32")
    stems = model.separate(samples_T[None], RATE_HZ, list_queries(kit))
    low, high = (make_kind(kind, 77, SECONDS * RATE_HZ) for kind in ("hum", "beep"))
    for query, stem_CT in zip(list_queries(kit), stems, strict=True):
        found_T, _ = soundfile.read(before.stem_uri[query["name"]], dtype="float32")
        np.testing.assert_allclose(found_T, stem_CT[0], atol=2e-6)
        wanted, other = (high, low) if query["name"] == "film" else (low, high)
        assert measure_gain_db(found_T, wanted, other) > 1, query

    tree = read_tree(kit / "out")
    assert "nothing to do" in run(kit, trained)
    assert read_tree(kit / "out") == tree

    Image.fromarray(make_image("beep")).save(kit / "hum.jpg", quality=95)
    run(kit, trained)
    after = check_whole(kit / "out").set_index("query_name")
    made_again = after.run_id != before.run_id
    assert made_again.to_dict() == {"words": False, "picture": True, "film": False}
    assert after.request["picture"] != before.request["picture"]
    found_T, _ = soundfile.read(after.stem_uri["picture"], dtype="float32")
    assert measure_gain_db(found_T, high, low) > 1

    run(kit, trained, at_s=1)
    moved = check_whole(kit / "out").set_index("query_name")
    assert (moved.run_id != after.run_id).to_dict() == {
        "words": False,
        "picture": False,
        "film": True,
    }
    found_T, _ = soundfile.read(moved.stem_uri["film"], dtype="float32")
    assert measure_gain_db(found_T, low, high) > 1


def test_job_names_an_image_that_cannot_be_read_and_writes_no_stem(kit, trained):
    (kit / "hum.jpg").write_bytes(b"\xff\xd8\xff no picture")
    said = run(kit, trained, code=2).splitlines()[-1]
    assert "query 'picture': " in said and "hum.jpg" in said
    assert not list((kit / "out").rglob("*.flac")) and not list((kit / "out").rglob("record.json"))
    (kit / "hum.jpg").unlink()
    said = run(kit, trained, code=2).splitlines()[-1]
    assert "query 'picture': " in said and "hum.jpg" in said
    Image.fromarray(make_image("hum")).save(kit / "hum.jpg")
    said = run(kit, trained, at_s=9, code=2).splitlines()[-1]
    assert "query 'film': " in said and "no frame at 9 s" in said
    run(kit, trained)
    assert len(check_whole(kit / "out")) == 3
