"""Draw spectrograms of mixture, target, stem and residual side by side.

Shapes: T samples, H rows and W columns of a picture.
"""

import io

import numpy as np

from separator.audio.pictures import RANGE_DB, make_palette, measure_levels

WIDTH, HEIGHT = 240, 96  # of one sound


def draw_case(
    mixture_T: np.ndarray, target_T: np.ndarray, stem_T: np.ndarray, rate_hz: int, title: str
) -> bytes:
    """Draw one case as PNG; all four have one scale, whose top is the mixture's loudest point."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    sounds = {
        "mixture": mixture_T,
        "target": target_T,
        "stem": stem_T,
        "residual": mixture_T - stem_T,
    }
    drawn = {
        name: measure_levels(sound_T[None], rate_hz, WIDTH, HEIGHT)
        for name, sound_T in sounds.items()
    }
    top = float(drawn["mixture"].max())
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    colors = ListedColormap(make_palette() / 255)
    seconds = len(mixture_T) / rate_hz
    for axes, (name, level_HW) in zip(
        figure.subplots(1, 4, sharey=True), drawn.items(), strict=True
    ):
        axes.imshow(
            level_HW, aspect="auto", extent=(0, seconds, 0, 1), cmap=colors,
            vmin=top - RANGE_DB, vmax=top,
        )  # fmt: skip
        axes.set_yticks([])
        axes.set_title(name)
        axes.set_xlabel("s")
    figure.axes[0].set_ylabel("mel")
    figure.suptitle(title if len(title) <= 100 else title[:97] + "...", fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=80)
    return out.getvalue()
