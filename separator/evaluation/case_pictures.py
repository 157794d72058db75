"""Draw spectrograms of mixture, target, stem and residual side by side. Shapes: T samples."""

import io

import numpy as np

from separator.audio.pictures import draw_spectrogram, measure_loudest

WIDTH, HEIGHT = 240, 96  # of one sound


def write_plainly(text: str) -> str:
    """Escape a text for matplotlib, which takes what stands between two `$` for a formula."""
    return text.replace("$", r"\$")


def draw_case(
    mixture_T: np.ndarray, target_T: np.ndarray, stem_T: np.ndarray, rate_hz: int, title: str
) -> bytes:
    """Draw one case as PNG; all four have one scale, whose top is the mixture's loudest point."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    sounds = {
        "mixture": mixture_T,
        "target": target_T,
        "stem": stem_T,
        "residual": mixture_T - stem_T,
    }
    loudest_db = measure_loudest(mixture_T[None], rate_hz)
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    seconds = len(mixture_T) / rate_hz
    for axes, (name, sound_T) in zip(
        figure.subplots(1, 4, sharey=True), sounds.items(), strict=True
    ):
        drawn = draw_spectrogram(sound_T[None], rate_hz, WIDTH, HEIGHT, loudest_db)
        axes.imshow(imread(io.BytesIO(drawn)), aspect="auto", extent=(0, seconds, 0, 1))
        axes.set_yticks([])
        axes.set_title(name)
        axes.set_xlabel("s")
    figure.axes[0].set_ylabel("mel")
    shown = title if len(title) <= 100 else title[:97] + "..."
    figure.suptitle(write_plainly(shown), fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=80)
    return out.getvalue()
