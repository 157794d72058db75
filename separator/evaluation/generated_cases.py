"""Plan and make the cases of the generator: held-out takes, the same on every machine.

For each kind there are mixtures of two and of three sounds at one energy with a query for the first
sound, and mixtures of two with a query for neither. Kinds that captions confuse are never mixed.

Shapes: T samples.
"""

from collections.abc import Iterator

import numpy as np

from separator.evaluation.protocol import Generated
from separator.sounds.catalog import CLASSES, make_sound
from separator.train.mixer import measure_energy, mix

FIRST_SEED = 8_000_000  # seeds of training, of mini's tables and of scenes are lower
NUM_EXAMPLES = 3  # other takes of the query's kind
MAX_TRIES = 10
SILENCE = 1e-6

Columns = dict[str, str]


def plan_generated(settings: Generated) -> list[Columns]:
    """Plan the cases as rows of texts: kinds, seed, and the texts of possible queries."""
    sets = {"pairs": settings.pairs, "three": settings.three, "absent": settings.absent}
    rows: list[Columns] = []
    for name, per_kind in sets.items():
        for target in CLASSES:
            for _ in range(per_kind):
                rng = np.random.default_rng([FIRST_SEED, len(rows)])
                kinds = [target, *draw_others(rng, target, 1 if name == "pairs" else 2)]
                sounding = kinds[1:] if name == "absent" else kinds
                sound = CLASSES[target]
                rows.append(
                    {
                        "set": name,
                        "kind": target,
                        "kinds": ";".join(sounding),
                        "seed": str(FIRST_SEED + 100 * len(rows)),
                        "label": sound.captions[0],
                        "caption": str(rng.choice(sound.captions)),
                        "paraphrase": str(rng.choice(sound.paraphrases)),
                    }
                )
    return rows


def draw_others(rng: np.random.Generator, target: str, count: int) -> Iterator[str]:
    """Draw kinds of other groups than the target's, each of another group."""
    groups = {CLASSES[target].group}
    for _ in range(count):
        kinds = [kind for kind, sound in CLASSES.items() if sound.group not in groups]
        drawn = str(rng.choice(kinds))
        groups.add(CLASSES[drawn].group)
        yield drawn


def make_generated(
    settings: Generated, row: Columns, rate_hz: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make (mixture, target) of a row; the target of an absent query is silence."""
    length, seed = round(settings.seconds * rate_hz), int(row["seed"])
    sounds = [
        make_sounding(kind, seed + 10 * i, length, rate_hz)
        for i, kind in enumerate(row["kinds"].split(";"))
    ]
    mixture_T, (target_T, *_) = mix(sounds[0], sounds[1:], [0.0] * (len(sounds) - 1))
    return mixture_T, target_T * np.float32(row["set"] != "absent")


def make_examples(settings: Generated, row: Columns, rate_hz: int) -> list[np.ndarray]:
    """Make other takes (T,) of the kind of a row's query."""
    length, seed = round(settings.seconds * rate_hz), int(row["seed"])
    return [
        make_sounding(row["kind"], seed + 50 + 10 * i, length, rate_hz) for i in range(NUM_EXAMPLES)
    ]


def make_sounding(kind: str, seed: int, length: int, rate_hz: int) -> np.ndarray:
    """Make a held-out take that is not silent; seeds are ten apart, to leave room for retries."""
    for attempt in range(MAX_TRIES):
        sound_T = make_sound(kind, seed + attempt, length, rate_hz, held_out=True)
        if measure_energy(sound_T) > SILENCE:
            return sound_T
    raise AssertionError(f"{kind}: silent in {MAX_TRIES} takes")
