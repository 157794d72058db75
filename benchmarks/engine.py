"""Compare the engine's speed with the plain network's, in a table and a JSON file.

The plain network runs in fp32, eager, NCHW, with torch.stft, batch 1, one query at a time. It has a
process of its own: memory that the engine keeps in the heap would make it twice as fast ("pages
kept" measures it in the engine's process). Minutes of audio do not fit into its memory, so its
figures for long tracks are the 10 s figure scaled up, which favours it (exact windows would cost
more). `--long-mode` also measures the official program's way with long files (windows of 5 s), on a
minute of audio, in another process.
"""

import argparse
import json
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from separator.model.asp_unet import AspConfig, AspUnet, separate_by_mask
from separator.model.engine import Engine
from separator.model.memory import keep_pages
from separator.model.networks import Network
from separator.model.resunet import NetworkConfig, ResUNet, separate_plainly

HZ = 32_000
NETS = {
    "resunet": (lambda: ResUNet(NetworkConfig()), separate_plainly),
    "unet": (lambda: AspUnet(AspConfig()), separate_by_mask),
}
LONG_MODE = "official long mode"
VARIANTS = {
    "eager fp32": ("fp32", "off"),
    "compiled fp32": ("fp32", "on"),
    "eager bf16": ("bf16", "off"),
    "compiled bf16": ("bf16", "on"),
}


def describe_machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = {line.split(":")[1].strip() for line in lines if line.startswith("model name")}
    bf16 = "with" if torch.cpu._is_avx512_bf16_supported() else "without"
    amx = " and AMX" if torch.cpu._is_amx_tile_supported() else ""
    name = ", ".join(names) or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {bf16} AVX-512-BF16{amx}"


@lru_cache(maxsize=1)
def make_net(name: str) -> Network:
    torch.manual_seed(0)
    net = NETS[name][0]().eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 1.5)
    return net


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure_matmul_peak(device: str, dtype: torch.dtype) -> float:
    """Measure the FLOP/s of a large matrix product, the best of several."""
    size = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        torch.matmul(a, b)
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def count_flops(name: str) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        meta = NETS[name][0]().eval()
        meta(torch.empty(1, 1001, meta.config.num_bins), torch.empty(1, meta.config.condition_size))
    return counter.get_total_flops()


def run_plainly(name: str, device: str) -> float:
    net: Any = make_net(name).to(device)
    waveform = 0.1 * torch.randn(1, 10 * HZ, device=device)
    condition = torch.randn(1, net.config.condition_size, device=device)
    start = time.perf_counter()
    with torch.inference_mode():
        NETS[name][1](net, waveform, condition)
    wait(device)
    return time.perf_counter() - start


def run_in_long_mode(audio_s: int) -> float:
    """Run the plain ResUNet as the official long-file mode does: in windows of 5 s every 3 s.

    Its loop also separates the window after each one as if it were the last, so that the network
    sees all windows but the first and the last twice.
    """
    net: Any = make_net("resunet")
    waveform = 0.1 * torch.randn(1, audio_s * HZ)
    condition = torch.randn(1, net.config.condition_size)
    stem = torch.zeros_like(waveform)
    side, step = HZ, 3 * HZ
    start, at = time.perf_counter(), 0
    with torch.inference_mode():
        while at + 2 * side + step < audio_s * HZ:
            window = separate_plainly(net, waveform[:, at : at + 2 * side + step], condition)
            skipped = side if at else 0
            stem[:, at + skipped : at + side + step] = window[:, skipped:-side]
            at += step
            window = separate_plainly(net, waveform[:, at : at + 2 * side + step], condition)
            stem[:, at + side : at + window.shape[1]] = window[:, side:]
    return time.perf_counter() - start


def run_engine(engine: Engine, audio_s: int, num_queries: int) -> float:
    waveform = 0.1 * torch.randn(1, audio_s * HZ)
    conditions = torch.randn(num_queries, engine.config.condition_size)
    start = time.perf_counter()
    engine.separate(waveform, HZ, conditions)
    wait(str(engine.device))
    return time.perf_counter() - start


def measure(
    net_name: str,
    device: str,
    variants: list[str],
    work: list[tuple[int, int]],
    rounds: int,
    has_long_mode: bool = False,
) -> list[dict]:
    """Measure medians over rounds; each variant runs once per round, so noise affects all alike."""
    net = make_net(net_name)
    engines = {
        name: Engine(net, device, precision, mode)  # pyright: ignore[reportArgumentType]
        for name, (precision, mode) in VARIANTS.items()
        if name in variants
    }
    for engine in engines.values():
        for num_queries in {queries for _, queries in work}:
            run_engine(engine, 10, num_queries)
    seconds: dict[tuple[str, int, int], list[float]] = {}
    apart = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    for i in range(-1, rounds):
        took = apart.submit(run_plainly, net_name, device).result()
        with keep_pages():
            kept = run_plainly(net_name, device)
        if i < 0:
            continue  # the first time warms up
        seconds.setdefault(("plain", 10, 1), []).append(took)
        seconds.setdefault(("plain, pages kept", 10, 1), []).append(kept)
        if has_long_mode and not i:
            took = apart.submit(run_in_long_mode, 60).result()
            seconds[LONG_MODE, 60, 1] = [took]
        for audio_s, num_queries in work:
            if i and audio_s * num_queries > 100:
                continue  # minutes long: noise averages out within one run
            for name, engine in engines.items():
                took = run_engine(engine, audio_s, num_queries)
                seconds.setdefault((name, audio_s, num_queries), []).append(took)
    apart.shutdown()
    plain = statistics.median(seconds["plain", 10, 1])
    return [
        {
            "variant": name,
            "audio_s": audio_s,
            "queries": queries,
            "seconds": statistics.median(taken),
            "seconds_per_10s_and_query": statistics.median(taken) / (audio_s / 10 * queries),
            "times_plain": plain * audio_s / 10 * queries / statistics.median(taken),
        }
        for (name, audio_s, queries), taken in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--net", choices=NETS, default="resunet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", default="10x1,10x8,600x1", help="seconds x queries, ...")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--long-mode", action="store_true", help="takes minutes; ResUNet on a CPU")
    parser.add_argument("--out", type=Path, help="JSON file with the results")
    args = parser.parse_args()
    work = [(int(s), int(q)) for s, q in (item.split("x") for item in args.work.split(","))]
    if args.long_mode and (args.net, args.device) != ("resunet", "cpu"):
        parser.error("--long-mode is for --net resunet on a CPU")
    machine = describe_machine(args.device)
    peaks = {
        "fp32": measure_matmul_peak(args.device, torch.float32),
        "bf16": measure_matmul_peak(args.device, torch.bfloat16),
    }
    flops = count_flops(args.net)
    print(
        f"{machine}\nmatmul peak: fp32 {peaks['fp32'] / 1e9:.0f} GFLOP/s, "
        f"bf16 {peaks['bf16'] / 1e9:.0f} GFLOP/s; {flops / 1e9:.0f} GFLOP per 10 s and query"
    )
    variants = args.variants.split(",")
    rows = measure(args.net, args.device, variants, work, args.rounds, args.long_mode)
    long_s = [r["seconds_per_10s_and_query"] for r in rows if r["variant"] == LONG_MODE]
    long_title = f"{'x long mode':>13}" if long_s else ""
    print(f"{'':20}{'audio':>7}{'queries':>9}{'s/10 s':>9}{'x plain':>9}{'of peak':>9}{long_title}")
    for row in rows:
        peak = peaks["bf16" if "bf16" in row["variant"] else "fp32"]
        if long_s:
            row["times_long_mode"] = long_s[0] / row["seconds_per_10s_and_query"]
        row["share_of_peak"] = flops / row["seconds_per_10s_and_query"] / peak
        print(
            f"{row['variant']:20}{row['audio_s']:5} s{row['queries']:9}"
            f"{row['seconds_per_10s_and_query']:9.3f}{row['times_plain']:9.2f}"
            f"{row['share_of_peak']:9.0%}" + (f"{row['times_long_mode']:13.1f}" if long_s else "")
        )
    name = "engine" if args.net == "resunet" else f"engine-{args.net}"
    out = args.out or Path(f"benchmarks/results/{name}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": machine,
        "net": args.net,
        "torch": torch.__version__,
        "matmul_peak": peaks,
        "flops_per_10s": flops,
        "rounds": args.rounds,
        "rows": rows,
    }
    out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
