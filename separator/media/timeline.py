"""Where decoded packets lie on a track's timeline: silence before them, gaps, overlaps. Integers
only; it sees no samples.
"""

from dataclasses import dataclass

# Timestamps coarser than a sample are roundings of the true time (Matroska, FLV, ASF: 1 ms); ticks
# coarser than this count packets (AVI) and are exact.
COARSEST_ROUNDING_S = 0.002
# Late or early by more than three quarters of a packet means that packets are missing or doubled.
# Anything less is jitter of the recorder's clock, and mending it would only add clicks.
GAP_SHARE = 0.75
LONGEST_JITTER_S = 0.05


@dataclass
class DecodeReport:
    """What became of a track, in samples at the decoded rate. Whole once decoding has ended."""

    num_samples: int = 0
    num_before: int = 0  # silence before a track that starts later than zero
    num_filled: int = 0  # silence in place of what is missing later on
    num_dropped: int = 0  # doubled, before zero, or beyond the end the container states
    num_gaps: int = 0


class Timeline:
    """Counts samples from zero and says how each packet meets them."""

    def __init__(
        self, rate_hz: int, tick_s: float, zero: int | None, has_times: bool, report: DecodeReport
    ) -> None:
        """`zero` is the timestamp of sample 0, None for that of the first packet. Without times,
        packets follow each other."""
        self.position = 0
        self.report = report
        self._zero = zero
        self._has_times = has_times
        tick = tick_s * rate_hz if tick_s <= COARSEST_ROUNDING_S else 0.0
        self._rounding = 1.5 * tick if tick > 1.01 else 0.0
        self._most_jitter = LONGEST_JITTER_S * rate_hz
        self._longest = 0
        self._started = False

    def place(self, timestamp: int, num_samples: int) -> tuple[int, int]:
        """(samples of silence before the packet, samples to drop from its head)."""
        silence = drop = 0
        late = self._find_lateness(timestamp, num_samples)
        if late > 0:
            silence = late
            if self._started:
                self.report.num_filled += silence
                self.report.num_gaps += 1
            else:
                self.report.num_before = silence
        elif late < 0:
            drop = min(num_samples, -late)
            self.report.num_dropped += drop
        # A packet before zero that is dropped whole has started nothing.
        self._started = self._started or drop < num_samples
        self.position += silence + num_samples - drop
        return silence, drop

    def _find_lateness(self, timestamp: int, num_samples: int) -> int:
        if self._zero is None:
            self._zero = timestamp
        if not self._has_times:
            return 0
        late = timestamp - self._zero - self.position
        bound = self._rounding
        if self._started:
            self._longest = max(self._longest, num_samples)
            packet = min(GAP_SHARE * self._longest, self._most_jitter)
            # Twice: the first packet's rounding stays in the difference for good.
            bound = max(2 * self._rounding, packet)
        else:
            self._longest = num_samples
        return late if abs(late) > bound else 0
