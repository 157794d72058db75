"""The choice of assets for a page."""

import numpy as np

from separator.report.sample import choose_assets

NAN = float("nan")


def test_choose_assets_takes_all_where_they_fit():
    choice = choose_assets(np.array([5, 3, 5]), np.array([NAN, 0.2, 0.1]), 2)
    assert choice.assets.tolist() == [3, 5] and choice.num_at_random == 0


def test_choose_assets_takes_three_quarters_by_their_most_doubtful_stem():
    asset = np.repeat(np.arange(100), 2)
    doubt = np.where(asset % 10 == 0, 0.9, 0.1)
    doubt[1::2] = NAN
    choice = choose_assets(asset, doubt, 12)
    assert (choice.num_by_doubt, choice.num_at_random) == (9, 3)
    assert len(choice.assets) == 12
    assert sum(each % 10 == 0 for each in choice.assets.tolist()) >= 9
    assert choice.has(np.array([choice.assets[0], -1])).tolist() == [True, False]


def test_choose_assets_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(1)
    asset, doubt = rng.integers(0, 50, 300), rng.random(300)
    order = rng.permutation(300)
    first, second = choose_assets(asset, doubt, 20), choose_assets(asset[order], doubt[order], 20)
    assert first.assets.tolist() == second.assets.tolist()
