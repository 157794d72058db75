"""Choose the assets that a report shows: the most doubtful ones, and others at random. Pure."""

from dataclasses import dataclass

import numpy as np

RANDOM_SHARE = 0.25  # share of random assets, if not all assets fit


@dataclass(frozen=True)
class Choice:
    """Sorted hashes of the chosen assets, and how they were chosen."""

    assets: np.ndarray
    num_by_doubt: int
    num_at_random: int  # 0 if all assets are shown

    def has(self, assets: np.ndarray) -> np.ndarray:
        return np.isin(assets, self.assets)


def choose_assets(asset: np.ndarray, doubt: np.ndarray, most: int) -> Choice:
    """Choose at most `most` assets; `asset` and `doubt` are the asset's hash and doubt of each row.

    An asset is as doubtful as its most doubtful stem. The random assets are those with the lowest
    hashes, so a report that is made again shows the same ones.
    """
    order = np.lexsort((-np.nan_to_num(doubt, nan=-1.0), asset))
    assets, first = np.unique(asset[order], return_index=True)
    if len(assets) <= most:
        return Choice(assets, len(assets), 0)
    highest = np.nan_to_num(doubt, nan=-1.0)[order][first]
    num_random = int(most * RANDOM_SHARE)
    by_doubt = np.argsort(-highest, kind="stable")[: most - num_random]
    others = np.setdiff1d(assets, assets[by_doubt])[:num_random]
    chosen = np.union1d(assets[by_doubt], others)
    return Choice(chosen, len(by_doubt), len(others))
