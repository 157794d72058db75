"""Test that residuals null as integers, and mixes and fades against plain arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from separator.audio.renditions import (
    JOINT,
    Editor,
    Edits,
    Rendition,
    choose_gain,
    limit,
    merge_times,
    round_samples,
    shape_fades,
    to_samples,
)
from separator.media.quantise import quantise

RATE_HZ = 8_000
NAMES = ("siren", "rain", "man")


def make_sounds(seed=0, level=0.05, num_channels=2, num_samples=4_000):
    """Make (track, stems); the stems need not be parts of the track."""
    rng = np.random.default_rng(seed)
    shape = (len(NAMES) + 1, num_channels, num_samples)
    track, *stems = (level * rng.standard_normal(shape)).astype(np.float32)
    return track, dict(zip(NAMES, stems, strict=True))


def edit(track_CT, stems, edits, start=0):
    editor = Editor(track_CT, start, RATE_HZ, edits)
    products = [p for name, stem_CT in stems.items() for p in editor.add(name, stem_CT)]
    return {(p.kind, p.name): p for p in [*products, *editor.finish()]}


def write(samples_CT, bits):
    """The integers that end up in a file."""
    ((samples_TC, _),) = quantise([samples_CT], bits)
    return samples_TC.T.astype(np.int64)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("level", [1e-5, 0.05])
def test_stem_and_residual_sum_to_the_track(bits, level):
    track_CT, stems = make_sounds(level=level)
    products = edit(track_CT, stems, Edits("per_query", bits))
    assert len(products) == 2 * len(NAMES)
    for name in NAMES:
        stem, rest = products["stem", name], products["residual", name]
        total = write(stem.samples, bits) + write(rest.samples, bits)
        assert np.array_equal(total, write(track_CT, bits)) and rest.null_error == 0
        # And the stem is the one that is written without residuals.
        assert np.array_equal(write(stem.samples, bits), write(stems[name], bits))


@pytest.mark.parametrize("bits", [16, 24])
def test_all_stems_and_joint_residual_sum_to_the_track(bits):
    track_CT, stems = make_sounds()
    products = edit(track_CT, stems, Edits("joint", bits))
    assert len(products) == len(NAMES) + 1
    total = sum(write(p.samples, bits) for p in products.values())
    assert np.array_equal(total, write(track_CT, bits))
    assert products["residual", JOINT].null_error == 0


@pytest.mark.parametrize("residual", ["per_query", "joint"])
def test_null_error_reports_clipped_residual(residual):
    """Track at +0.9, stem at -0.9: the rest is twice over full scale."""
    track_CT = np.array([[0.9, 0.5, -0.25]], np.float32)
    stems = {"siren": np.array([[-0.9, 0.25, 0.5]], np.float32)}
    products = edit(track_CT, stems, Edits(residual, 16))
    (rest,) = (p for p in products.values() if p.kind == "residual")
    total = write(products["stem", "siren"].samples, 16) + write(rest.samples, 16)
    off = total - write(track_CT, 16)
    assert off[0, 0] != 0 and not off[0, 1:].any()
    assert rest.null_error == np.abs(off).max() / 2**15 > 0.5


def test_residual_subtracts_the_clipped_stem():
    """A float track may go over; the rest brings it back, as far as that fits."""
    track_CT, stem_CT = np.array([[1.5, -1.5]], np.float32), np.array([[1.25, -1.25]], np.float32)
    products = edit(track_CT, {"siren": stem_CT}, Edits("per_query", 24))
    rest = products["residual", "siren"]
    total = write(products["stem", "siren"].samples, 24) + write(rest.samples, 24)
    assert np.array_equal(total, round_samples(track_CT, 24)) and rest.null_error == 0


def test_round_samples_equals_quantise():
    rng = np.random.default_rng(1)
    samples_CT = rng.uniform(-1.2, 1.2, (2, 50_000)).astype(np.float32)
    samples_CT[0, :100] = (np.arange(100) - 50.5) / 2**15  # ties
    for bits in (16, 24):
        integers = limit(round_samples(samples_CT, bits), bits)
        assert np.array_equal(integers, write(samples_CT, bits))
        assert np.array_equal(write(to_samples(integers, bits), bits), integers)


def test_renditions_equal_plain_arithmetic():
    track_CT, stems = make_sounds()
    renditions = (
        Rendition("no-siren", {"siren": 0.0}),
        Rendition("only-man", {"man": 1.0}, rest=0.0),
        Rendition("music-down", {"rain": 0.25, "man": 2.0}, rest=0.5),
        Rendition("as-it-was", dict.fromkeys(NAMES, 1.0)),
    )
    made = edit(track_CT, stems, Edits(renditions=renditions))
    found = {name: p.samples for (kind, name), p in made.items() if kind == "rendition"}
    s, r, m = (stems[name].astype(np.float64) for name in NAMES)
    np.testing.assert_allclose(found["no-siren"], track_CT - s, atol=1e-6)
    np.testing.assert_allclose(found["only-man"], m, atol=1e-6)
    rest = track_CT.astype(np.float64) - r - m
    np.testing.assert_allclose(found["music-down"], 0.25 * r + 2 * m + 0.5 * rest, atol=1e-6)
    assert np.array_equal(found["as-it-was"], track_CT)
    assert all(x.dtype == np.float32 for x in found.values())


def test_editor_products_do_not_depend_on_spans():
    track_CT, stems = make_sounds(num_samples=9_000)
    rendition = Rendition("m", {"siren": 0.1}, 0.7, within_s=((0.2, 0.6), (0.55, 1.0)), fade_s=0.1)
    edits = Edits("joint", 24, (rendition,))
    whole = edit(track_CT, stems, edits)
    pieces = []
    for start, stop in ((0, 2_501), (2_501, 4_001), (4_001, 9_000)):
        cut = {name: stem_CT[:, start:stop] for name, stem_CT in stems.items()}
        pieces.append(edit(track_CT[:, start:stop], cut, edits, start))
    for key, product in whole.items():
        again = np.concatenate([piece[key].samples for piece in pieces], axis=1)
        assert np.array_equal(again, product.samples), key


def test_rendition_applies_only_within_its_stretches():
    track_CT, stems = make_sounds(num_samples=16_000)
    rendition = Rendition("m", {"siren": 0.0}, within_s=((0.5, 1.0),), fade_s=0.05)
    everywhere = edit(track_CT, stems, Edits(renditions=(replace(rendition, within_s=()),)))
    found = edit(track_CT, stems, Edits(renditions=(rendition,)))["rendition", "m"].samples
    inside, outside = slice(4_400, 7_600), np.r_[0:4_000, 8_000:16_000]
    mixed = everywhere["rendition", "m"].samples
    np.testing.assert_allclose(found[:, inside], mixed[:, inside], atol=1e-6)
    assert np.array_equal(found[:, outside], track_CT[:, outside])


def test_shape_fades_takes_stretches_that_touch_or_overlap_for_one():
    at = range(1000)
    one_T = shape_fades(at, 1000, [(0.1, 0.9)], 0.02)
    for parts in ([(0.1, 0.4), (0.4, 0.9)], [(0.39, 0.9), (0.1, 0.4)], [(0.1, 0.9), (0.2, 0.3)]):
        np.testing.assert_array_equal(shape_fades(at, 1000, parts, 0.02), one_T)


def test_shape_fades_of_stretches():
    share = shape_fades(range(8_000), RATE_HZ, [(0.25, 0.75)], 0.1)
    assert share[2_000] == 0 and share[2_400] == pytest.approx(0.5, abs=0.01)
    assert (share[2_800:5_200] == 1).all() and not share[6_000:].any() and not share[:2_000].any()
    assert np.abs(np.diff(share)).max() < 1.6 / 800  # nowhere steeper than a raised cosine
    # From the beginning, and without an end.
    share = shape_fades(range(8_000), RATE_HZ, [(0.0, 0.1), (0.5, float("inf"))], 0.02)
    assert share[0] == 1 and share[-1] == 1 and not share[800:4_000].any()
    # Shorter than its fades: it still reaches the top.
    share = shape_fades(range(8_000), RATE_HZ, [(0.5, 0.51)], 0.1)
    assert share.max() == pytest.approx(1, abs=1e-3) and (share > 0).sum() <= 80


def test_choose_gain_is_limited_by_true_peak():
    rendition = Rendition("m", loudness_lufs=-23.0, true_peak_dbtp=-1.0)
    assert choose_gain(-29.0, -20.0, rendition) == pytest.approx(10 ** (6 / 20))
    assert choose_gain(-29.0, -4.0, rendition) == pytest.approx(10 ** (3 / 20))
    assert choose_gain(-13.0, 2.0, rendition) == pytest.approx(10 ** (-10 / 20))
    assert choose_gain(-70.0, -200.0, rendition) == 1.0
    assert choose_gain(-29.0, -20.0, replace(rendition, loudness_lufs=None)) == 1.0


def test_merge_times_joins_stretches_that_are_no_further_apart_than_the_gap():
    assert merge_times([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0)], 0.5) == [(0.0, 3.0), (4.0, 5.0)]
    assert merge_times([(0.0, 1.0), (1.4, 2.0)], 0.5) == [(0.0, 2.0)]
    assert merge_times([(1.0, 2.0), (0.0, 1.0)], 0.0) == [(0.0, 2.0)]
