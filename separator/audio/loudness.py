"""Measure the loudness of a track in LUFS after ITU-R BS.1770-4 (EBU R128), block by block.

Shapes: C channels, T samples, H hops of 100 ms, J gating blocks of 400 ms, S filter sections,
K powers of s.
"""

import functools
import math
from array import array

import numpy as np

from separator.audio.format import AudioFormat

# The reading of meters if no block passes the absolute gate.
SILENCE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET_LU = -0.691  # cancels the gain of the filters at 997 Hz
BLOCK_HOPS = 4  # 400 ms, one every 100 ms: an overlap of 75 %

# The standard's two filter sections, b0 b1 b2 a0 a1 a2: a high shelf and a high-pass.
TABLE_RATE_HZ = 48_000
TABLE_S6 = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241,
     0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)  # fmt: skip
# With s = (z - 1) / (z + 1), the powers 1, 1/z, 1/z² become (1 + s)², (1 + s)(1 - s), (1 - s)².
BILINEAR = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, -2.0], [1.0, -1.0, 1.0]])

# The channels of ffmpeg's layouts. Other layouts are spelled out by ffmpeg: "FL+FR+LFE".
LAYOUTS = {
    "mono": "FC",
    "stereo": "FL+FR",
    "downmix": "DL+DR",
    "2.1": "FL+FR+LFE",
    "3.0": "FL+FR+FC",
    "3.0(back)": "FL+FR+BC",
    "3.1": "FL+FR+FC+LFE",
    "4.0": "FL+FR+FC+BC",
    "4.1": "FL+FR+FC+LFE+BC",
    "quad": "FL+FR+BL+BR",
    "quad(side)": "FL+FR+SL+SR",
    "5.0": "FL+FR+FC+BL+BR",
    "5.0(side)": "FL+FR+FC+SL+SR",
    "5.1": "FL+FR+FC+LFE+BL+BR",
    "5.1(side)": "FL+FR+FC+LFE+SL+SR",
    "6.0": "FL+FR+FC+BC+SL+SR",
    "6.0(front)": "FL+FR+FLC+FRC+SL+SR",
    "hexagonal": "FL+FR+FC+BL+BR+BC",
    "6.1": "FL+FR+FC+LFE+BC+SL+SR",
    "6.1(back)": "FL+FR+FC+LFE+BL+BR+BC",
    "6.1(front)": "FL+FR+LFE+FLC+FRC+SL+SR",
    "7.0": "FL+FR+FC+BL+BR+SL+SR",
    "7.0(front)": "FL+FR+FC+FLC+FRC+SL+SR",
    "7.1": "FL+FR+FC+LFE+BL+BR+SL+SR",
    "7.1(wide)": "FL+FR+FC+LFE+BL+BR+FLC+FRC",
    "7.1(wide-side)": "FL+FR+FC+LFE+FLC+FRC+SL+SR",
    "octagonal": "FL+FR+FC+BL+BR+BC+SL+SR",
    "hexadecagonal": "FL+FR+FC+BL+BR+BC+SL+SR+TFL+TFC+TFR+TBL+TBC+TBR+WL+WR",
    "22.2": "FL+FR+FC+LFE+BL+BR+FLC+FRC+BC+SL+SR+TC+TFL+TFC+TFR+TBL+TBC+TBR+LFE2+TSL+TSR+BFC+BFL"
    "+BFR",
}
SURROUND_WEIGHT = 1.41
# Loudspeakers 60 to 120 degrees to the side, at the height of the ears.
SIDES = {"SL", "SR", "SDL", "SDR", "WL", "WR"}
BACKS = {"BL", "BR"}
LOW_FREQUENCY = {"LFE", "LFE2"}
TINY = 1e-50
ACTIVE_LU, FAINT_LUFS = 20.0, -60.0


class Meter:
    """Integrated loudness of a track, added block by block.

    The result does not depend on the sizes of the blocks, to the last bit. The meter holds 400 ms
    of samples and one number for every 100 ms: 2.9 MB for ten hours.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        """Start at silence; an unknown layout gives every channel the same weight."""
        rate_hz, num_channels = audio_format.rate_hz, audio_format.num_channels
        # The hop is a whole number of samples: at 11,025 Hz it is off by 0.05 %.
        self.hop = max(1, round(rate_hz / 10))
        self.weights_C = weigh_channels(audio_format.layout, num_channels)
        self._sos_S6 = design_filter(rate_hz)
        self._state_SC2 = np.zeros((len(self._sos_S6), num_channels, 2))
        # Samples are filtered 400 ms at a time, so rounding does not depend on the blocks added.
        self._held_CT = np.zeros((num_channels, BLOCK_HOPS * self.hop))
        self._num_held = 0
        self._energies_H = array("d")

    def add(self, block_CT: np.ndarray) -> None:
        """Take in the next samples of the track, any number of them."""
        assert block_CT.ndim == 2 and len(block_CT) == len(self._held_CT), block_CT.shape
        at, num_samples = 0, block_CT.shape[1]
        while at < num_samples:
            count = min(num_samples - at, self._held_CT.shape[1] - self._num_held)
            self._held_CT[:, self._num_held : self._num_held + count] = block_CT[:, at : at + count]
            at += count
            self._num_held += count
            if self._num_held == self._held_CT.shape[1]:
                energies_H, _, self._state_SC2 = self._weigh(self._held_CT)
                # The filters ring on after a sound, in denormal numbers that are slow to compute.
                self._state_SC2[np.abs(self._state_SC2) < TINY] = 0.0
                self._energies_H.frombytes(energies_H.tobytes())
                self._num_held = 0

    def loudness_lufs(self) -> float:
        """Return the loudness of all samples so far; more may be added.

        An unfinished block does not count, but a track of less than 400 ms is one block.
        SILENCE_LUFS if there is no sample or no block passes the gate; NaN if a sample is NaN.
        """
        energies_H, rest = self._list_energies()
        if len(energies_H) >= BLOCK_HOPS:
            sums_J = np.lib.stride_tricks.sliding_window_view(energies_H, BLOCK_HOPS).sum(-1)
            return gate(sums_J / (BLOCK_HOPS * self.hop))
        return gate((energies_H.sum(keepdims=True) + rest) / max(1, self._num_held))

    def active_share(self) -> float:
        """Return the share of hops of 100 ms that are within 20 LU of the whole track's loudness
        and not softer than -60 LUFS."""
        loudness_lufs = self.loudness_lufs()
        energies_H, _ = self._list_energies()
        if math.isnan(loudness_lufs):
            return math.nan
        if not len(energies_H):
            return float(loudness_lufs > FAINT_LUFS)
        floor = to_power(max(loudness_lufs - ACTIVE_LU, FAINT_LUFS))
        return float((energies_H / self.hop > floor).mean())

    def _list_energies(self) -> tuple[np.ndarray, float]:
        """Return the energy of every hop so far, and that of the unfinished hop."""
        held_H, rest, _ = self._weigh(self._held_CT[:, : self._num_held])
        return np.concatenate([np.frombuffer(self._energies_H), held_H]), rest

    def _weigh(self, samples_CT: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """Return the weighted energy of each whole hop, that of the rest, and the filter state."""
        from scipy.signal import sosfilt  # imported here: the import takes 2 s

        if not samples_CT.shape[1]:  # sosfilt refuses an empty array
            return np.zeros(0), 0.0, self._state_SC2
        filtered_CT, state_SC2 = sosfilt(self._sos_S6, samples_CT, zi=self._state_SC2)
        np.square(filtered_CT, out=filtered_CT)
        num_hops = samples_CT.shape[1] // self.hop
        stop = num_hops * self.hop
        hops_CH = filtered_CT[:, :stop].reshape(len(samples_CT), num_hops, self.hop).sum(-1)
        rest_C = filtered_CT[:, stop:].sum(-1)
        energies_H = (self.weights_C[:, None] * hops_CH).sum(0)
        return energies_H, float((self.weights_C * rest_C).sum()), state_SC2


def gate(powers_J: np.ndarray) -> float:
    """Compute the loudness of the blocks that pass the absolute and the relative gate."""
    if not np.isfinite(powers_J).all():
        return math.nan
    loud_J = powers_J[powers_J > to_power(SILENCE_LUFS)]
    if not len(loud_J):
        return SILENCE_LUFS
    relative = loud_J.mean() * 10 ** (RELATIVE_GATE_LU / 10)
    return OFFSET_LU + 10 * math.log10(loud_J[loud_J > relative].mean())


def to_power(loudness_lufs: float) -> float:
    """Convert a loudness to the mean weighted power of a block."""
    return 10 ** ((loudness_lufs - OFFSET_LU) / 10)


def weigh_channels(layout: str | None, num_channels: int) -> np.ndarray:
    """Return the weight of each channel: 1.41 at the side, 0 for low-frequency effects, else 1.

    The back pair counts as the side pair if the layout has no other (5.1). Beside a side pair (7.1)
    the back pair stands behind 120 degrees and weighs 1; older meters give it 1.41.
    """
    names = LAYOUTS.get(layout or "", layout or "").split("+")
    if len(names) != num_channels:
        return np.ones(num_channels)
    surrounds = SIDES if SIDES & set(names) else BACKS
    return np.array(
        [0.0 if n in LOW_FREQUENCY else SURROUND_WEIGHT if n in surrounds else 1.0 for n in names]
    )


@functools.cache
def design_filter(rate_hz: int) -> np.ndarray:
    """Compute the standard's filters at any rate: sections (S, 6) as scipy takes them.

    The standard's table is for 48 kHz: each section is converted to its analogue filter, which the
    bilinear transform converts to this rate with its corner at the same frequency. The gain at any
    frequency is within 0.03 dB of the standard's from 22,050 Hz on, within 0.3 dB at 8 kHz.
    """
    sections_S6 = []
    for section in TABLE_S6:
        numerator_K, denominator_K = BILINEAR @ section[:3], BILINEAR @ section[3:]
        table_corner = math.sqrt(denominator_K[0] / denominator_K[2])
        corner_hz = math.atan(table_corner) / math.pi * TABLE_RATE_HZ
        if corner_hz > 0.45 * rate_hz:
            continue  # rates below 4 kHz hold no frequency that the shelf lifts
        scale_K = (table_corner / math.tan(math.pi * corner_hz / rate_hz)) ** np.arange(3)
        # BILINEAR is its own inverse up to a factor, which b and a share.
        b, a = BILINEAR @ (numerator_K * scale_K), BILINEAR @ (denominator_K * scale_K)
        sections_S6.append(np.concatenate([b, a]) / a[0])
    return np.array(sections_S6)
