"""Training of a detector: its examples, its augmentation, and that it learns."""

import numpy as np
import pytest
import torch

from separator.api import load_htsat
from separator.model.htsat import Block
from separator.storage import Storage
from separator.train.loop import State, make_state, run_steps
from separator.train.recipe import DataSettings, DetectorSettings, OptimSettings, TrainSettings
from separator.train.sound_lists import read_lists
from separator.train.tag_examples import TagExamples
from separator.train.tagging import Tagger, Tagging, hide_stripe, make_detector

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"width": 8, "depths": [1, 1, 1, 1], "mixup": 0.0}


def make_settings(sounds_list, **data) -> TrainSettings:
    data = {"lists": [str(sounds_list)], "segment_s": 2.0} | data
    optim = OptimSettings(num_steps=12, batch=6, rate=2e-3, warmup_steps=1, amsgrad=False)
    detector = DetectorSettings(**SMALL)
    return TrainSettings(
        output="runs", task="tags", data=DataSettings(**data), optim=optim, detector=detector
    )


def iterate(tagging: Tagging, num_steps: int, batch: int, first: int = 0):
    for step in range(first, num_steps):
        made = tagging.examples.make_batch(range(step * batch, (step + 1) * batch))
        yield {key: torch.from_numpy(made[key]) for key in ("waveform", "labels")}


def test_tagging_learns_and_writes_a_file_for_load_detector(sounds_list, tmp_path):
    settings = make_settings(sounds_list)
    tagging = Tagging(settings)
    assert tagging.labels == ["beep", "hiss", "hum"]
    torch.manual_seed(0)
    net = make_detector(settings.detector, 3)
    state = make_state(net, tagging.wrap(net), settings.optim)
    steps = run_steps(state, iterate(tagging, 12, 6), settings.optim, tagging.measure, (0, 0))
    figures = list(steps)
    assert np.mean([f["loss"] for f in figures[-3:]]) < 0.6 * figures[0]["loss"]
    assert np.mean([f["right"] for f in figures[-3:]]) > 0.8
    tagging.export(net, tmp_path / "detector.safetensors")
    detector = load_htsat(tmp_path / "detector.safetensors")
    assert detector.labels == ("beep", "hiss", "hum")
    waveform_T = tagging.examples.make(0)[0]
    expected = net.eval().tag(net.draw(torch.from_numpy(waveform_T)[None])).clipwise[0]
    found = detector.detect(waveform_T[None], 32_000).clipwise
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)


def start_drawing(sounds_list, rate: float = 2e-3) -> tuple[TrainSettings, Tagging, State]:
    """Start a training whose every step draws: stripes, mixup, dropped branches."""
    settings = make_settings(sounds_list)
    settings.detector.mixup, settings.detector.drop_ratio = 0.5, 0.3
    settings.optim.rate = rate
    tagging = Tagging(settings)
    torch.manual_seed(0)
    net = make_detector(settings.detector, 3)
    return settings, tagging, make_state(net, tagging.wrap(net), settings.optim)


def list_losses(started: tuple[TrainSettings, Tagging, State], last: int) -> list[float]:
    """Run the steps up to the last, in a process that begins with other random numbers."""
    settings, tagging, state = started
    torch.manual_seed(last)
    batches = iterate(tagging, last, 6, state.step)
    steps = run_steps(state, batches, settings.optim, tagging.measure, (settings.seed, 0))
    return [figures["loss"] for figures in steps]


def test_a_training_that_goes_on_draws_as_an_undisturbed_one(sounds_list):
    whole = list_losses(start_drawing(sounds_list), 4)
    begun, resumed = start_drawing(sounds_list), start_drawing(sounds_list)
    first = list_losses(begun, 2)
    resumed[2].load_state_dict(begun[2].state_dict())
    assert first + list_losses(resumed, 4) == whole


def test_workers_draw_differently_and_so_do_steps(sounds_list):
    """All other things are equal: the batch, and the weights at a rate of zero."""
    losses = set()
    for rank in (0, 1):
        settings, tagging, state = start_drawing(sounds_list, rate=0.0)
        batches = [next(iterate(tagging, 1, 6))] * 3
        steps = run_steps(state, iter(batches), settings.optim, tagging.measure, (0, rank))
        losses |= {figures["loss"] for figures in steps}
    assert len(losses) == 6


def test_tag_examples_place_several_sounds_and_keep_all_labels(sounds_list):
    sources = read_lists([str(sounds_list)], Storage())
    data = DataSettings(lists=[], segment_s=3.0, num_sounds=[3, 3], level_db=0.0)
    examples = TagExamples(sources, data, 32_000, 0, Storage())
    batch = examples.make_batch(range(30))
    assert batch["waveform"].shape == (30, 96_000) and set(np.unique(batch["labels"])) == {0, 1}
    assert batch["labels"].sum(1).max() == 3
    # Two seconds of sound in three begin at another place each time.
    starts = {int(np.flatnonzero(wave)[0]) for wave in batch["waveform"]}
    assert len(starts) > 10
    single = TagExamples(sources, DataSettings(lists=[]), 32_000, 0, Storage()).make_batch(
        range(30)
    )
    np.testing.assert_array_equal(single["labels"].sum(0), [10, 10, 10])


def test_lists_leave_out_what_is_not_to_be_trained_with(sounds_list):
    sources = read_lists([str(sounds_list)], Storage(), without=["hum"])
    assert {source.kind for source in sources} == {"beep", "hiss"}


def test_hide_stripe_hides_one_stripe_in_each_example():
    torch.manual_seed(0)
    level = torch.ones(50, 1, 201, 64)
    hidden = hide_stripe(level, 3, 8)
    widths = (hidden[:, 0, 0] == 0).sum(1)
    assert widths.max() <= 7 and widths.min() == 0 and len(widths.unique()) == 8
    edges = (hidden[:, 0, 0].diff(dim=1) != 0).sum(1)
    assert edges.max() <= 2
    assert hide_stripe(level, 2, 64)[:, 0, :, 0].min(1).values.eq(0).any()


def test_tagger_mixes_levels_with_the_mirror_image_and_keeps_the_target():
    torch.manual_seed(0)
    net = make_detector(DetectorSettings(**SMALL), 3)
    tagger = Tagger(net, DetectorSettings(**SMALL)).eval()
    waveform = 0.1 * torch.randn(2, 16_000)
    with torch.no_grad():
        plain = tagger(waveform, None, False)
        own = tagger(waveform, torch.ones(2), False)
        other = tagger(waveform, torch.zeros(2), False)
    torch.testing.assert_close(own, plain)
    torch.testing.assert_close(other, plain.flip(0))


def test_make_detector_drops_more_branches_in_deeper_blocks():
    net = make_detector(DetectorSettings(width=8, depths=[2, 2, 2, 2], drop_ratio=0.1), 3)
    ratios = [module.drop_ratio for module in net.modules() if isinstance(module, Block)]
    np.testing.assert_allclose(ratios, np.linspace(0, 0.1, 8))
    block = next(module for module in net.modules() if isinstance(module, Block))
    block.drop_ratio = 1 - 1e-6
    x = torch.randn(2, 64, 64, 8)
    torch.testing.assert_close(block.train()(x), x)
    assert not torch.equal(block.eval()(x), x)
