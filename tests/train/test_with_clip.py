"""A tiny separator trained with CLIP, on captions and on images, separates by both."""

import numpy as np
import pytest
import torch

from separator.api import load_model
from separator.errors import RequestError
from separator.storage import Storage
from separator.train.by_text import ByText
from separator.train.start import check_start, load_start
from tests.helpers.clip_training import (
    CAPTIONS,
    read_training,
    train_with_clip,
    write_illustrated_list,
)
from tests.helpers.training import KINDS, RATE_HZ, make_kind, write_encoder


@pytest.fixture
def sounds(sounds_list, tmp_path, monkeypatch):
    """The list of sounds with an image for each, beside the user's own copy of CLIP."""
    monkeypatch.setenv("SEPARATOR_HOME", str(tmp_path / "home"))
    return write_illustrated_list(tmp_path, sounds_list)


@pytest.mark.slow
def test_model_trained_on_captions_and_images_separates_by_both(sounds, tmp_path):
    seen = train_with_clip(sounds, tmp_path / "model.safetensors")
    assert seen == {str(tmp_path / f"{kind}.png") for kind in KINDS}
    model = load_model(tmp_path / "model.safetensors", device="cpu")
    assert (model.encoder_id or "").startswith("clip:")
    length = round(0.4 * RATE_HZ)
    sounds_T = {kind: make_kind(kind, 77, length).astype(np.float32) for kind in ("hum", "beep")}
    mixture_T = sounds_T["hum"] + sounds_T["beep"]
    # By how much less of the other sound is left; a model that ignores its query gains nothing for
    # one of the two.
    for kind, least_db in (("hum", 6), ("beep", 1.5)):
        wanted_T = sounds_T[kind]
        for query in (CAPTIONS[kind], {"name": kind, "image": str(tmp_path / f"{kind}.png")}):
            stem_T = model.separate(mixture_T[None], RATE_HZ, [query])[0, 0]
            left = np.mean((stem_T - wanted_T) ** 2)
            gain_db = 10 * np.log10(np.mean((mixture_T - wanted_T) ** 2) / left)
            assert gain_db > least_db, query


def test_what_clip_cannot_do_is_refused(sounds, tmp_path):
    with pytest.raises(RequestError, match="CLIP has no audio side for the rest"):
        check_start(read_training(sounds, "optim.use_text_ratio=0.5"))
    mini = write_encoder(tmp_path / "mini.safetensors")
    with pytest.raises(RequestError, match="only encoder=clip takes images"):
        check_start(read_training(sounds, f"encoder={mini}", "optim.use_image=true"))


def test_images_that_cannot_be_read_leave_the_caption(sounds, tmp_path):
    """One broken image of a list does not end a training; a list of nothing else does."""
    (tmp_path / "hum.png").unlink()
    (tmp_path / "hiss.png").write_text("no image")
    asked = "optim.use_text_ratio=0", "optim.use_image=true", "clip_raw=true"
    _, task = load_start(check_start(read_training(sounds, *asked)), Storage())
    assert isinstance(task, ByText)
    batch = task.examples.make_batch(range(30))
    condition_BD = task.choose_conditions(batch, 0)
    for kind in ("hum", "hiss"):
        rows = np.flatnonzero(batch["image"] == str(tmp_path / f"{kind}.png"))
        text_D = task.text_QD[task.rows[CAPTIONS[kind]]]
        assert len(rows) and all(torch.equal(condition_BD[row], text_D) for row in rows)
    seen = [row for row, uri in enumerate(batch["image"]) if uri.endswith("beep.png")]
    assert task.num_skipped == 30 - len(seen)
    assert not torch.equal(condition_BD[seen[0]], task.text_QD[task.rows[CAPTIONS["beep"]]])
    gone = [str(tmp_path / f"gone-{number}.png") for number in range(60)]
    _, task = load_start(check_start(read_training(sounds, *asked)), Storage())
    with pytest.raises(RequestError, match="none of the first 50 images can be read"):
        list(map(task.see, gone))
