"""Test that memory does not depend on the track's length: the peak of a process of its own."""

import subprocess
import sys

import pytest

STREAM = """
import resource, sys, torch
from separator.model.engine import Engine
from separator.model.resunet import NetworkConfig, ResUNet

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.manual_seed(0)
net = ResUNet(NetworkConfig(widths=(1,) * 6, n_fft=640)).eval().requires_grad_(False)
engine = Engine(net, "cpu", "fp32", "off", "linked", memory_bytes=200_000_000)
rate_hz = 48_000
num_samples = int(float(sys.argv[1]) * rate_hz)
conditions = torch.randn(2, 512)
total, early = 0, None
for i, span in enumerate(engine.plan_spans(num_samples, rate_hz, 30.0)):
    samples = 0.1 * torch.randn(2, span.stop - span.start)  # a generator, not a track in memory
    for stem in engine.separate_span(samples, rate_hz, conditions, span):
        total += stem.shape[-1]
    if i == 2:
        early = peak_mb()
assert total == 2 * num_samples, total
print(early, peak_mb())
"""


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(130, marks=(pytest.mark.slow, pytest.mark.check)),
        pytest.param(3 * 3_600, marks=pytest.mark.slow),
    ],
    ids=["130 s", "3 h"],
)
def test_engine_memory_does_not_grow_with_track(seconds):
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(seconds)], capture_output=True, text=True, timeout=1_200
    )
    assert done.returncode == 0, done.stderr
    early, late = map(float, done.stdout.split())
    assert late < early * 1.05 + 20, f"{early:.0f} MB after 3 spans, {late:.0f} MB after all"
