"""Choose how a mono network processes several channels: the channel policies. Pure.

- `mono`: the mean of all channels is separated; the stem has one channel.
- `each`: every channel is separated on its own.
- `linked`: the mean is separated once and its complex gain applied to every channel. It costs as
  much as `mono` and keeps the stereo image. A sound that is only in the difference of the channels
  is not separated: for such material use `each`.

Shapes: C channels of the track, P passes through the network, any trailing dimensions.
"""

from typing import TYPE_CHECKING, Literal, get_args

from separator.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

ChannelPolicy = Literal["mono", "each", "linked"]


def check_policy(policy: str) -> ChannelPolicy:
    """Return the policy as a checked type; RequestError if it is unknown."""
    for known in get_args(ChannelPolicy):
        if policy == known:
            return known
    raise RequestError(f"channels={policy!r}: must be one of {get_args(ChannelPolicy)}")


def choose_passes(spectrum_C: "Tensor", policy: ChannelPolicy) -> "tuple[Tensor, Tensor]":
    """Return the network's inputs (P, ...) and the spectra its gains apply to (P or C, ...)."""
    if policy == "each" or len(spectrum_C) == 1:
        return spectrum_C, spectrum_C
    mean = spectrum_C.mean(0, keepdim=True)
    return mean, mean if policy == "mono" else spectrum_C
