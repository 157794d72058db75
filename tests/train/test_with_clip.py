"""A tiny separator trained with CLIP, on captions and on images, separates by both."""

import json

import numpy as np
import pytest
from PIL import Image

from separator.api import load_model
from separator.config_file import read_settings
from separator.errors import RequestError
from separator.storage import Storage
from separator.train.by_text import ByText
from separator.train.loop import make_state, run_steps
from separator.train.recipe import TrainSettings
from separator.train.start import check_start, load_start
from tests.helpers.tiny_clip import write_openai
from tests.helpers.training import CONFIG, KINDS, RATE_HZ, make_kind, write_encoder, write_rows

COLOURS = {"hum": (200, 0, 0), "hiss": (0, 200, 0), "beep": (0, 0, 200)}
SMALL = ["net.widths=[8,8,8,8,8,8]", "net.n_fft=256", "net.hop=128", "data.segment_s=0.4",
         "data.real_ratio=-1", "data.absent_ratio=0", "data.third_ratio=0", "optim.batch=6",
         "optim.autocast=false", "optim.rate=1e-2", "optim.warmup_steps=5"]  # fmt: skip


@pytest.fixture
def sounds(sounds_list, tmp_path, monkeypatch):
    """The list of sounds with an image for each, beside the user's own copy of CLIP."""
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    write_openai(tmp_path / "home")
    rows = [json.loads(line) for line in sounds_list.read_text().splitlines()]
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
        row["image"] = f"{row['kind']}.png"
    for kind, colour in COLOURS.items():
        pixels = np.full((40, 40, 3), colour, np.uint8)
        pixels[:, :20] //= 2
        Image.fromarray(pixels).save(tmp_path / f"{kind}.png")
    return write_rows(tmp_path / "list.jsonl", rows)


def read(sounds, *more: str) -> TrainSettings:
    words = [f"data.lists=[{sounds}]", f"output={sounds.parent}", "encoder=clip", *SMALL, *more]
    return read_settings(TrainSettings, CONFIG, words)


@pytest.mark.slow
def test_model_trained_on_captions_and_images_separates_by_both(sounds, tmp_path):
    settings = check_start(
        read(
            sounds,
            "optim.num_steps=160",
            "optim.use_text_ratio=0.5",
            "optim.use_image=true",
            "clip_raw=true",
        )
    )
    net, task = load_start(settings, Storage())
    assert isinstance(task, ByText)

    def iterate():
        for step in range(settings.optim.num_steps):
            numbers = range(6 * step, 6 * step + 6)
            yield task.make_tensors(task.examples.make_batch(numbers), step)

    state = make_state(net, net, settings.optim)
    list(run_steps(state, iterate(), settings.optim, task.measure, tmp_path / "rescue.pt"))
    assert (
        set(task.seen) == {str(tmp_path / f"{kind}.png") for kind in KINDS} or len(task.seen) == 3
    )
    task.export(state.export(), tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors", device="cpu")
    assert (model.encoder_id or "").startswith("clip:")
    length = round(0.4 * RATE_HZ)
    low, high = (make_kind(kind, 77, length).astype(np.float32) for kind in ("hum", "beep"))
    for query in ("a low hum", {"name": "hum", "image": str(tmp_path / "hum.png")}):
        stem = model.separate((low + high)[None], RATE_HZ, [query])[0, 0]
        gain_db = 10 * np.log10(np.mean(high**2) / np.mean((stem - low) ** 2))
        assert gain_db > 3, query


def test_what_clip_cannot_do_is_refused(sounds, tmp_path):
    with pytest.raises(RequestError, match="CLIP has no audio side for the rest"):
        check_start(read(sounds, "optim.use_text_ratio=0.5"))
    mini = write_encoder(tmp_path / "mini.safetensors")
    with pytest.raises(RequestError, match="only encoder=clip takes images"):
        check_start(read(sounds, f"encoder={mini}", "optim.use_image=true"))
