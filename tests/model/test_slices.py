"""Blocks in slices compute what they compute at once."""

import pytest
import torch

from separator.model.forward import Forward
from separator.model.slices import Runner
from tests.helpers.golden import make_small_net, relative_error

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("slice_frames", [32, 50, 128])
def test_slices_compute_what_the_whole_computes(slice_frames, precision):
    net = make_small_net((4, 4, 8, 8, 8, 8), n_fft=1_024)
    forward = Forward(net, CPU, precision, "off", None)
    x, conditions = torch.randn(2, 352, 512), torch.randn(2, 512)
    shifts = forward.net.compute_shifts(conditions)
    forward.net.runner.slice_frames = 0
    whole = forward(x, shifts)
    forward.net.runner.slice_frames = slice_frames
    assert relative_error(forward(x, shifts), whole) < 1e-6


def test_a_window_does_not_depend_on_its_batch():
    forward = Forward(make_small_net(), CPU, "fp32", "off", None)
    x, shifts = torch.randn(3, 64, 1_024), torch.randn(3, len(forward.net.film_bias))
    batch = forward(x, shifts)
    for i in range(3):
        assert torch.equal(forward(x[i : i + 1], shifts[i : i + 1])[0], batch[i])


def test_slices_overlap_by_what_a_block_sees_and_maps_of_two_resolutions_stay_together():
    seen = []

    def block(shifts, below, skip):
        seen.append((below[0, 0].item(), below.shape[1], skip[0, 0].item(), skip.shape[1]))
        return skip

    below, skip = torch.arange(0.0, 20, 2)[None], torch.arange(20.0)[None]
    assert torch.equal(Runner(8)(block, torch.zeros(1, 1), below, skip), skip)
    assert seen == [(0, 5, 0, 10), (6, 6, 6, 12), (14, 3, 14, 6)]


@pytest.mark.parametrize("budget", [3 * 10**6, 2 * 10**7, 10**8, 5 * 10**8, 10**10])
def test_the_longest_window_is_the_longest_that_fits(budget):
    forward = Forward(make_small_net(), CPU, "fp32", "off", budget)
    longest = forward.longest_window
    assert forward.count_bytes(longest) <= budget < forward.count_bytes(longest + 32)
