"""Place decoded packets on a track's timeline: silence before them, gaps, overlaps."""

from dataclasses import dataclass

# Timestamps coarser than a sample are rounded (Matroska, FLV, ASF: to 1 ms); ticks coarser than
# this count packets (AVI) and are exact.
COARSEST_ROUNDING_S = 0.002
# A packet that is late or early by more than three quarters of its length shows that packets are
# missing or doubled. Less is jitter of the recorder's clock; correcting it would only add clicks.
GAP_SHARE = 0.75
LONGEST_JITTER_S = 0.05
# In containers whose times may jump, a jump of more than this forward or back is a splice: the rest
# follows without a gap, as in players.
SPLICE_S, SPLICE_BACK_S = 10.0, 0.1


@dataclass(frozen=True)
class Repairs:
    """Changes that decoding made to a track to keep it in sync, in samples at the decoded rate."""

    rate_hz: int
    num_gaps: int = 0
    num_filled: int = 0  # silence in the gaps
    num_dropped: int = 0  # of packets that overlap earlier ones
    num_missing: int = 0  # at the end, of the stated length; 0 if less than MIN_MISSING_S
    num_links: int = 1  # number of files that are joined one after the other
    errors: str = ""  # as ffmpeg reports them, in a line; shown only without other repairs

    def describe(self) -> str:
        """List the repairs in a line; empty if there are none.

        >>> Repairs(48_000, num_gaps=3, num_filled=5760, num_dropped=512).describe()
        '3 gaps filled (0.12 s); 512 samples dropped'
        """
        parts = []
        if self.num_links > 1:
            parts.append(f"{self.num_links} files one after the other")
        if self.num_gaps:
            gaps = f"{self.num_gaps} gap{'s' if self.num_gaps > 1 else ''}"
            parts.append(f"{gaps} filled ({self.num_filled / self.rate_hz:.2f} s)")
        if self.num_dropped:
            parts.append(f"{self.num_dropped} samples dropped")
        if self.num_missing:
            parts.append(f"ends {self.num_missing / self.rate_hz:.2f} s early")
        if self.errors and not parts:
            parts.append(f"ffmpeg reports: {self.errors}")
        return "; ".join(parts)


class Timeline:
    """Count samples from zero and find each packet's place; all counts are samples."""

    def __init__(
        self,
        rate_hz: int,
        tick_s: float,
        zero: int | None,
        has_times: bool,
        has_splices: bool = False,
        has_gaps: bool = True,
    ) -> None:
        """Start at timestamp `zero`; None: at the first packet's. Without times, packets follow
        each other; without gaps, they do so from the first one on."""
        self.rate_hz = rate_hz
        self.position = 0
        self.num_before = 0  # silence before the first packet
        self.num_gaps = 0
        self.num_filled = 0  # silence in all gaps
        self.num_dropped = 0  # overlaps after the first packet
        self.num_missing = 0  # at the end; set by the decoder
        self.num_links = 1  # of a chained file; set by the decoder
        self.errors = ""  # of libav; set by the decoder
        self._zero = zero
        self.has_times = has_times
        self._has_splices = has_splices
        self._has_gaps = has_gaps
        tick = tick_s * rate_hz if tick_s <= COARSEST_ROUNDING_S else 0.0
        self._rounding = 1.5 * tick if tick > 1.01 else 0.0
        self._most_jitter = LONGEST_JITTER_S * rate_hz
        self._longest = 0
        self._started = False

    @property
    def repairs(self) -> Repairs:
        """The changes so far."""
        return Repairs(
            self.rate_hz,
            self.num_gaps,
            self.num_filled,
            self.num_dropped,
            self.num_missing,
            self.num_links,
            self.errors,
        )

    def place(self, timestamp: int | None, num_samples: int) -> tuple[int, int]:
        """Return (samples of silence before the packet, samples to drop from its head). A packet
        without a time follows the one before."""
        silence = drop = 0
        late = self._find_lateness(timestamp, num_samples)
        if late > 0:
            silence = late
            if self._started:
                self.num_filled += silence
                self.num_gaps += 1
            else:
                self.num_before = silence
        elif late < 0:
            drop = min(num_samples, -late)
            if self._started:  # before the start, the dropped samples lie before zero
                self.num_dropped += drop
        # A packet that lies before zero as a whole does not start the track.
        self._started = self._started or drop < num_samples
        self.position += silence + num_samples - drop
        return silence, drop

    def _find_lateness(self, timestamp: int | None, num_samples: int) -> int:
        if not self.has_times or timestamp is None or (self._started and not self._has_gaps):
            return 0
        if self._zero is None:
            self._zero = timestamp - self.position
        late = timestamp - self._zero - self.position
        is_jump = late > SPLICE_S * self.rate_hz or late < -SPLICE_BACK_S * self.rate_hz
        if (self._has_splices or self.num_links > 1) and self._started and is_jump:
            self._zero += late
            return 0
        bound = self._rounding
        if self._started:
            self._longest = max(self._longest, num_samples)
            packet = min(GAP_SHARE * self._longest, self._most_jitter)
            # Twice, because the rounding of the first packet stays in every later difference.
            bound = max(2 * self._rounding, packet)
        else:
            self._longest = num_samples
        return late if abs(late) > bound else 0
