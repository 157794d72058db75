"""Show a run while it is at work: a bar on a terminal, lines elsewhere.

Imports nothing heavy: the first line must not wait for imports.
"""

import shutil
import sys
from typing import TYPE_CHECKING, Any

from jobs.command import NO_ROOM, say, show_time, silence_stdout

if TYPE_CHECKING:
    from separator.run.stats import RunStats

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.2
LONGEST = 100  # columns of a bar


class Console:
    """Show phases and progress: one line that is redrawn on a terminal, lines elsewhere."""

    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal = is_terminal
        self.phase = self.waiting = ""
        self.drawn_s = 0.0  # seconds of the run when the last line was shown
        self.first: tuple[float, int, float] | None = None
        self.has_results = False
        self.bar: Any = None

    def say_phase(self, phase: str) -> None:
        self.phase = phase
        if self.bar is None:
            self._show(f"{phase} ...")

    def see(self, stats: "RunStats") -> None:
        if stats.phase and stats.phase != self.phase:
            self.say_phase(stats.phase)
        self.has_results = stats.has_results
        if stats.waiting != self.waiting:
            self.waiting, self.drawn_s = stats.waiting, 0.0
            if stats.waiting and self.bar is None:
                self._show(stats.waiting)
        if not stats.assets or (stats.waiting and not self.is_terminal):
            return
        if self.first is None:
            self.first = stats.seconds, stats.assets, stats.audio_s
        every_s = REDRAW_EVERY_S if self.is_terminal else LINE_EVERY_S
        if stats.seconds - self.drawn_s < every_s and self.drawn_s:
            return
        self.drawn_s = stats.seconds
        if self.is_terminal:
            self._draw(stats, self.first)
        else:
            self._show(make_line(stats, self.first))

    def tell(self, line: str) -> None:
        """Say what goes on after the end of the run, beside its results."""
        say(line)

    def show_result(self, line: str) -> None:
        print(line)

    def _show(self, line: str) -> None:
        self._write(f"\r{line[:79]:79}" if self.is_terminal else f"{line}\n")

    @staticmethod
    def _write(text: str) -> None:
        try:
            print(text, end="", flush=True)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            silence_stdout()  # a full disk under a log is no reason to end a run

    def _draw(self, stats: "RunStats", first: tuple[float, int, float]) -> None:
        """Draw the hours of audio so far, and those of all listed assets if they are as long."""
        audio_s, of_all = stats.audio_s, stats.assets_listed / stats.assets
        if self.bar is None:
            from tqdm import tqdm

            self._show("")
            ncols = min(LONGEST, shutil.get_terminal_size().columns - 1)
            self.bar = tqdm(file=sys.stdout, ncols=ncols, bar_format=" ", leave=False)
        words = [show_time(audio_s), *describe_rate(stats, first)]
        if of_all > 1:
            words[0] += f" of {show_time(audio_s * of_all)}"
        if stats.assets_failed:
            words.append(f"{stats.assets_failed:,} failed")
        line = (stats.waiting or "  ".join(words))[: self.bar.ncols - 6]
        # The line about waiting needs the room of the bar.
        shape = "{percentage:3.0f}%  " if stats.waiting else "{percentage:3.0f}% |{bar}| "
        if of_all < 1:  # not all assets are listed yet
            shape = ""
        self.bar.n, self.bar.total = audio_s, max(audio_s * of_all, audio_s, 1e-9)
        self.bar.bar_format = shape + line.replace("{", "(").replace("}", ")")
        self.bar.refresh()

    def end(self) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.is_terminal:
            print(f"\r{'':79}\r", end="", flush=True)


def describe_rate(stats: "RunStats", first: tuple[float, int, float]) -> list[str]:
    """Write speed and time left, counted from the `first` asset that came out (seconds of the
    run, assets, seconds of audio): what came before was start-up."""
    seconds, assets, audio_s = stats.seconds - first[0], stats.assets - first[1], first[2]
    if not assets or seconds <= 0:
        return []
    words = [f"{(stats.audio_s - audio_s) / seconds:.1f}x"]
    if (left := stats.assets_listed - stats.assets) > 0:
        words.append(f"{show_time(seconds / assets * left)} left")
    return words


def make_line(stats: "RunStats", first: tuple[float, int, float]) -> str:
    """Write progress in 80 columns."""
    of_all = f"/{stats.assets_listed:,}" if stats.assets_listed else ""
    words = [f"{stats.assets:,}{of_all} assets", f"{show_time(stats.audio_s)} of audio"]
    words += describe_rate(stats, first)
    return "  ".join([*words, *(f"{code} {n}" for code, n in stats.failures.most_common(2))])
