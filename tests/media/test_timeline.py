from separator.media.timeline import DecodeReport, Timeline

HZ = 48_000
MS = 0.001


def place(packets: list[tuple[int, int]], **options: object) -> tuple[list, DecodeReport]:
    report = DecodeReport()
    settings = {"rate_hz": HZ, "tick_s": 1 / HZ, "zero": 0, "has_times": True, **options}
    timeline = Timeline(report=report, **settings)  # type: ignore[arg-type]
    return [timeline.place(*packet) for packet in packets], report


def test_packets_in_a_row_are_left_alone() -> None:
    moves, report = place([(0, 1024), (1024, 1024), (2048, 100)])
    assert moves == [(0, 0)] * 3
    assert report == DecodeReport()


def test_a_late_start_is_silence_to_the_sample() -> None:
    moves, report = place([(1, 1024), (1025, 1024)])
    assert moves == [(1, 0), (0, 0)]
    assert report.num_before == 1 and report.num_gaps == 0


def test_before_zero_is_dropped_also_over_whole_packets() -> None:
    moves, report = place([(-1500, 1024), (-476, 1024), (548, 1024)])
    assert moves == [(0, 1024), (0, 476), (0, 0)]
    assert report.num_dropped == 1500


def test_zero_may_be_the_first_packet() -> None:
    assert place([(5000, 10), (5010, 10)], zero=None)[0] == [(0, 0), (0, 0)]


def test_a_lost_packet_is_filled() -> None:
    moves, report = place([(0, 1024), (2048, 1024), (3072, 1024)])
    assert moves == [(0, 0), (1024, 0), (0, 0)]
    assert report.num_filled == 1024 and report.num_gaps == 1


def test_a_doubled_packet_is_dropped() -> None:
    moves, report = place([(0, 1024), (0, 1024), (1024, 1024)])
    assert moves == [(0, 0), (0, 1024), (0, 0)]
    assert report.num_dropped == 1024


def test_milliseconds_do_not_tear_the_samples() -> None:
    # 1024 samples are 21.33 ms: Matroska writes 0, 21, 43, 64 ...
    packets = [(round(i * 1024 / 48) * 48, 1024) for i in range(10_000)]
    moves, _ = place(packets, tick_s=MS)
    assert set(moves) == {(0, 0)}
    # Packets of 1 ms, half a tick off, as PCM may come.
    packets = [(48 * i + (24 if i % 2 else -24), 48) for i in range(1000)]
    assert set(place(packets, tick_s=MS)[0]) == {(0, 0)}


def test_milliseconds_round_the_start_of_a_track_too() -> None:
    assert place([(-48, 960), (912, 960)], tick_s=MS)[0] == [(0, 0), (0, 0)]
    assert place([(480, 960), (1440, 960)], tick_s=MS)[0] == [(480, 0), (0, 0)]


def test_a_jittering_clock_is_not_mended() -> None:
    packets = [(1024 * i + (600 if i % 3 else 0), 1024) for i in range(1000)]
    assert set(place(packets)[0]) == {(0, 0)}


def test_slow_drift_is_mended_when_it_amounts_to_a_packet() -> None:
    moves, _ = place([(1025 * i, 1024) for i in range(2000)])
    silences = [silence for silence, _ in moves if silence]
    assert set(silences) == {769} and len(silences) == 2
    # Measured against zero, not against the packet before: what is left never accumulates.


def test_bare_streams_have_no_times() -> None:
    moves, _ = place([(0, 1024), (9999, 1024), (3, 1024)], has_times=False)
    assert moves == [(0, 0)] * 3
