"""Define the interface of a model that separates by example sounds, and load such models.

There are two kinds: a separator with a detector, whose latent embedding is the condition, and a
separator whose text encoder has an audio side (`mini`, LAION-CLAP).

Shapes: B batch, C channels, T samples, P pieces, Q queries, D condition, N frames, F bins.
"""

from collections.abc import Iterable
from itertools import product
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.api import load_htsat, load_model
from separator.audio.resample import resample
from separator.encoders.latent import average_channels, cut_pieces
from separator.encoders.lookup import find_audio_encoder, load_own_detector
from separator.encoders.similarity import AudioEncoder
from separator.errors import EncoderMissing, QueryError, RequestError
from separator.model import registry
from separator.model.detector import RATE_HZ, Detector
from separator.model.engine import Engine
from separator.model.identity import ANY_DETECTOR
from separator.model.spectrogram import compute_spectrum, invert_spectrum
from separator.model.zero_shot_files import is_detector_id
from separator.storage import Storage

Sound = tuple[np.ndarray, int]  # samples (C, T) and rate

N_FFT, HOP = 2048, 320  # of both papers' separators at 32 kHz


class ByExamples(Protocol):
    """A model that separates by example sounds."""

    has_unit_length: bool  # whether its conditions have length 1, also a mean of several

    def embed(self, pieces_BT: Tensor) -> np.ndarray:
        """Return the condition (B, D) of each of some pieces of one length, mono at 32 kHz."""
        ...

    def separate(
        self, waveform_CT: np.ndarray, rate_hz: int, conditions_QD: np.ndarray
    ) -> np.ndarray:
        """Return stems (Q, C, T)."""
        ...

    def estimate_magnitudes(self, pieces_PT: np.ndarray, conditions_QD: np.ndarray) -> np.ndarray:
        """Return the magnitudes (Q, P, N, F) of stems before they get a phase. Pieces are at 32 kHz
        and separated alone. A model without such magnitudes can use `measure_stems`."""
        ...


def encode(model: ByExamples, sounds: Iterable[Sound]) -> np.ndarray:
    """Return the condition (D,) of example sounds by the official rule, one sound in memory.

    It is the mean over the pieces of 2 s that are not quiet, then over the sounds. A sound without
    such a piece is left out.
    """
    found = [each for sound in sounds if (each := encode_sound(model, *sound)) is not None]
    if not found:
        raise QueryError("all example sounds are silent (-58 dBFS or less in all their pieces)")
    return take_mean(np.stack(found), model.has_unit_length)


def encode_sound(model: ByExamples, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray | None:
    """Return the condition (D,) of one example sound, or None if all of it is quiet."""
    mono_1T, rate_hz = average_channels(waveform_CT, rate_hz, "an example sound")
    pieces = cut_pieces(resample(mono_1T, rate_hz, RATE_HZ)[0])
    if not pieces:
        return None
    return take_mean(model.embed(torch.stack(pieces)), model.has_unit_length)


def take_mean(conditions_BD: np.ndarray, has_unit_length: bool) -> np.ndarray:
    """Return the mean condition (D,)."""
    mean_D = conditions_BD.mean(0)
    return mean_D / np.linalg.norm(mean_D) if has_unit_length else mean_D


def measure_stems(
    model: ByExamples, pieces_PT: np.ndarray, conditions_QD: np.ndarray
) -> np.ndarray:
    """Return the magnitudes (Q, P, N, F) of finished stems."""
    return np.abs(transform(separate_alone(model, pieces_PT, conditions_QD)))


def separate_alone(
    model: ByExamples, pieces_PT: np.ndarray, conditions_QD: np.ndarray
) -> np.ndarray:
    """Return the stems (Q, P, T) of pieces at 32 kHz, each separated alone."""
    stems = [model.separate(piece_T[None], RATE_HZ, conditions_QD)[:, 0] for piece_T in pieces_PT]
    return np.stack(stems, 1)


def transform(waveform_XT: np.ndarray) -> np.ndarray:
    """Return the spectrum (..., N, F), as the separator at 32 kHz makes it."""
    flat_BT = torch.from_numpy(waveform_XT).reshape(-1, waveform_XT.shape[-1])
    spectrum_BNF = compute_spectrum(flat_BT, N_FFT, HOP).numpy()
    return spectrum_BNF.reshape(*waveform_XT.shape[:-1], *spectrum_BNF.shape[1:])


def invert(spectrum_BNF: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the waveform (B, T) of a spectrum."""
    return invert_spectrum(torch.from_numpy(spectrum_BNF), N_FFT, HOP, num_samples).numpy()


class EngineByExamples:
    """A `ByExamples`: a network in the engine, with the detector or encoder for its conditions."""

    def __init__(self, engine: Engine, listener: Detector | AudioEncoder) -> None:
        self.engine, self.listener = engine, listener
        self.has_unit_length = not isinstance(listener, Detector)

    def embed(self, pieces_BT: Tensor) -> np.ndarray:
        if isinstance(self.listener, Detector):
            return self.listener.infer(pieces_BT).latent.double().numpy()
        encode_audio = self.listener.encode_audio
        return np.stack([encode_audio(p[None].numpy(), RATE_HZ) for p in pieces_BT]).astype(float)

    def separate(
        self, waveform_CT: np.ndarray, rate_hz: int, conditions_QD: np.ndarray
    ) -> np.ndarray:
        conditions = torch.from_numpy(conditions_QD.astype(np.float32))
        return self.engine.separate(torch.from_numpy(waveform_CT), rate_hz, conditions).numpy()

    def estimate_magnitudes(self, pieces_PT: np.ndarray, conditions_QD: np.ndarray) -> np.ndarray:
        config, forward = self.engine.config, self.engine.forward
        if (config.rate_hz, config.n_fft, config.hop) != (RATE_HZ, N_FFT, HOP):
            return measure_stems(self, pieces_PT, conditions_QD)
        net, device = forward.net, self.engine.device
        shifts_QS = net.compute_shifts(
            torch.from_numpy(conditions_QD.astype(np.float32)).to(device)
        )
        mixture_PNF = torch.from_numpy(np.abs(transform(pieces_PT))).to(device)
        x_PNF = net.normalize(mixture_PNF)
        num_frames = mixture_PNF.shape[1]
        out_QPNF = np.empty((len(shifts_QS), *mixture_PNF.shape), np.float32)
        items = list(product(range(len(shifts_QS)), range(len(x_PNF))))
        batch = forward.choose_batch(x_PNF.shape[1])
        for at in range(0, len(items), batch):
            taken = items[at : at + batch]
            shifts_BS = torch.stack([shifts_QS[q] for q, _ in taken])
            gain_BNF2 = forward(torch.stack([x_PNF[p] for _, p in taken]), shifts_BS)
            for (q, p), gain_NF2 in zip(taken, gain_BNF2[:, :num_frames], strict=True):
                gain_NF = F.pad(gain_NF2.norm(dim=-1), (0, 1), value=self.engine.last_gain)
                out_QPNF[q, p] = (gain_NF * mixture_PNF[p]).cpu().numpy()
        return out_QPNF


def load_by_examples(
    model: str, detector: str, device: str, precision: str, storage: Storage | None = None
) -> tuple[EngineByExamples, Detector | None]:
    """Load a separator and, if one is named, a detector.

    The audio side of the separator's own text encoder makes conditions from sounds; if there is no
    text encoder, the detector does.
    """
    storage = storage or Storage()
    heard = load_htsat(detector, device=device, storage=storage) if detector else None
    return EngineByExamples(*choose_listener(model, heard, device, precision, storage)), heard


def choose_listener(
    model: str, detector: Detector | None, device: str, precision: str, storage: Storage
) -> tuple[Engine, Detector | AudioEncoder]:
    """Load a separator, and choose the encoder or detector that makes its conditions."""
    separator = load_model(model, device=device, precision=precision, storage=storage)
    engine, encoder_id = separator.engine, separator.encoder_id
    if not isinstance(engine, Engine):
        raise RequestError(f"model={model!r} reads texts, no example sounds")
    path = registry.resolve(model, storage.fetch)
    if encoder_id is not None and not is_detector_id(encoder_id):
        encoder = find_audio_encoder(path, encoder_id)
        if encoder is None:
            raise EncoderMissing(f"model={model!r}: the audio side of its encoder is not at hand")
        return engine, encoder.to(engine.device)
    wanted = engine.config.condition_size
    if encoder_id not in (None, ANY_DETECTOR):  # no other detector makes the same conditions
        return engine, load_own_detector(path, encoder_id, wanted, path, device)
    if detector is None:
        raise RequestError(f"model={model!r} has no encoder of its own: name its detector=...")
    size = detector.latent_size
    if size != wanted:
        raise RequestError(
            f"model={model!r} takes conditions of {wanted} values and the detector makes {size}: "
            "name the detector that it was trained with"
        )
    return engine, detector
