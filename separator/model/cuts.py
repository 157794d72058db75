"""Say where a track may be cut for a network: on which grid, and with how much context."""

from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Literal

from separator.audio.spans import round_up
from separator.errors import RequestError
from separator.model.asp_unet import AspConfig
from separator.model.folded import CONTEXT_FRAMES, FoldedResUNet
from separator.model.folded_asp import FoldedAspUnet
from separator.model.networks import Config
from separator.model.resunet import GRID_FRAMES

PIECES = "pieces"
PIECE_S = 2  # of the official program of zero-shot separation
Context = Literal["exact", "pieces"] | float


@dataclass(frozen=True)
class Cuts:
    """Spans start on multiples of `grid_s` and carry `context_s` to either side."""

    grid_s: Fraction
    context_s: Fraction


def plan_cuts(config: Config, context: Context = "exact") -> Cuts:
    """Return the cuts that suit a network of this kind, without its weights.

    With `pieces` the grid is one piece, and the context is needed by the resampler alone.
    """
    is_asp = isinstance(config, AspConfig)
    if context == PIECES:
        if not is_asp:
            raise RequestError(
                "context='pieces': only the separator of zero-shot separation was trained on "
                "pieces; use exact"
            )
        return Cuts(Fraction(PIECE_S), Fraction(PIECE_S))
    kind = FoldedAspUnet if is_asp else FoldedResUNet
    frame_s = Fraction(config.hop, config.rate_hz)
    num_frames = choose_context(
        context, config.rate_hz, config.hop, kind.context_frames, kind.grid_frames
    )
    return Cuts(kind.grid_frames * frame_s, num_frames * frame_s)


def choose_context(
    context: Context,
    rate_hz: int,
    hop: int,
    exact_frames: int = CONTEXT_FRAMES,
    grid_frames: int = GRID_FRAMES,
) -> int:
    """Convert the context to frames on either side, a multiple of the grid (by default that of
    AudioSep's network)."""
    if context == "exact":
        return exact_frames
    if isinstance(context, str) or not isinstance(context, Real) or not 0 <= context < 1e6:
        raise RequestError(f"context={context!r}: must be 'exact', 'pieces', or seconds, 0 or more")
    return min(exact_frames, round_up(round(context * rate_hz / hop), grid_frames))
