"""Training a detector that says when."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separator import load_detector
from separator.errors import CheckpointMismatch, RequestError
from separator.model.frame_detector import write_frame_detector
from separator.model.frame_net import NUM_MELS, RATE_HZ, ROW
from separator.storage import Storage
from separator.train.loop import make_state, run_steps
from separator.train.placed_sounds import PlacedSounds
from separator.train.recipe import DataSettings, DetectorSettings, OptimSettings, TrainSettings
from separator.train.sound_lists import Source, read_lists
from separator.train.start import load_start
from separator.train.timing import Timing, hide_bands, make_frame_net
from separator.train.worker import MODEL, check_labels


def make_settings(sounds_list: Path, num_steps: int = 30) -> TrainSettings:
    return TrainSettings(
        output="runs",
        task="times",
        detector=DetectorSettings(widths=[4, 8, 8, 8, 8], row_width=16, stripes=1),
        data=DataSettings(
            lists=[str(sounds_list)], segment_s=2.0, num_sounds=[0, 2], sound_s=[0.5, 1]
        ),
        optim=OptimSettings(num_steps=num_steps, batch=8, rate=1e-2, warmup_steps=1),
    )


def test_examples_hold_their_sounds_in_the_rows_that_say_so(sounds_list):
    data = DataSettings(lists=[str(sounds_list)], segment_s=3, num_sounds=[1, 1], noise_ratio=0)
    examples = PlacedSounds(read_lists(data.lists, Storage()), data, 0, Storage())
    batch = examples.make_batch(range(12))
    assert batch["waveform"].shape == (12, 3 * RATE_HZ)
    assert batch["active"].shape == (12, -(-3 * RATE_HZ // ROW), len(examples.labels))
    again = examples.make(5)
    np.testing.assert_array_equal(again[0], batch["waveform"][5])
    assert (batch["active"].any(1).sum(1) <= 1).all() and batch["active"].any()
    for waveform_T, active_NK in zip(batch["waveform"], batch["active"], strict=True):
        rows_NT = np.pad(waveform_T, (0, -len(waveform_T) % ROW)).reshape(-1, ROW)
        power_N, is_active_N = np.square(rows_NT).mean(1), active_NK.any(1)
        if is_active_N.any() and not is_active_N.all():
            assert power_N[is_active_N].mean() > 100 * power_N[~is_active_N].mean()


@pytest.mark.parametrize(
    ("real_ratio", "least", "most"), [(-1.0, 4, 16), (0.0, 0, 0), (1.0, 20, 20)]
)
def test_placed_sounds_draw_recordings_by_real_ratio(tmp_path, real_ratio, least, most):
    tone_T = np.sin(2 * np.pi * 400 * np.arange(2 * RATE_HZ) / RATE_HZ)
    soundfile.write(tmp_path / "made.wav", 0.1 * tone_T, RATE_HZ)
    noise_T = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE_HZ)
    soundfile.write(tmp_path / "real.wav", noise_T, RATE_HZ)
    made = Source(str(tmp_path / "made.wav"), ("a hum",), "hum", "hum")
    real = replace(made, uri=str(tmp_path / "real.wav"), package="p")
    data = DataSettings(
        lists=[],
        segment_s=1,
        num_sounds=[1, 1],
        sound_s=[0.5, 1],
        noise_ratio=0,
        real_ratio=real_ratio,
    )
    examples = PlacedSounds([made, real], data, 0, Storage())
    flat = [measure_flatness(examples.make(number)[0]) > 0.1 for number in range(20)]
    assert least <= sum(flat) <= most


def measure_flatness(sound_T: np.ndarray) -> float:
    """Measure how much a spectrum is that of noise: 0 for a tone."""
    power_F = np.square(np.abs(np.fft.rfft(sound_T))) + 1e-12
    return float(np.exp(np.log(power_F).mean()) / power_F.mean())


def test_more_sounds_than_groups_are_refused(sounds_list):
    data = DataSettings(lists=[str(sounds_list)], num_sounds=[0, 99])
    with pytest.raises(RequestError, match="groups of the lists"):
        PlacedSounds(read_lists(data.lists, Storage()), data, 0, Storage())


def test_training_learns_and_writes_a_file_for_load_detector(sounds_list, tmp_path):
    settings = make_settings(sounds_list)
    torch.manual_seed(0)
    net, task = load_start(settings, Storage())
    assert isinstance(task, Timing)
    state = make_state(net, task.wrap(net), settings.optim)
    batch = task.make_tensors(task.examples.make_batch(range(8)), 0)
    figures = list(run_steps(state, iter([batch] * 30), settings.optim, task.measure, (0, 0)))
    assert figures[-1]["loss"] < 0.6 * figures[0]["loss"]
    task.export(state.export(), tmp_path / "d.safetensors")
    detector = load_detector(tmp_path / "d.safetensors")
    assert list(detector.labels) == task.labels
    found = detector.detect(batch["waveform"][:1].numpy(), RATE_HZ)
    assert found.framewise.shape == tuple(batch["active"].shape[1:])


def test_a_checkpoint_with_other_labels_is_refused(tmp_path):
    check_labels(["bark"], write_checkpoint(tmp_path / "same", ["bark"]))
    check_labels([], write_checkpoint(tmp_path / "separator", ["bark"]))
    for name, saved in (("as-many", ["rain"]), ("more", ["bark", "rain"])):
        folder = write_checkpoint(tmp_path / name, saved)
        with pytest.raises(CheckpointMismatch, match=r"other labels .*rain.*another name"):
            check_labels(["bark"], folder)


def write_checkpoint(folder: Path, labels: list[str]) -> Path:
    """Write the file of a checkpoint that holds the labels of a detector."""
    folder.mkdir()
    net = make_frame_net(DetectorSettings(widths=[4, 8, 8, 8, 8], row_width=16), len(labels))
    write_frame_detector(folder / MODEL, net, labels)
    return folder


def test_hide_bands_sets_one_stripe_to_the_mean_level():
    torch.manual_seed(0)
    level_BNM = torch.rand(4, 6, NUM_MELS)
    hidden_BNM = hide_bands(level_BNM, 8)
    changed_BM = (hidden_BNM != level_BNM).any(1)
    assert changed_BM.any() and (changed_BM.sum(1) <= 8).all()
    for before, after, is_changed in zip(level_BNM, hidden_BNM, changed_BM, strict=True):
        assert torch.equal(
            after[:, is_changed], before.mean().expand_as(after[:, is_changed])
        ) or torch.allclose(after[:, is_changed], before.mean())
