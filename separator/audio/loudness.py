"""How loud a track is, in LUFS after ITU-R BS.1770-4 (EBU R128), from samples as they come.

Shapes: C channels, T samples, H hops of 100 ms, J gating blocks of 400 ms, S filter sections,
K powers of s.
"""

import functools
import math
from array import array

import numpy as np

# What meters show where nothing passes the absolute gate.
SILENCE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET_LU = -0.691  # cancels the gain of the filters at 997 Hz
BLOCK_HOPS = 4  # 400 ms, one every 100 ms: an overlap of 75 %

# The standard's two sections, b0 b1 b2 a0 a1 a2: a shelf for the head, and a high-pass.
TABLE_RATE_HZ = 48_000
TABLE_S6 = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241,
     0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)  # fmt: skip
# With s = (z - 1) / (z + 1), the powers 1, 1/z, 1/z² become (1 + s)², (1 + s)(1 - s), (1 - s)².
BILINEAR = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, -2.0], [1.0, -1.0, 1.0]])

# ffmpeg's layouts by their channels. Any other may come spelled out: "FL+FR+LFE".
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
}
SURROUND_WEIGHT = 1.41
# Between 60 and 120 degrees to the side, at the height of the ears.
SIDES = {"SL", "SR", "SDL", "SDR", "WL", "WR"}
BACKS = {"BL", "BR"}
LOW_FREQUENCY = {"LFE", "LFE2"}
TINY = 1e-50
ACTIVE_LU, FAINT_LUFS = 20.0, -60.0


class Meter:
    """Integrated loudness of a track, added block by block.

    The result is the same to the last bit however the samples are cut. What is held is one block
    of 400 ms and a number for every 100 ms: 2.9 MB for ten hours.
    """

    def __init__(self, rate_hz: int, num_channels: int, layout: str | None = None) -> None:
        """`layout` as ffmpeg names it; one that is unknown weighs every channel the same."""
        # The length that the hop has at an odd rate is rounded: at 11,025 Hz by 0.05 %.
        self.hop = max(1, round(rate_hz / 10))
        self.weights_C = weigh_channels(layout, num_channels)
        self._sos_S6 = design_filter(rate_hz)
        self._state_SC2 = np.zeros((len(self._sos_S6), num_channels, 2))
        # Filtering starts on the same samples always, whatever the cutting: no rounding differs.
        self._held_CT = np.zeros((num_channels, BLOCK_HOPS * self.hop))
        self._num_held = 0
        self._energies_H = array("d")

    def add(self, block_CT: np.ndarray) -> None:
        """The next samples of the track, any number of them."""
        assert block_CT.ndim == 2 and len(block_CT) == len(self._held_CT), block_CT.shape
        at, num_samples = 0, block_CT.shape[1]
        while at < num_samples:
            count = min(num_samples - at, self._held_CT.shape[1] - self._num_held)
            self._held_CT[:, self._num_held : self._num_held + count] = block_CT[:, at : at + count]
            at += count
            self._num_held += count
            if self._num_held == self._held_CT.shape[1]:
                energies_H, _, self._state_SC2 = self._weigh(self._held_CT)
                # After a sound the filters ring on for ever, in numbers too small for the
                # processor to be quick with.
                self._state_SC2[np.abs(self._state_SC2) < TINY] = 0.0
                self._energies_H.frombytes(energies_H.tobytes())
                self._num_held = 0

    def loudness_lufs(self) -> float:
        """Of all samples so far; more may be added after.

        Blocks that are not whole do not count, but a track of less than 400 ms is taken as one
        block. SILENCE_LUFS where there is no sample or nothing passes the gate; NaN where a sample
        is.
        """
        energies_H, rest = self._list_energies()
        if len(energies_H) >= BLOCK_HOPS:
            sums_J = np.lib.stride_tricks.sliding_window_view(energies_H, BLOCK_HOPS).sum(-1)
            return gate(sums_J / (BLOCK_HOPS * self.hop))
        return gate((energies_H.sum(keepdims=True) + rest) / max(1, self._num_held))

    def active_share(self) -> float:
        """Of the stretches of 100 ms, those within 20 LU of the loudness of the whole, and not
        softer than -60 LUFS."""
        loudness_lufs = self.loudness_lufs()
        energies_H, _ = self._list_energies()
        if math.isnan(loudness_lufs):
            return math.nan
        if not len(energies_H):
            return float(loudness_lufs > FAINT_LUFS)
        floor = to_power(max(loudness_lufs - ACTIVE_LU, FAINT_LUFS))
        return float((energies_H / self.hop > floor).mean())

    def _list_energies(self) -> tuple[np.ndarray, float]:
        """(of every hop so far, of what is less than one)."""
        held_H, rest, _ = self._weigh(self._held_CT[:, : self._num_held])
        return np.concatenate([np.frombuffer(self._energies_H), held_H]), rest

    def _weigh(self, samples_CT: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(energy of each whole hop over all channels, that of the rest, the filters after)."""
        from scipy.signal import sosfilt  # imported here: it costs 2 s

        if not samples_CT.shape[1]:  # sosfilt refuses it
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
    """Loudness of the blocks that are neither silent nor pauses."""
    if not np.isfinite(powers_J).all():
        return math.nan
    loud_J = powers_J[powers_J > to_power(SILENCE_LUFS)]
    if not len(loud_J):
        return SILENCE_LUFS
    relative = loud_J.mean() * 10 ** (RELATIVE_GATE_LU / 10)
    return OFFSET_LU + 10 * math.log10(loud_J[loud_J > relative].mean())


def to_power(loudness_lufs: float) -> float:
    return 10 ** ((loudness_lufs - OFFSET_LU) / 10)


def weigh_channels(layout: str | None, num_channels: int) -> np.ndarray:
    """1.41 for what stands to the side, 0 for low-frequency effects, 1 for the others.

    The back pair counts as the side one where there is no other (5.1). Beside one (7.1) it stands
    behind 120 degrees and weighs 1; older meters give it 1.41.
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
    """The standard's filters at any rate: sections (S, 6) as scipy takes them.

    Its table is for 48 kHz: each section is taken back to the analogue filter behind it, which the
    bilinear transform then brings to this rate, with its corner at the same frequency. The gain
    at any frequency stays within 0.03 dB from 22,050 Hz on, within 0.3 dB at 8 kHz.
    """
    sections_S6 = []
    for section in TABLE_S6:
        numerator_K, denominator_K = BILINEAR @ section[:3], BILINEAR @ section[3:]
        table_corner = math.sqrt(denominator_K[0] / denominator_K[2])
        corner_hz = math.atan(table_corner) / math.pi * TABLE_RATE_HZ
        if corner_hz > 0.45 * rate_hz:
            continue  # below 4 kHz: what the shelf lifts is not in the track
        scale_K = (table_corner / math.tan(math.pi * corner_hz / rate_hz)) ** np.arange(3)
        # BILINEAR is its own inverse but for a factor that both sides share.
        b, a = BILINEAR @ (numerator_K * scale_K), BILINEAR @ (denominator_K * scale_K)
        sections_S6.append(np.concatenate([b, a]) / a[0])
    return np.array(sections_S6)
