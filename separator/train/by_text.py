"""Train a separator driven by captions: each example with the condition of its query.

Shapes: B batch, T samples, Q captions, D condition.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separator.encoders.example_images import read_file
from separator.encoders.mini import pack_mini
from separator.errors import MediaError, ObjectMissing, RequestError
from separator.model.checkpoint import write_safetensors
from separator.train.draw import MAX_DRAWS
from separator.train.examples import Examples
from separator.train.loop import Batch, State, measure_separation
from separator.train.plot import SDRI
from separator.train.recipe import TrainSettings
from separator.train.task import Task


class ByText(Task):
    """Read the lists once, encode every caption once, then yield batches with their conditions."""

    figure = SDRI

    def __init__(self, settings: TrainSettings, rate_hz: int, encoder: Any) -> None:
        super().__init__(settings)
        self.rate_hz, self.encoder = rate_hz, encoder
        data, seed = settings.data, settings.seed
        self.examples = Examples(self.sources, data, rate_hz, seed, self.storage)
        captions = sorted({caption for source in self.sources for caption in source.captions})
        self.rows = {caption: row for row, caption in enumerate(captions)}
        # Conditions of images, computed on first use; None: the image cannot be read.
        self.seen: dict[str, Tensor | None] = {}
        self.text_QD = torch.from_numpy(encoder.encode_texts(captions))

    def make_tensors(self, batch: dict[str, np.ndarray], number: int) -> Batch:
        """Add the condition of each query."""
        sounds = {key: batch[key] for key in ("mixture", "target")}
        condition_BD = self.choose_conditions(batch, number)
        return super().make_tensors(sounds, number) | {"condition": condition_BD}

    def choose_conditions(self, batch: dict[str, np.ndarray], number: int) -> Tensor:
        """Encode each example's caption or, in a share of the examples, the target's own sound or
        image. An example without a readable image keeps its caption."""
        condition_BD = self.text_QD[[self.rows[caption] for caption in batch["caption"]]].clone()
        text_ratio = self.settings.optim.use_text_ratio
        if text_ratio < 1:
            rng = np.random.default_rng([self.settings.seed, number, 1])
            by_sound = rng.random(len(condition_BD)) >= text_ratio
            for i in np.flatnonzero(by_sound & ~batch["is_absent"]):
                if not self.settings.optim.use_image:
                    target_1T = batch["target"][i][None]
                    sound_D = self.encoder.encode_audio(target_1T, self.rate_hz)
                    condition_BD[i] = torch.from_numpy(sound_D)
                elif uri := str(batch["image"][i]):
                    image_D = self.see(uri)
                    self.num_skipped += image_D is None
                    condition_BD[i] = condition_BD[i] if image_D is None else image_D
        return condition_BD

    def see(self, uri: str) -> Tensor | None:
        """Encode an image, or the frames of a video, once; None if it cannot be read."""
        if uri not in self.seen:
            try:
                images = read_file(self.storage, self.storage.stat(uri))
                self.seen[uri] = torch.from_numpy(self.encoder.encode_images(images))
            except (MediaError, ObjectMissing) as error:
                self.seen[uri] = None
                is_bare = all(image_D is None for image_D in self.seen.values())
                if is_bare and len(self.seen) >= MAX_DRAWS:
                    raise RequestError(
                        f"data.lists: none of the first {MAX_DRAWS} images can be read: {error}"
                    ) from None
        return self.seen[uri]

    def measure(self, state: State, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and the SDRi."""
        return measure_separation(self.settings.optim, state, batch)

    def export(self, net: Any, path: Path) -> None:
        """Write a file for `load_model`; a mini encoder is stored in it."""
        write_safetensors(net, path, self.encoder.encoder_id, encoder=pack_mini(self.encoder))
