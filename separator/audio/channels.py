"""What several channels mean to a network of one: the channel policies. Pure functions on tensors.

- `mono`: the mean of all channels is separated; the stem has one channel.
- `each`: every channel is separated on its own.
- `linked`: the mean is separated once and its complex gain applied to every channel. It costs as
  much as `mono` and keeps the stereo image. What is only in the difference of the channels is
  invisible to it: for such material use `each`.

Shapes: C channels of the track, P passes through the network, any trailing dimensions.
"""

from typing import TYPE_CHECKING, Literal, get_args

from separator.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

ChannelPolicy = Literal["mono", "each", "linked"]


def check_policy(policy: str) -> ChannelPolicy:
    for known in get_args(ChannelPolicy):
        if policy == known:
            return known
    raise RequestError(f"channels={policy!r}: must be one of {get_args(ChannelPolicy)}")


def choose_passes(spectrum_C: "Tensor", policy: ChannelPolicy) -> "tuple[Tensor, Tensor]":
    """(what the network is asked about (P, ...), what its gains apply to (P or C, ...))."""
    if policy == "each" or len(spectrum_C) == 1:
        return spectrum_C, spectrum_C
    mean = spectrum_C.mean(0, keepdim=True)
    return mean, mean if policy == "mono" else spectrum_C
