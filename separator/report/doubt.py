"""Rate how doubtful each stem is, from its row of the manifest: what a person should hear first.

The doubt of a stem is a number from 0 to 1. Its base is the mean of the signs that were measured:

- 1 - `presence_score`: the detector was not sure that the sound is there
- the rank of its `similarity` among the stems of the same query: 1 for the least similar one
- the rank of its `energy_share`: 1 for the faintest stem
- the rank of its `residual_similarity`: 1 for the highest one

A `warning` (for example, the model does not know the words), clipped samples, and repairs while
decoding each add 0.15, up to a doubt of 1. A silent stem has a doubt of 1 if the detector heard its
sound; otherwise 0, because there was nothing to separate. Failed rows and renditions have no doubt
(NaN).
"""

from dataclasses import dataclass

import numpy as np

SILENT_LUFS = -70.0
SURE_SCORE = 0.5
FLAW = 0.15
# The reasons for a doubt, by index.
WARNED, CLIPPED, REPAIRED, SILENT, UNSURE, UNLIKE, FAINT, LEFT = range(8)
REASONS = (
    "the model may not know the query",
    "clipped samples",
    "repaired while decoding",
    "silent",
    "the detector hardly heard the query",
    "among the least similar to its query",
    "among the faintest of its query",
    "the sound is still in the residual",
)
EXTREME = 0.9  # the lowest rank that counts as a reason


@dataclass(frozen=True)
class Signs:
    """The arrays that doubt is computed from, with one value per row; NaN means not measured."""

    is_stem: np.ndarray  # ok and a stem
    query: np.ndarray  # equal numbers for equal queries
    presence_score: np.ndarray
    similarity: np.ndarray
    residual_similarity: np.ndarray
    energy_share: np.ndarray
    loudness_lufs: np.ndarray
    flaws: np.ndarray  # bits: 1 << WARNED, CLIPPED, REPAIRED


def rate_doubt(signs: Signs) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's doubt, and its reasons as bits (1 << index in REASONS)."""
    is_silent = signs.is_stem & (signs.loudness_lufs <= SILENT_LUFS)
    is_heard = signs.is_stem & ~is_silent
    unsure = 1 - signs.presence_score
    unlike = rank_within(signs.query, -signs.similarity, is_heard)
    faint = rank_within(signs.query, -signs.energy_share, is_heard)
    left = rank_within(signs.query, signs.residual_similarity, is_heard)
    parts = np.stack([unsure, unlike, faint, left])
    num_measured = (~np.isnan(parts)).sum(0)
    base = np.nansum(parts, 0) / np.maximum(num_measured, 1)
    num_flaws = sum((signs.flaws >> bit) & 1 for bit in (WARNED, CLIPPED, REPAIRED))
    doubt = np.minimum(1.0, base + FLAW * num_flaws)
    doubt[is_silent] = signs.presence_score[is_silent] >= SURE_SCORE
    doubt[~signs.is_stem] = np.nan
    reasons = signs.flaws.astype(np.int16)
    found = {SILENT: is_silent, UNSURE: ~is_silent & (signs.presence_score < SURE_SCORE),
             UNLIKE: unlike >= EXTREME, FAINT: faint >= EXTREME, LEFT: left >= EXTREME}  # fmt: skip
    for bit, is_so in found.items():
        reasons |= (is_so & signs.is_stem).astype(np.int16) << bit
    return doubt.astype(np.float32), reasons


def rank_within(groups: np.ndarray, values: np.ndarray, is_ranked: np.ndarray) -> np.ndarray:
    """Rank each value within its group: 0 is the lowest, 1 the highest; a single value gets 0.5.

    NaN, and rows that are not ranked, stay NaN. Equal values share the mean of their ranks.
    """
    ranks = np.full(len(values), np.nan, np.float32)
    chosen = np.flatnonzero(is_ranked & ~np.isnan(values))
    if not len(chosen):
        return ranks
    order = chosen[np.lexsort((values[chosen], groups[chosen]))]
    group, value = groups[order], values[order]
    is_first = np.r_[True, group[1:] != group[:-1]]
    is_new = is_first | np.r_[True, value[1:] != value[:-1]]
    starts, run_starts = np.flatnonzero(is_first), np.flatnonzero(is_new)
    counts = np.diff(np.r_[starts, len(order)])
    begin, count = np.repeat(starts, counts), np.repeat(counts, counts)
    lengths = np.diff(np.r_[run_starts, len(order)])
    middles = np.repeat(run_starts + (lengths - 1) / 2, lengths)
    ranks[order] = np.where(count > 1, (middles - begin) / np.maximum(count - 1, 1), 0.5)
    return ranks


def list_reasons(bits: int) -> list[str]:
    """Put the bits of one row into words."""
    return [text for number, text in enumerate(REASONS) if bits >> number & 1]
