"""Count failures of devices, and leave out the sick ones. Pure: the monitor asks, for all actors.

A device is sick when it fails several times in a row. A failure loses all spans that are in work on
the device. If all its failures have one span in common, or if a span fails on two devices, the span
is to blame and not the device.
"""

from collections import Counter
from collections.abc import Collection

MAX_FAILURES = 3  # so many in a row, without common work, make a device sick
MAX_TURNS = 2  # restarts of an actor that Ray puts on a sick device although others are free
START = "start"  # stands for the work if an actor does not even start
# Answers to an actor that starts on a device. GIVE_UP is for an actor that holds spans: they fail
# at once, so that the next pass takes them. PARK is for one without spans: it waits, and gets none.
WORK, TURN_AWAY, PARK, GIVE_UP = "work", "turn away", "park", "give up"


class DeviceHealth:
    """Hold what the actors have reported: failures of the run, and actors of the pass."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # by device
        self.in_a_row: dict[str, list[frozenset[str]]] = {}  # works lost in each, by device
        self.failed_on: dict[str, set[str]] = {}  # devices, by work
        self.details: dict[str, str] = {}  # the last failure, by device
        self.last = ""  # the last failure of all, with its device
        self.begin_pass()

    def begin_pass(self) -> None:
        self.seen: set[str] = set()  # devices
        self.working: set[str] = set()  # ids of actors that have started
        self.has_worked: set[str] = set()
        self.stopped: set[str] = set()  # ids of actors that do no work any more
        self.turns: Counter[str] = Counter()

    @property
    def left_out(self) -> dict[str, str]:
        """The sick devices, with the last failure of each."""
        return {device: text for device, text in self.details.items() if self.is_sick(device)}

    def come(self, actor: str, device: str) -> str:
        """Answer an actor that starts on a device, for the first time or again."""
        self.working.discard(actor)
        self.seen.add(device)
        if not self.is_sick(device):
            self.turns[actor] = 0
            return WORK
        self.turns[actor] += 1
        num_healthy = sum(not self.is_sick(each) for each in self.seen)
        if len(self.working) < num_healthy and self.turns[actor] <= MAX_TURNS:
            return TURN_AWAY
        self.stopped.add(actor)
        return GIVE_UP if actor in self.has_worked else PARK

    def start(self, actor: str) -> None:
        self.working.add(actor)
        self.has_worked.add(actor)

    def succeed(self, device: str) -> None:
        self.in_a_row[device] = []

    def fail(self, actor: str, device: str, works: Collection[str], detail: str) -> None:
        """Note a failure. `works`: names of all spans that were in work on the device."""
        self.working.discard(actor)
        self.failures[device] += 1
        if START in works:
            works = [f"{START} {self.failures[device]} on {device}"]
        self.in_a_row.setdefault(device, []).append(frozenset(works))
        for work in works:
            self.failed_on.setdefault(work, set()).add(device)
        self.details[device] = detail
        self.last = f"{device}: {detail}"

    def is_sick(self, device: str) -> bool:
        own = [
            works
            for works in self.in_a_row.get(device, [])
            if all(len(self.failed_on[work]) == 1 for work in works)
        ]
        return len(own) >= MAX_FAILURES and not frozenset.intersection(*own)
