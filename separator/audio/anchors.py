"""Find the 2 s of a clip of 10 s in which a sound is strongest, as zero-shot separation does. Pure.

The numbers are those of the official code, its small inexactness included: its box of 200 rows of
1024 is 1.95 s long. USS, which came later, has a rule of its own.
"""

import numpy as np

SEGMENT_HZ = 32_000
CLIP, SEGMENT = 320_000, 64_000  # samples at that rate
HOP = 320
ROWS, BOX = 1024, 200
FRAMES, BOX_USS = CLIP // HOP + 1, 201


def find_anchor(presence: np.ndarray) -> tuple[int, int]:
    """Return the first and last sample (exclusive) of the segment, from a curve over 10 s.

    The curve may have fewer rows than 1024, for example the 32 of a detector: each is repeated.
    """
    if presence.ndim != 1 or not len(presence) or ROWS % len(presence):
        raise ValueError(f"presence of shape {presence.shape}: {ROWS} rows or a part of it needed")
    rows = np.repeat(presence.astype(np.float64), ROWS // len(presence))
    best = int(np.argmax(np.convolve(rows, np.ones(BOX), "same")))  # the first of equal ones
    frame = best * (CLIP // HOP) // ROWS
    begin = min(max(0, frame * HOP - SEGMENT // 2), CLIP - SEGMENT)
    return begin, begin + SEGMENT


def find_anchor_uss(presence: np.ndarray) -> tuple[int, int]:
    """Return the segment by the rule of USS: a mean over 201 of 1001 frames, the ends repeated."""
    place = np.arange(FRAMES) * len(presence) // FRAMES
    frames = np.pad(presence.astype(np.float64)[place], BOX_USS // 2, mode="edge")
    best = int(np.argmax(np.convolve(frames, np.ones(BOX_USS), "valid")))
    begin = min(max(0, best * HOP - SEGMENT // 2), CLIP - SEGMENT)
    return begin, begin + SEGMENT
