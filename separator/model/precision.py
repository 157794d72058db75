"""Choose the precision that `auto` means on this machine's CPU, without importing torch."""

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Instructions that multiply bf16 natively, as Linux names them.
NATIVE_BF16 = {"avx512_bf16", "amx_tile"}


def choose_cpu_precision(cpuinfo: Path = CPUINFO) -> str:
    """Return bf16 if the CPU multiplies it natively, else fp32."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        return "fp32"
    flags = next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "")
    return "bf16" if NATIVE_BF16 & set(flags.split()) else "fp32"
