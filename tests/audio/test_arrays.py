"""Test that arrays and rates of every kind are converted without a guess, or refused by name."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from separator.audio.arrays import as_rate, as_tensor
from separator.errors import RequestError

SAMPLES = np.array([[0.5, -0.25, 0.125]], np.float32)


@pytest.mark.parametrize(
    "values",
    [
        SAMPLES[:, ::-1][:, ::-1],
        SAMPLES.astype(">f4"),
        SAMPLES.astype(">f8"),
        SAMPLES.astype(np.longdouble),
        SAMPLES.astype(np.float16),
        np.asfortranarray(np.repeat(SAMPLES, 2, 0))[:1],
        np.broadcast_to(SAMPLES, (1, 3)),  # read-only
        np.ma.masked_array(SAMPLES, mask=False),
        torch.tensor(SAMPLES, requires_grad=True),
    ],
    ids=["strides", "float32", "float64", "long", "half", "fortran", "read-only", "masked", "grad"],
)
def test_as_tensor_keeps_values_of_every_layout(values: Any) -> None:
    tensor = as_tensor(values, "waveform")
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.float().numpy(), SAMPLES)


def test_as_tensor_of_negative_strides_keeps_their_order() -> None:
    np.testing.assert_array_equal(as_tensor(SAMPLES[:, ::-1], "waveform"), SAMPLES[:, ::-1])


def test_as_tensor_of_long_double_out_of_range_is_infinite() -> None:
    large = np.array([[np.longdouble("1e4000")]])
    assert as_tensor(large, "waveform").item() == math.inf


@pytest.mark.parametrize("kind", [">i2", "i2", "u2", "i4", "?", ">c16", "clongdouble"])
def test_as_tensor_leaves_kinds_of_numbers_to_the_engine(kind: str) -> None:
    """The engine refuses them with a way out; here it must not come to torch's own errors."""
    assert as_tensor(np.ones((1, 3), kind), "waveform").shape == (1, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5]], "waveform is a list"),
        (None, "waveform is a NoneType"),
        (np.float32(0.5), "waveform is a float32"),
        (SAMPLES.astype(object), "waveform is an array of object"),
        (SAMPLES.astype(str), "waveform is an array of <U"),
        (SAMPLES.astype("datetime64[s]"), "waveform is an array of datetime64"),
        (np.ma.masked_array(SAMPLES, mask=SAMPLES > 0), r"waveform\.filled"),
        (torch.tensor(SAMPLES).to_sparse(), "make it dense"),
        (torch.tensor(SAMPLES).to("meta"), "make it dense"),
        (torch.nested.nested_tensor([torch.ones(3)], layout=torch.jagged), "make it dense"),
    ],
)
def test_as_tensor_refuses_what_holds_no_plain_numbers(values: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        as_tensor(values, "waveform")


@pytest.mark.parametrize(
    "rate_hz",
    [44_100, np.int64(44_100), np.uint16(44_100), 44_100.0, np.float32(44_100), Fraction(44_100)],
)
def test_as_rate_accepts_whole_numbers_of_every_type(rate_hz: Any) -> None:
    assert type(as_rate(rate_hz)) is int and as_rate(rate_hz) == 44_100
    assert as_rate(torch.tensor(44_100)) == 44_100
    assert type(as_rate(np.array(44_100))) is int  # a number from one of numpy's files


@pytest.mark.parametrize("rate_hz", [44_100.5, math.inf, math.nan, "44100", None, True, 1j])
def test_as_rate_leaves_other_values_as_they_are(rate_hz: Any) -> None:
    assert as_rate(rate_hz) is rate_hz
