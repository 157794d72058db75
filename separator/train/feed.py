"""Feed one worker: batches on its device, each example with the condition of its query.

Shapes: B batch, T samples, Q captions, D condition.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separator.storage import Storage
from separator.train.examples import Examples
from separator.train.readers import iterate_batches
from separator.train.recipe import TrainSettings
from separator.train.sound_lists import read_lists


class Feed:
    """Read the lists once, encode every caption once, then yield batches with their conditions."""

    def __init__(self, settings: TrainSettings, rate_hz: int, encoder: Any) -> None:
        storage = Storage(settings.storage)
        sources = read_lists(settings.data.lists, storage)
        self.settings = settings
        self.rate_hz = rate_hz
        self.encoder = encoder
        self.examples = Examples(sources, settings.data, rate_hz, settings.seed, storage)
        captions = sorted({caption for source in sources for caption in source.captions})
        self.rows = {caption: row for row, caption in enumerate(captions)}
        self.text_QD = torch.from_numpy(encoder.encode_texts(captions))
        self.num_skipped = 0  # unreadable or silent files so far

    def iterate(
        self, first_step: int, rank: int, world: int, device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (mixture, target, condition) of each step from `first_step` on."""
        batches = iterate_batches(self.examples, self.settings, first_step, rank, world)
        for step, batch in enumerate(batches, start=first_step):
            self.num_skipped += int(batch["num_skipped"].sum())
            condition_BD = self.choose_conditions(batch, step * world + rank).to(device)
            # Copied: arrays from Ray's object store are read-only.
            mixture_BT, target_BT = (torch.tensor(batch[k]) for k in ("mixture", "target"))
            yield mixture_BT.to(device), target_BT.to(device), condition_BD

    def choose_conditions(self, batch: dict[str, np.ndarray], number: int) -> Tensor:
        """Encode each example's caption or, in a share of the examples, the target's own sound."""
        condition_BD = self.text_QD[[self.rows[caption] for caption in batch["caption"]]].clone()
        text_ratio = self.settings.optim.use_text_ratio
        if text_ratio < 1:
            rng = np.random.default_rng([self.settings.seed, number, 1])
            by_sound = rng.random(len(condition_BD)) >= text_ratio
            for i in np.flatnonzero(by_sound & ~batch["is_absent"]):
                target_1T = batch["target"][i][None]
                sound_D = self.encoder.encode_audio(target_1T, self.rate_hz)
                condition_BD[i] = torch.from_numpy(sound_D)
        return condition_BD
