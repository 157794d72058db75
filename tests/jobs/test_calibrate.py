"""Test `separator calibrate` on what torch saved, as the official checkpoints are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.calibrate import add_line
from separator.detect.curves import Calibration
from separator.encoders.lookup import load_audio_encoder, read_calibration
from separator.model.checkpoint import compute_encoder_id
from separator.model.registry import BUNDLED
from separator.model.zero_shot_files import read_separator
from tests.helpers.golden import make_small_net
from tests.helpers.tiny_clap import RATE_HZ, make_noise

LINE = Calibration(12.5, -3.25)


@pytest.fixture
def saved(tmp_path: Path, clap_state: dict[str, Tensor]) -> Path:
    """Write a checkpoint as the training of AudioSep does."""
    state = {f"ss_model.{name}": t for name, t in make_small_net().state_dict().items()}
    state |= {f"query_encoder.model.{name}": t for name, t in clap_state.items()}
    torch.save({"state_dict": state, "optimizer_states": []}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_what_torch_saved_is_read_back_whole_with_its_line(saved, clap_state, tmp_path):
    before, out = read_separator(saved), tmp_path / "b.safetensors"
    add_line(saved, out, before.sha256, LINE)
    after = read_separator(out)
    assert read_calibration(out) == LINE and read_calibration(saved) is None
    assert after.sha256 == before.sha256 and after.net.config == before.net.config
    assert after.encoder_id == before.encoder_id == compute_encoder_id(clap_state)
    own, copy = (load_audio_encoder(path, after.encoder_id) for path in (saved, out))
    noise_1T = make_noise(1)
    np.testing.assert_array_equal(
        own.encode_audio(noise_1T, RATE_HZ), copy.encode_audio(noise_1T, RATE_HZ)
    )


def test_another_line_takes_the_place_of_the_one_before(tmp_path):
    before, out = read_separator(BUNDLED), tmp_path / "b.safetensors"
    assert read_calibration(BUNDLED) not in (None, LINE)
    add_line(BUNDLED, out, before.sha256, LINE)
    assert read_calibration(out) == LINE
    assert read_separator(out).encoder_id == before.encoder_id
