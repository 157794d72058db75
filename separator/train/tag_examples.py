"""Make examples for a detector: a waveform, and the labels that sound somewhere in it.

Example i is the same on every machine.

Shapes: T samples, K labels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from separator.storage import Storage
from separator.train.draw import draw_turn, make_drawer, set_level
from separator.train.examples import choose_source, group_by_package
from separator.train.mixer import declip, match_energy
from separator.train.recipe import DataSettings
from separator.train.sound_lists import Source


class TagExamples:
    """Draw examples by number: every label equally often, `num_sounds` sounds in each example."""

    def __init__(
        self,
        sources: Sequence[Source],
        settings: DataSettings,
        rate_hz: int,
        seed: int,
        storage: Storage,
    ) -> None:
        self.settings, self.seed = settings, seed
        self.drawer = make_drawer(settings, rate_hz, storage)
        self.labels = sorted({label for source in sources for label in source.labels})
        self.rows = {label: row for row, label in enumerate(self.labels)}
        # A sound with several labels is drawn for each of them.
        self.kinds = group_by_package(
            replace(source, kind=label) for source in sources for label in source.labels
        )
        self.names = list(self.kinds)

    def make_batch(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """Stack the examples of these numbers."""
        made = [self.make(int(number)) for number in numbers]
        return {
            "waveform": np.stack([waveform_T for waveform_T, _, _ in made]),
            "labels": np.stack([labels_K for _, labels_K, _ in made]),
            "num_skipped": np.array([skipped for _, _, skipped in made]),
        }

    def make(self, number: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Draw the sounds of one example and place them in it; also count unusable files met."""
        rng = np.random.default_rng([self.seed, number])
        settings, skipped = self.settings, 0
        least, most = settings.num_sounds
        waveform_T: np.ndarray | None = None
        labels_K = np.zeros(len(self.labels), np.float32)
        for i in range(int(rng.integers(least, most + 1))):
            name = draw_turn(self.seed, number, self.names)
            if i:
                name = self.names[int(rng.integers(len(self.names)))]
            packages = self.kinds[name]
            source, sound_T, more = self.drawer.draw(
                rng, lambda packages=packages: choose_source(packages, rng)
            )
            skipped += more
            labels_K[[self.rows[label] for label in source.labels]] = 1
            if waveform_T is None:
                waveform_T = sound_T
            else:
                gain_db = rng.uniform(-1, 1) * settings.level_db
                waveform_T = waveform_T + match_energy(sound_T, waveform_T, gain_db)
        assert waveform_T is not None
        (waveform_T,) = declip(waveform_T)
        if settings.changes.level_db:
            (waveform_T,) = set_level(rng, settings.changes.level_db, waveform_T)
        return waveform_T, labels_K, skipped
