"""Training steps without Ray: learning, exact resumption, a loss that is not finite."""

from bisect import bisect_left
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from separator.config_file import read_settings
from separator.errors import LossNotFinite, RequestError
from separator.model.asp_unet import AspConfig, AspUnet, separate_by_mask
from separator.model.resunet import NetworkConfig, ResUNet, separate_plainly
from separator.model.spectrogram import compute_gain
from separator.train.loop import (
    compile_for_training,
    make_state,
    mean_gain_db,
    measure_loss,
    measure_separation,
    run_steps,
    scale_rate,
    separate,
)
from separator.train.recipe import OptimSettings, TrainSettings

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = NetworkConfig(n_fft=128, hop=64, widths=(8, 8, 8, 8, 8, 8), condition_size=8)
CONFIGS = Path(__file__).parents[2] / "configs"
NUM_SAMPLES = 4_000


def make_batches(num_steps: int, first: int = 0):
    """Mix two tones; the condition says which of them is the target."""
    t = torch.arange(NUM_SAMPLES) / 32_000
    tones = torch.stack([torch.sin(2 * torch.pi * hz * t) for hz in (1_000, 6_000)])
    for step in range(first, num_steps):
        generator = torch.Generator().manual_seed(step)
        level_B21 = 0.1 + 0.2 * torch.rand(4, 2, 1, generator=generator)
        target_B = torch.tensor([0, 1, 0, 1])
        condition_BD = torch.nn.functional.one_hot(target_B, 8).float()
        both_B2T = level_B21 * tones
        yield {
            "mixture": both_B2T.sum(1),
            "target": both_B2T[torch.arange(4), target_B],
            "condition": condition_BD,
        }


def make_net() -> ResUNet:
    torch.manual_seed(0)
    return ResUNet(CONFIG)


def make_unet() -> AspUnet:
    torch.manual_seed(0)
    return AspUnet(AspConfig(n_fft=128, hop=64, widths=(8,) * 7, condition_size=8))


def step_through(state, batches, settings: OptimSettings, path=None) -> list[dict[str, float]]:
    measure = partial(measure_separation, settings)
    return list(run_steps(state, batches, settings, measure, (0, 0), path))


def run(num_steps: int, settings: OptimSettings, state=None, make=make_net):
    net = make()
    state = state or make_state(net, net, settings)
    return state, step_through(state, make_batches(num_steps, state.step), settings)


@pytest.mark.parametrize(("make", "share", "gain_db"), [(make_net, 0.5, 6), (make_unet, 0.65, 3)])
def test_run_steps_learns_to_separate_two_tones(make, share, gain_db):
    settings = OptimSettings(num_steps=30, rate=1e-2, warmup_steps=5)
    _, figures = run(30, settings, make=make)
    assert np.mean([f["loss"] for f in figures[-5:]]) < share * figures[0]["loss"]
    assert np.mean([f["sdri_db"] for f in figures[-5:]]) > gain_db


@pytest.mark.parametrize(
    ("make", "plain"), [(make_net, separate_plainly), (make_unet, separate_by_mask)]
)
def test_separate_equals_the_plain_network(make, plain):
    net = make().eval()
    batch = next(make_batches(1))
    with torch.no_grad():
        out = separate(net, net, batch["mixture"], batch["condition"], autocast=False)
        reference = plain(net, batch["mixture"], batch["condition"])
    torch.testing.assert_close(out, reference)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_state_dict_resumes_to_the_same_losses_and_weights(ema):
    settings = OptimSettings(num_steps=8, warmup_steps=2, ema=ema)
    whole, figures = run(8, settings)
    half, _ = run(4, settings)
    saved = half.state_dict()
    net = make_net()
    fresh = make_state(net, net, settings)
    fresh.load_state_dict(saved)
    resumed, rest = run(8, settings, fresh)
    assert [f["step"] for f in rest] == [5, 6, 7, 8]
    assert [f["loss"] for f in rest] == [f["loss"] for f in figures[4:]]
    for one, other in zip(whole.export().parameters(), resumed.export().parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("amsgrad", [True, False])
def test_a_resumed_training_takes_the_new_settings_of_its_optimizer(amsgrad):
    saved = run(3, OptimSettings(num_steps=3, warmup_steps=2, amsgrad=amsgrad))[0].state_dict()
    changed = OptimSettings(
        num_steps=5, rate=1e-4, warmup_steps=8, weight_decay=0.1, amsgrad=not amsgrad
    )
    net = make_net()
    state = make_state(net, net, changed)
    state.load_state_dict(saved)
    (group,) = state.optimizer.param_groups
    assert group["lr"] == 1e-4 * 4 / 8  # of the fourth step
    assert group["weight_decay"] == 0.1 and group["amsgrad"] == (not amsgrad)
    _, figures = run(5, changed, state)
    assert [f["rate"] for f in figures] == pytest.approx([1e-4 * 5 / 8, 1e-4 * 6 / 8])


def test_export_returns_the_moving_average():
    state, _ = run(3, OptimSettings(num_steps=3, ema=0.5))
    assert state.export() is not state.net
    weights = [m.get_parameter("base.pre_conv.weight") for m in (state.export(), state.net)]
    assert not torch.equal(*weights)


def test_run_steps_saves_the_batch_of_a_loss_that_is_not_finite(tmp_path):
    settings, net = OptimSettings(num_steps=5), make_net()
    state = make_state(net, net, settings)
    batches = list(make_batches(2))
    batches[1]["mixture"] *= float("nan")
    path = tmp_path / "batch.pt"
    with pytest.raises(LossNotFinite, match=r"step 1.*batch\.pt"):
        step_through(state, iter(batches), settings, path)
    saved = torch.load(path, weights_only=True)
    assert saved["mixture"].isnan().all() and saved["target"].shape == (4, NUM_SAMPLES)
    assert state.step == 1


def test_run_steps_with_autocast_gives_finite_losses():
    settings = OptimSettings(num_steps=2, autocast=True)
    _, figures = run(2, settings)
    assert all(np.isfinite(f["loss"]) for f in figures)


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_net, make_unet])
def test_compiled_steps_follow_plain_ones(make):
    settings = OptimSettings(num_steps=3)
    states = []
    for is_compiled in (False, True):
        net = make()
        call = compile_for_training(net) if is_compiled else net
        states.append(make_state(net, call, settings))
    plain, compiled = (step_through(state, make_batches(3), settings) for state in states)
    assert [f["loss"] for f in compiled] == pytest.approx([f["loss"] for f in plain], rel=1e-3)
    before, after = states[0].net.state_dict(), states[1].net.state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-3, rtol=1e-3)


def test_detectors_are_not_compiled():
    with pytest.raises(RequestError, match=r"optim\.compile"):
        TrainSettings(output="runs", task="times", optim=OptimSettings(compile=True))


def test_scale_rate_follows_its_schedules():
    plain = OptimSettings(num_steps=100_000, warmup_steps=100)
    assert scale_rate(plain, 0) == pytest.approx(0.01)
    assert scale_rate(plain, 99) == scale_rate(plain, 19_999) == 1
    assert scale_rate(plain, 20_000) == pytest.approx(
        0.9
    )  # of all steps, with those of the warm-up
    assert scale_rate(plain, 40_000) == scale_rate(plain, 59_999) == pytest.approx(0.81)
    long = OptimSettings(num_steps=100_000, warmup_steps=30_000)
    assert scale_rate(long, 25_000) == pytest.approx(25_001 / 30_000)
    assert scale_rate(long, 30_000) == pytest.approx(0.9)
    cosine = OptimSettings(num_steps=1_000, warmup_steps=100, decay=True)
    assert scale_rate(cosine, 550) == pytest.approx(0.5)
    assert scale_rate(cosine, 1_000) == pytest.approx(0, abs=1e-9)
    steps = OptimSettings(factors=[[10, 0.02], [30, 0.1]])
    assert [scale_rate(steps, at) for at in (0, 9, 10, 29, 30)] == [0.02, 0.02, 0.1, 0.1, 0.1]


def test_recipe_of_audiosep_raises_its_rate_in_steps():
    given = ["output=runs", "data.lists=[a.csv]", "encoder=mini"]
    optim = read_settings(TrainSettings, CONFIGS / "train-audiosep.yaml", given).optim
    steps = [0, 9_999, 10_000, 19_999, 20_000, 29_999, 30_000, 999_999]
    found = [scale_rate(optim, step) for step in steps]
    assert found == [0.001, 0.001, 0.01, 0.01, 0.1, 0.1, 1.0, 1.0]


def scale_zero_shot(epoch: int) -> float:
    """The separator's schedule in its authors' words."""
    return 0.1 ** (3 - epoch) if epoch < 3 else 0.1 ** bisect_left([90, 110], epoch)


def scale_detector(epoch: int) -> float:
    """The detector's, of HTS-AT."""
    if epoch < 3:
        return (0.02, 0.05, 0.1)[epoch]
    return (0.1, 0.05, 0.02, 0.03)[bisect_left([10, 20, 30], epoch)]


@pytest.mark.parametrize(
    ("name", "epoch_steps", "scale"),
    [("train-zeroshot", 760, scale_zero_shot), ("train-stsed", 15_000, scale_detector)],
)
def test_recipes_of_zero_shot_separation_follow_their_authors_epochs(name, epoch_steps, scale):
    given = ["output=runs", "data.lists=[a.csv]"]
    optim = read_settings(TrainSettings, CONFIGS / f"{name}.yaml", given).optim
    assert optim.num_steps == 100 * epoch_steps
    for epoch in range(100):
        for step in (epoch * epoch_steps, (epoch + 1) * epoch_steps - 1):
            assert scale_rate(optim, step) == pytest.approx(scale(epoch)), step


def test_run_steps_leaves_the_unused_norms_of_the_decoder():
    net = make_net()
    before = net.get_parameter("base.decoder_block1.bn2.weight").clone()
    settings = OptimSettings(num_steps=2)
    step_through(make_state(net, net, settings), make_batches(2), settings)
    assert torch.equal(net.get_parameter("base.decoder_block1.bn2.weight"), before)


def test_mean_gain_db_leaves_out_silent_targets():
    mixture, target = torch.ones(2, 100), torch.zeros(2, 100)
    target[0] = 0.5
    assert mean_gain_db(mixture, target, mixture) == pytest.approx(0, abs=1e-3)
    assert np.isnan(mean_gain_db(mixture[1:], target[1:], mixture[1:]))


def test_measure_loss_of_both_kinds():
    mixture, target = torch.ones(2, 100), torch.zeros(2, 100)
    target[0] = 0.5
    assert measure_loss("l1", mixture, target, target + 0.1) == pytest.approx(0.1)
    # An error 20 dB under each mixture, however loud the mixture. With the floors of a sounding and
    # of a silent target: 10 log10(0.01 + 0.001) and 10 log10(0.01 + 0.01).
    out = target + 0.1
    expected = pytest.approx((-19.586 - 16.990) / 2, abs=0.001)
    assert measure_loss("log", mixture, target, out) == expected
    assert measure_loss("log", 0.01 * mixture, 0.01 * target, 0.01 * out) == pytest.approx(
        (-19.586 - 16.990) / 2, abs=0.05
    )
    assert measure_loss("log", mixture[:1], target[:1], target[:1]) == pytest.approx(-30)
    assert measure_loss("log", mixture[1:], target[1:], target[1:]) == pytest.approx(-20)


def test_a_gradient_that_is_not_finite_leaves_the_weights(caplog):
    settings, net = OptimSettings(num_steps=20), make_net()
    state = make_state(net, net, settings)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    net.base.pre_conv.weight.register_hook(lambda gradient: gradient * float("nan"))
    figures = step_through(state, make_batches(2), settings)
    assert [np.isfinite(f["loss"]) for f in figures] == [True, True]
    assert np.isnan(figures[0]["grad_norm"]) and "step 1: a gradient is not" in caplog.text
    with pytest.raises(LossNotFinite, match="step 11: the gradient is nan"):
        step_through(state, make_batches(20), settings)
    for one, other in zip(net.parameters(), before, strict=True):
        assert torch.equal(one, other)


def test_gain_of_zero_maps_has_a_finite_gradient():
    maps = torch.zeros(3, 4, requires_grad=True)
    real, imag = compute_gain(*maps)
    (real + imag).sum().backward()
    assert maps.grad is not None and maps.grad.isfinite().all()
    assert not real.any() and not imag.any()
