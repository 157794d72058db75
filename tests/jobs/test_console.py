"""The console of a run while it is at work."""

from jobs.separate import Console
from separator.run.stats import RunStats


def make_stats(phase: str, seconds: float, assets: int = 0, audio_s: float = 0.0) -> RunStats:
    stats = RunStats("run", phase=phase, seconds=seconds, assets=assets, audio_s=audio_s)
    stats.assets_listed = 11
    return stats


def test_console_shows_each_phase_once(capsys):
    console = Console(is_terminal=False)
    for phase in ("checking the library", "starting Ray", "starting Ray", "warming up"):
        console.see(make_stats(phase, 0))
    assert capsys.readouterr().out.splitlines() == [
        "checking the library ...",
        "starting Ray ...",
        "warming up ...",
    ]


def test_console_estimates_from_the_first_asset_and_not_from_the_start(capsys):
    """A minute of start-up must not be taken for the time of an asset."""
    console = Console(is_terminal=False)
    console.see(make_stats("separating", 60, assets=1, audio_s=10))
    first = capsys.readouterr().out.splitlines()
    assert first == ["separating ...", "1/11 assets  10s of audio"]
    console.see(make_stats("separating", 65, assets=2, audio_s=20))
    assert capsys.readouterr().out == ""  # a line every ten seconds
    console.see(make_stats("separating", 80, assets=5, audio_s=110))
    assert capsys.readouterr().out == "5/11 assets  1.8min of audio  5.0x  30s left\n"


def test_console_redraws_one_line_on_a_terminal(capsys):
    console = Console(is_terminal=True)
    stats = make_stats("separating", 60, assets=1)
    stats.failures["media_truncated" * 10] = 3
    console.see(stats)
    console.end()
    out = capsys.readouterr().out
    assert "\n" not in out and out.endswith("\r")
    assert all(len(line) <= 79 for line in out.split("\r"))
