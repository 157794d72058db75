"""Train a tiny separator with CLIP, on captions and on images, beside the user's own copy of CLIP.

CLIP has random weights; images are of one colour for each kind of sound.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from separator.config_file import read_settings
from separator.storage import Storage
from separator.train.by_text import ByText
from separator.train.loop import make_state, run_steps
from separator.train.recipe import TrainSettings
from separator.train.start import check_start, load_start
from tests.helpers.tiny_clip import write_openai
from tests.helpers.training import CONFIG, write_rows

COLOURS = {"hum": (200, 0, 0), "hiss": (0, 200, 0), "beep": (0, 0, 200)}
# Captions that a CLIP of random weights tells apart: their cosines are below 0.4.
CAPTIONS = {"hum": "a low hum", "hiss": "hiss", "beep": "a beeping tone"}
SMALL = ["net.widths=[8,8,8,8,8,8]", "net.n_fft=256", "net.hop=128", "data.segment_s=0.4",
         "data.real_ratio=-1", "data.absent_ratio=0", "data.third_ratio=0", "optim.batch=6",
         "optim.autocast=false", "optim.rate=1e-2", "optim.warmup_steps=5"]  # fmt: skip
BOTH = ["optim.num_steps=240", "optim.use_text_ratio=0.5", "optim.use_image=true", "clip_raw=true"]


def write_illustrated_list(folder: Path, sounds_list: Path) -> Path:
    """Write the list of sounds with an image for each, and CLIP where SEPARATOR_HOME is `home`."""
    write_openai(folder / "home")
    rows = [json.loads(line) for line in sounds_list.read_text().splitlines()]
    for row in rows:
        row["audio"] = str(sounds_list.parent / row["audio"])
        row["image"] = f"{row['kind']}.png"
        row["captions"] = [CAPTIONS[row["kind"]]]
    for kind in COLOURS:
        Image.fromarray(make_image(kind)).save(folder / f"{kind}.png")
    return write_rows(folder / "list.jsonl", rows)


def make_image(kind: str) -> np.ndarray:
    pixels = np.full((40, 40, 3), COLOURS[kind], np.uint8)
    pixels[:, :20] //= 2
    return pixels


def read_training(sounds: Path, *more: str) -> TrainSettings:
    words = [f"data.lists=[{sounds}]", f"output={sounds.parent}", "encoder=clip", *SMALL, *more]
    return read_settings(TrainSettings, CONFIG, words)


def train_with_clip(sounds: Path, path: Path) -> set[str]:
    """Train on captions and images by halves and write the model; return the images seen."""
    settings = check_start(read_training(sounds, *BOTH))
    net, task = load_start(settings, Storage())
    assert isinstance(task, ByText)

    def iterate():
        for step in range(settings.optim.num_steps):
            numbers = range(6 * step, 6 * step + 6)
            yield task.make_tensors(task.examples.make_batch(numbers), step)

    state = make_state(net, net, settings.optim)
    rescue_path = path.with_suffix(".rescue")
    list(run_steps(state, iterate(), settings.optim, task.measure, (0, 0), rescue_path))
    task.export(state.export(), path)
    return set(task.seen)
