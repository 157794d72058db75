"""Test the places of packets, and the counts of samples filled and dropped."""

from separator.media.timeline import Repairs, Timeline

HZ = 48_000
MS = 0.001


def place(packets: list[tuple[int, int]], **options: object) -> tuple[list, Timeline]:
    settings = {"rate_hz": HZ, "tick_s": 1 / HZ, "zero": 0, "has_times": True, **options}
    timeline = Timeline(**settings)  # type: ignore[arg-type]
    return [timeline.place(*packet) for packet in packets], timeline


def test_place_keeps_consecutive_packets() -> None:
    moves, timeline = place([(0, 1024), (1024, 1024), (2048, 100)])
    assert moves == [(0, 0)] * 3
    assert timeline.num_before == timeline.num_gaps == timeline.num_dropped == 0


def test_place_fills_late_start_exactly() -> None:
    moves, timeline = place([(1, 1024), (1025, 1024)])
    assert moves == [(1, 0), (0, 0)]
    assert timeline.num_before == 1 and timeline.num_gaps == 0


def test_place_drops_samples_before_zero() -> None:
    moves, timeline = place([(-1500, 1024), (-476, 1024), (548, 1024)])
    assert moves == [(0, 1024), (0, 476), (0, 0)]
    assert timeline.num_dropped == 0  # nothing that belongs to the track


def test_place_without_gaps_keeps_the_start_alone() -> None:
    packets = [(2000, 1024), (9999, 1024), (3, 1024)]
    moves, timeline = place(packets, has_gaps=False)
    assert moves == [(2000, 0), (0, 0), (0, 0)]
    assert timeline.num_before == 2000 and timeline.num_gaps == timeline.num_dropped == 0


def test_place_takes_zero_from_first_packet() -> None:
    assert place([(5000, 10), (5010, 10)], zero=None)[0] == [(0, 0), (0, 0)]


def test_place_fills_lost_packet() -> None:
    moves, timeline = place([(0, 1024), (2048, 1024), (3072, 1024)])
    assert moves == [(0, 0), (1024, 0), (0, 0)]
    assert timeline.num_filled == 1024 and timeline.num_gaps == 1


def test_place_drops_doubled_packet() -> None:
    moves, timeline = place([(0, 1024), (0, 1024), (1024, 1024)])
    assert moves == [(0, 0), (0, 1024), (0, 0)]
    assert timeline.num_dropped == 1024


def test_place_tolerates_millisecond_rounding() -> None:
    # 1024 samples are 21.33 ms: Matroska writes 0, 21, 43, 64 ...
    packets = [(round(i * 1024 / 48) * 48, 1024) for i in range(10_000)]
    moves, _ = place(packets, tick_s=MS)
    assert set(moves) == {(0, 0)}
    # Packets of 1 ms, half a tick off, as PCM may come.
    packets = [(48 * i + (24 if i % 2 else -24), 48) for i in range(1000)]
    assert set(place(packets, tick_s=MS)[0]) == {(0, 0)}


def test_place_tolerates_millisecond_rounding_of_start() -> None:
    assert place([(-48, 960), (912, 960)], tick_s=MS)[0] == [(0, 0), (0, 0)]
    assert place([(480, 960), (1440, 960)], tick_s=MS)[0] == [(480, 0), (0, 0)]


def test_place_tolerates_clock_jitter() -> None:
    packets = [(1024 * i + (600 if i % 3 else 0), 1024) for i in range(1000)]
    assert set(place(packets)[0]) == {(0, 0)}


def test_place_corrects_drift_of_a_packet() -> None:
    moves, _ = place([(1025 * i, 1024) for i in range(2000)])
    silences = [silence for silence, _ in moves if silence]
    assert set(silences) == {769} and len(silences) == 2
    # Measured against zero, not against the packet before: what is left never accumulates.


def test_place_fills_a_pause_that_is_short_for_long_packets() -> None:
    assert place([(0, HZ), (HZ + 4_800, HZ)])[0] == [(0, 0), (4_800, 0)]


def test_place_follows_a_jump_where_times_may_jump() -> None:
    for jump in (20 * HZ, -HZ):
        packets = [(0, 10_240), (10_240 + jump, 10_240), (20_480 + jump, 10_240)]
        moves, timeline = place(packets, has_splices=True)
        assert moves == [(0, 0)] * 3 and timeline.position == 30_720
        assert place(packets)[0][1] == (max(0, jump), min(10_240, max(0, -jump)))


def test_repairs_tell_the_errors_of_libav_only_if_there_is_nothing_else() -> None:
    assert Repairs(HZ).describe() == ""
    assert Repairs(HZ, errors="invalid data").describe() == "ffmpeg reports: invalid data"
    assert Repairs(HZ, num_dropped=2, errors="x").describe() == "2 samples dropped"


def test_place_ignores_times_of_bare_streams() -> None:
    moves, _ = place([(0, 1024), (9999, 1024), (3, 1024)], has_times=False)
    assert moves == [(0, 0)] * 3
