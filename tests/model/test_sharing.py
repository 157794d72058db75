"""Threads that separate with one network have the stems that each has alone."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet

CONFIG = NetworkConfig(n_fft=256, hop=80, widths=(4, 4, 4, 4, 4, 4), condition_size=8)
RATE_HZ = 48_000
NUM_THREADS = 4


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def engine(request) -> Engine:
    torch.manual_seed(0)
    net = ResUNet(CONFIG).eval().requires_grad_(False)
    return Engine(net, "cpu", request.param, is_shared=True)


def make_work(seed: int) -> tuple[Tensor, Tensor]:
    """Sounds of two lengths, with one to three queries."""
    generator = torch.Generator().manual_seed(seed)
    samples_CT = 0.1 * torch.randn(2, 12_000 + 6_000 * (seed % 2), generator=generator)
    return samples_CT, torch.randn(1 + seed % 3, 8, generator=generator)


def separate(engine: Engine, seed: int) -> Tensor:
    samples_CT, conditions_QD = make_work(seed)
    return engine.separate(samples_CT, RATE_HZ, conditions_QD)


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(60_000):  # minutes, for a machine as busy as may be
        if is_so():
            return
        time.sleep(0.01)
    pytest.fail("the threads never came")


@contextlib.contextmanager
def hooked(engine: Engine, hook: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `hook` with the windows of each batch."""
    handle = engine.forward.net.register_forward_pre_hook(lambda _, given: hook(given[0]))
    try:
        yield
    finally:
        handle.remove()


def test_each_thread_has_the_batches_and_the_stems_that_it_has_alone(engine):
    batches: dict[int, list[int]] = {1: [], NUM_THREADS: []}
    at_work, callers, found = [], set(), {}
    for num_threads, seen in batches.items():

        def note(x_BNF: Tensor, seen=seen, num_threads=num_threads) -> None:
            if not seen:  # the first batch holds the device until all threads want it
                wait_until(lambda: len(at_work) == num_threads)
            seen.append(hash(x_BNF.numpy().tobytes()))
            callers.add(threading.current_thread().ident)

        def work(seed: int) -> Tensor:
            at_work.append(seed)
            return separate(engine, seed)

        at_work.clear()
        with hooked(engine, note), ThreadPoolExecutor(num_threads) as threads:
            found[num_threads] = list(threads.map(work, range(12)))
    for one, other in zip(found[1], found[NUM_THREADS], strict=True):
        assert torch.equal(one, other)
    assert sorted(batches[1]) == sorted(batches[NUM_THREADS])
    assert len(callers) == 1  # one thread has the device


def test_stems_are_those_of_an_engine_of_ones_own(engine):
    torch.manual_seed(0)
    own = Engine(ResUNet(CONFIG).eval().requires_grad_(False), "cpu", engine.precision)
    for seed in range(3):
        torch.testing.assert_close(separate(engine, seed), separate(own, seed), atol=1e-6, rtol=0)


def test_full_device_makes_batches_smaller_for_all():
    torch.manual_seed(0)
    nets = [ResUNet(CONFIG).eval().requires_grad_(False)] * 2
    full, own = (Engine(net, "cpu", "fp32", is_shared=True) for net in nets)

    def refuse(x_BNF: Tensor) -> None:
        if len(x_BNF) > 2:
            raise torch.OutOfMemoryError("no room")

    with hooked(full, refuse), ThreadPoolExecutor(NUM_THREADS) as threads:
        found = list(threads.map(lambda seed: separate(full, seed), range(12)))
    for seed, stems in enumerate(found):
        torch.testing.assert_close(stems, separate(own, seed), atol=1e-6, rtol=0)
    assert full.forward.choose_batch(160) <= 2 < own.forward.choose_batch(160)


def test_an_error_of_the_device_reaches_each_thread(engine):
    def fail(_: Tensor) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with hooked(engine, fail), ThreadPoolExecutor(NUM_THREADS) as threads:
        works = [threads.submit(separate, engine, seed) for seed in range(NUM_THREADS)]
        for work in works:
            with pytest.raises(RuntimeError, match="launch failure"):
                work.result(timeout=60)
    assert separate(engine, 0).isfinite().all()  # nothing of them is left in the queue
