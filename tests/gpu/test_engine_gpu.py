"""The engine on a CUDA device: `pytest -m gpu`."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet
from tests.helpers import golden
from tests.helpers.golden import relative_error

pytestmark = pytest.mark.gpu
HZ = 32_000


@pytest.fixture(scope="module")
def net() -> ResUNet:
    net = ResUNet(NetworkConfig()).eval().requires_grad_(False)
    net.load_state_dict(golden.make_state_dict())
    return net


def separate_golden(engine: Engine) -> torch.Tensor:
    arrays = golden.load_arrays()
    pairs = zip(arrays["mixture"], arrays["condition"], strict=True)
    return torch.stack(
        [engine.separate(torch.tensor(m[None]), HZ, torch.tensor(c[None]))[0, 0] for m, c in pairs]
    )


@pytest.mark.parametrize("compile", ["off", "on"])
def test_fp32_equals_the_official_network(net, compile):
    out = separate_golden(Engine(net, "cuda", "fp32", compile, "each"))
    assert relative_error(out, torch.tensor(golden.load_arrays()["waveform"])) < 1e-5


@pytest.mark.parametrize("compile", ["off", "on"])
def test_bf16_is_close(net, compile):
    out = separate_golden(Engine(net, "cuda", "bf16", compile, "each"))
    error = relative_error(out, torch.tensor(golden.load_arrays()["waveform"]))
    assert -20 * torch.log10(torch.tensor(error)) > 44


def test_compiled_equals_eager_at_changing_lengths(net):
    eager, compiled = (Engine(net, "cuda", "fp32", mode, "each") for mode in ("off", "on"))
    conditions = torch.randn(3, 512)
    for seconds in (7.3, 1.0, 23.1, 7.3):
        waveform = 0.1 * torch.randn(2, int(seconds * HZ))
        a, b = (engine.separate(waveform, HZ, conditions) for engine in (eager, compiled))
        assert relative_error(b, a) < 1e-5


@pytest.mark.parametrize("compile", ["off", "on"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stems_do_not_depend_on_who_shares_a_device(net, precision, compile):
    shared = Engine(net, "cuda", precision, compile, is_shared=True)
    generator = torch.Generator().manual_seed(0)
    works = [
        (
            0.1 * torch.randn(2, (9 + i % 3) * HZ, generator=generator),
            torch.randn(1 + i % 3, 512, generator=generator),
        )
        for i in range(9)
    ]
    found = []
    for num_threads in (1, 4):
        with ThreadPoolExecutor(num_threads) as threads:
            done = threads.map(lambda work: shared.separate(work[0], HZ, work[1]), works)
            found.append(list(done))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_sounds_that_fp16_is_too_narrow_for_are_computed_in_fp32(net):
    engines = [Engine(net, "cuda", precision, "off") for precision in ("bf16", "fp32")]
    narrow, exact = engines
    narrow.forward.net.encoders[0].before_weight *= 1e6
    waveform, conditions = 0.1 * torch.randn(2, 12 * HZ), torch.randn(2, 512)
    a, b = (engine.separate(waveform, HZ, conditions) for engine in engines)
    assert narrow.in_fp32 is not None and exact.in_fp32 is None and relative_error(a, b) < 1e-5


def test_out_of_memory_is_survived_and_remembered(net, caplog):
    waveform, conditions = 0.1 * torch.randn(1, 120 * HZ), torch.randn(2, 512)
    reference = Engine(net, "cuda", "fp32", "off").separate(waveform, HZ, conditions)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(6e9 / total)
    try:
        tight = Engine(net, "cuda", "fp32", "off", memory_bytes=total)
        before = tight.forward.budget_bytes
        assert relative_error(tight.separate(waveform, HZ, conditions), reference) < 1e-5
        assert "out of memory" in caplog.text and tight.forward.budget_bytes < before / 2
        caplog.clear()
        assert relative_error(tight.separate(waveform, HZ, conditions), reference) < 1e-5
        assert "out of memory" not in caplog.text
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
