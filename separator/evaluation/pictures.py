"""Draw spectrograms of mixture, target, stem and residual side by side.

Shapes: T samples, N frames, F bins.
"""

import io

import numpy as np
import torch

from separator.model.spectrogram import compute_spectrum

RANGE_DB = 70.0  # below the mixture's loudest point
WINDOW_S = 0.064
MOST_COLUMNS = 600  # frames of a picture


def draw_case(
    mixture_T: np.ndarray, target_T: np.ndarray, stem_T: np.ndarray, rate_hz: int, title: str
) -> bytes:
    """Draw one case as PNG; all four have one scale, whose top is the mixture's loudest point."""
    from matplotlib.figure import Figure

    sounds = {
        "mixture": mixture_T,
        "target": target_T,
        "stem": stem_T,
        "residual": mixture_T - stem_T,
    }
    drawn = {name: compute_level_spectrum(sound_T, rate_hz) for name, sound_T in sounds.items()}
    top = float(drawn["mixture"].max())
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    extent = (0.0, len(mixture_T) / rate_hz, 0.0, rate_hz / 2_000)
    for axes, (name, level_FN) in zip(
        figure.subplots(1, 4, sharey=True), drawn.items(), strict=True
    ):
        axes.imshow(
            level_FN, origin="lower", aspect="auto", extent=extent, cmap="magma",
            vmin=top - RANGE_DB, vmax=top,
        )  # fmt: skip
        axes.set_title(name)
        axes.set_xlabel("s")
    figure.axes[0].set_ylabel("kHz")
    figure.suptitle(title if len(title) <= 100 else title[:97] + "...", fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=80)
    return out.getvalue()


def compute_level_spectrum(sound_T: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return levels in dB (F, N), at most MOST_COLUMNS frames."""
    n_fft = round(WINDOW_S * rate_hz) // 2 * 2
    hop = max(n_fft // 4, -(-len(sound_T) // MOST_COLUMNS))
    padded_T = np.pad(sound_T, (0, max(0, n_fft - len(sound_T))))
    spectrum_BNF = compute_spectrum(torch.from_numpy(padded_T)[None], n_fft, hop)
    return 20 * np.log10(spectrum_BNF[0].abs().numpy().T + 1e-7)
