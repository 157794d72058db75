"""Compute the Fréchet distance between two sets of embeddings, each taken as a normal distribution.

With the embeddings of separated and of true sounds this is the Fréchet audio distance (FAD).

Shapes: M, N sounds, D embedding.
"""

import numpy as np

from separator.errors import AudioError


def compute_frechet_distance(first_MD: np.ndarray, second_ND: np.ndarray) -> float:
    """Compute |m1 - m2|² + Tr(C1 + C2 - 2 (C1 C2)^½) of the means and the covariances.

    The trace of the root is the sum of the singular values of A1 A2ᵀ, where C = AᵀA: no root of a
    matrix is taken, so there may be fewer sounds than dimensions.
    """
    if first_MD.ndim != 2 or first_MD.shape[1:] != second_ND.shape[1:]:
        raise AudioError(
            f"embeddings {first_MD.shape} and {second_ND.shape}: needed are two tables of equally "
            "many columns"
        )
    if min(len(first_MD), len(second_ND)) < 2:
        return float("nan")
    means, halves = [], []
    for embeddings in (first_MD, second_ND):
        wide = embeddings.astype(np.float64)
        means.append(wide.mean(0))
        halves.append(np.linalg.qr(wide - means[-1], mode="r") / np.sqrt(len(wide) - 1))
    spread = sum(float(np.square(half).sum()) for half in halves)
    shared = float(np.linalg.svd(halves[0] @ halves[1].T, compute_uv=False).sum())
    return float(np.square(means[0] - means[1]).sum()) + spread - 2 * shared
