"""Test the sizes, precision and compilation of a forward, and that pages are kept."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from separator.errors import RequestError
from separator.model.device import choose_precision
from separator.model.forward import Forward, count_flops, give_graphs_to_thread
from separator.model.resunet import NetworkConfig
from tests.helpers.golden import make_small_net, relative_error

CPU = torch.device("cpu")


NUM_BLOCKS = 13  # seven encoders and six decoders


def make_forward(memory_bytes: int | None = None) -> Forward:
    return Forward(make_small_net(), CPU, "fp32", "off", memory_bytes)


def test_longest_window_follows_budget_up_to_index_limit():
    sizes = [make_forward(budget).longest_window for budget in (10**8, 10**9, 10**10, 10**15)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[2]
    assert all(size % 32 == 0 for size in sizes)
    assert sizes[-1] * 2 * 4 * 1024 < 2**31


def test_default_budget_does_not_depend_on_free_memory():
    before = make_forward().longest_window
    hoard = torch.ones(50_000_000)
    assert make_forward().longest_window == before and len(hoard)


def test_choose_batch_fills_budget():
    forward = make_forward()
    forward.budget_bytes = 50 * forward.count_bytes(100)
    assert forward.choose_batch(100) == 10  # on CPU more gains nothing
    assert forward.choose_batch(100_000) == 1
    forward.device = torch.device("cuda")  # only its name matters here
    forward.budget_bytes = 5 * forward.count_bytes(1_000)
    assert forward.choose_batch(1_000) == 4  # in fp32 more is slower
    forward.precision = "bf16"
    assert forward.choose_batch(1_000) == 5


@pytest.mark.parametrize("precision", ["fp16", "", None])
def test_choose_precision_refuses_unknown_values(precision):
    with pytest.raises(RequestError, match="precision"):
        choose_precision(precision, CPU)


def test_choose_precision_auto_follows_processor():
    flags = Path("/proc/cpuinfo").read_text()  # the referee: what the kernel says of the processor
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    assert choose_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert choose_precision("fp32", CPU) == "fp32"


@pytest.mark.slow
@pytest.mark.check
def test_choose_precision_auto_is_fp32_without_bf16_instructions():
    """In a process in which torch reports a processor without these instructions."""
    code = (
        "import torch; from separator.model.device import choose_precision as choose;"
        "torch.cpu._is_avx512_bf16_supported = torch.cpu._is_amx_tile_supported = lambda: False;"
        "print(choose('auto', torch.device('cpu')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "fp32"


def test_count_flops_of_full_network():
    per_10_s = count_flops(NetworkConfig()) * 1_024
    assert 0.8 < per_10_s / 492e9 < 1


@pytest.mark.slow
@pytest.mark.check
def test_forward_keeps_pages_for_next_forward():
    """A second forward of the same size must not fault its pages in again."""
    code = """
import resource, torch
from separator.model.forward import Forward
from tests.helpers.golden import make_small_net
forward = Forward(make_small_net((16,) * 6, n_fft=1024), torch.device("cpu"), "fp32", "off", None)
x, shifts = torch.randn(1, 1024, 512), torch.zeros(1, len(forward.net.film_bias))
faults = []
for _ in range(8):  # the heap may still grow in one of them
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    forward(x, shifts)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[0], sum(faults[3:]) // 5)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, mean_later = map(int, out.stdout.split())
    assert first > 10_000 and mean_later < first / 10


@pytest.mark.slow
def test_compiled_forward_equals_eager_with_one_graph_for_each_block():
    # Wide enough that no convolution counts as small: torch computes small ones differently,
    # and the full network has none.
    net, graphs = make_small_net((16, 16, 16, 32, 64, 64)), torch._dynamo.utils.counters["stats"]
    eager, compiled = Forward(net, CPU, "fp32", "off", None), Forward(net, CPU, "fp32", "on", None)
    torch._dynamo.reset()
    graphs.clear()
    for batch, lengths in ((1, (1_024, 736, 2_048, 1_376)), (2, (1_024, 736, 1_056))):
        for num_frames in lengths:
            x = torch.randn(batch, num_frames, 1_024)
            shifts = torch.randn(batch, len(eager.net.film_bias))
            assert relative_error(compiled(x, shifts), eager(x, shifts)) < 1e-5
        assert graphs["unique_graphs"] == NUM_BLOCKS


@pytest.mark.slow
@pytest.mark.check
def test_compile_auto_waits_for_enough_gpu_work():
    forward = Forward(make_small_net(), CPU, "fp32", "auto", None)
    forward.expect(1e12)
    assert not forward.is_compiled
    forward.device = torch.device("cuda")  # only its name matters here
    forward.expect(3_600.0)
    assert not forward.is_compiled
    forward.expect(1e9)
    assert forward.is_compiled


COMPILE_ONCE = """
import torch
from separator.model.forward import Forward
from tests.helpers.golden import make_small_net
forward = Forward(make_small_net(), torch.device("cpu"), "fp32", "on", None)
from torch._dynamo.utils import counters  # here: its import sets the folder, where none is set
forward(torch.ones(1, 64, 1024), forward.net.compute_shifts(torch.ones(1, 512)))
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


@pytest.mark.slow
def test_a_compiled_graph_is_found_again_by_the_next_process(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TORCHINDUCTOR")}
    environment["SEPARATOR_HOME"] = str(tmp_path)
    command = [sys.executable, "-c", COMPILE_ONCE]
    found = [
        subprocess.check_output(command, env=environment, text=True, timeout=300).split()
        for _ in range(2)
    ]
    none, all_blocks = "0", str(NUM_BLOCKS)
    assert found == [[none, all_blocks], [all_blocks, none]] and any(
        (tmp_path / "compiled").iterdir()
    )


def test_a_thread_is_given_what_cuda_graphs_need():
    """Torch prepares the thread that imports its module, and no other one."""
    from torch._inductor.cudagraph_trees import get_container

    with ThreadPoolExecutor(1) as other, pytest.raises(AssertionError):
        other.submit(get_container, 0).result()
    with ThreadPoolExecutor(1) as other:
        other.submit(give_graphs_to_thread).result()
        one, again = (other.submit(get_container, 0).result() for _ in range(2))
    assert one is again
