"""Encode example sounds as one condition: one interface for every kind of model.

A zero-shot separator takes the latent embedding of its detector; a separator of AudioSep's kind
takes the embedding of its text encoder's audio side.

Shapes: T samples, P pieces, D condition.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from separator.encoders.example_sounds import ExampleSound
from separator.encoders.latent import average_channels, embed_sound, is_loud, measure_spread
from separator.encoders.similarity import AudioEncoder
from separator.errors import QueryError
from separator.model.detector import Detector

PIECE_S = 10.0
SHORTEST_REST_S = 1.0  # of the last piece, if there are others
# With mini, sounds of one kind have a spread of up to 0.4 (a pair of them up to 0.56), and sounds
# of four kinds 0.8.
LARGE_SPREAD = 0.6


@dataclass(frozen=True)
class SoundCondition:
    """The condition of a query's example sounds, and how much their pieces differ (see latent.py).

    `warning` is empty unless they differ so much that they are hardly of one kind.
    """

    condition: np.ndarray  # (D,)
    num_sounds: int
    spread: float
    warning: str = ""


class SoundEncoder(Protocol):
    """Embed the pieces of one example sound."""

    has_length_1: bool  # whether conditions have length 1

    def embed(self, sound: ExampleSound) -> np.ndarray:
        """Return the embeddings (P, D) of the pieces that are not quiet; one at least."""
        ...


class LatentSounds:
    """Embed sounds by a detector, with the rule of the official code."""

    has_length_1 = False

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def embed(self, sound: ExampleSound) -> np.ndarray:
        return embed_sound(self.detector, sound.samples, sound.rate_hz, sound.name)


class AudioSounds:
    """Embed sounds by the audio side of a text encoder: pieces of 10 s, without quiet ones."""

    has_length_1 = True

    def __init__(self, encoder: AudioEncoder) -> None:
        self.encoder = encoder

    def embed(self, sound: ExampleSound) -> np.ndarray:
        mono_1T, rate_hz = average_channels(sound.samples, sound.rate_hz, sound.name)
        pieces = mono_1T.split(round(PIECE_S * rate_hz), 1)
        if len(pieces) > 1 and pieces[-1].shape[1] < SHORTEST_REST_S * rate_hz:
            pieces = pieces[:-1]
        loud = [piece_1T.numpy() for piece_1T in pieces if is_loud(piece_1T)]
        if not loud:
            raise QueryError(
                f"{sound.name} is silent (with its channels averaged, none of its pieces of "
                f"{PIECE_S:g} s is above -58 dBFS): leave it out"
            )
        pieces_PD = np.stack([self.encoder.encode_audio(piece, rate_hz) for piece in loud])
        return pieces_PD.astype(np.float64)


def encode_examples(encoder: SoundEncoder, sounds: Iterable[ExampleSound]) -> SoundCondition:
    """Average over the pieces of each sound, then over the sounds, which all weigh the same."""
    embedded = [encoder.embed(sound) for sound in sounds]
    mean_D = np.mean([pieces_PD.mean(0) for pieces_PD in embedded], axis=0)
    if encoder.has_length_1:
        mean_D /= max(float(np.linalg.norm(mean_D)), np.finfo(np.float32).tiny)
    spread = measure_spread(np.concatenate(embedded))
    warning = ""
    if spread > LARGE_SPREAD:
        warning = (
            f"its example sounds differ (spread {spread:.2f}, above {LARGE_SPREAD:g}): "
            "their mean may be none of them"
        )
    return SoundCondition(mean_D.astype(np.float32), len(embedded), spread, warning)
