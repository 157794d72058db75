"""Encode texts by their words and audio by a small network: the encoder bundled with the package.

Both sides are trained together, so that a caption and its sound get similar conditions. Only the
words of the training captions are known; `list_unknown` finds texts without any of them.

Shapes: B batch, L words, C channels, T samples, N frames, M mel bands, D condition.
"""

import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from separator.audio.exact import computing
from separator.audio.level import LOUDEST
from separator.audio.resample import resample
from separator.audio.spans import check_rate
from separator.encoders.encoder import CONDITION_SIZE
from separator.encoders.words import split_words
from separator.errors import (
    AudioError,
    CheckpointError,
    CheckpointMismatch,
    EncoderMissing,
    NonFiniteAudio,
)
from separator.model.tensors import FORMAT, read_json, read_tensors, take_prefixed, write_tensors

PREFIX = "mini:"
TENSORS = "query_encoder.mini."
RATE_HZ = 32_000
N_FFT, HOP, NUM_MELS = 1024, 512, 64
# Rows of the word table that are not words.
PADDING, UNKNOWN = 0, 1
WORD_SIZE = 96
AUDIO_WIDTHS = (24, 48, 96, 192)
HEAD_WIDTH = 96  # the conditions of sounds lie in few directions (docs/log.md)
STRETCH_SAMPLES = 10 * RATE_HZ


class TextTower(nn.Module):
    """Map words to a condition: a weighted mean of their vectors in any order, then two layers."""

    def __init__(self, num_words: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(num_words + 2, WORD_SIZE, padding_idx=PADDING)
        self.weights = nn.Embedding(num_words + 2, 1)
        nn.init.zeros_(self.weights.weight)
        self.layers = nn.Sequential(
            nn.Linear(WORD_SIZE, 192), nn.GELU(), nn.Linear(192, CONDITION_SIZE)
        )

    def forward(self, words_BL: Tensor) -> Tensor:
        weights_BL = self.weights(words_BL)[..., 0].masked_fill(words_BL == PADDING, -torch.inf)
        mean_BW = (weights_BL.softmax(-1)[..., None] * self.vectors(words_BL)).sum(1)
        return F.normalize(self.layers(mean_BW), dim=-1)


class AudioTower(nn.Module):
    """Map audio to a condition: convolutions over log-mel levels, then mean and peak over time.

    `head_width` 0 is the single layer of older files.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        num_in = 1
        for width in AUDIO_WIDTHS:
            layers += [nn.Conv2d(num_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            num_in = width
        self.layers = nn.Sequential(*layers)
        num_features = AUDIO_WIDTHS[-1] * (NUM_MELS >> len(AUDIO_WIDTHS))
        self.head: nn.Module = nn.Linear(2 * num_features, CONDITION_SIZE)
        if head_width:
            narrow = nn.Linear(2 * num_features, head_width, bias=False)
            self.head = nn.Sequential(narrow, nn.Linear(head_width, CONDITION_SIZE))
        self.mel_FM = nn.Buffer(make_mel_bands(), persistent=False)

    def forward(self, waveform_BT: Tensor) -> Tensor:
        window = torch.hann_window(N_FFT, device=waveform_BT.device)
        spectrum_BFN = torch.stft(waveform_BT, N_FFT, HOP, window=window, return_complex=True)
        power_BNM = spectrum_BFN.abs().square().transpose(1, 2) @ self.mel_FM
        level_BNM = 10 * torch.log10(power_BNM + 1e-6)
        # Relative to the loudest moment: the level of a recording does not tell its sound.
        peak_B11 = level_BNM.amax((1, 2), keepdim=True)
        mel_BNM = (level_BNM - peak_B11).clamp_min(-80) / 40 + 1
        h = self.layers(mel_BNM[:, None])
        features = torch.cat([h.mean(2), h.amax(2)], 1).flatten(1)
        return F.normalize(self.head(features), dim=-1)


class MiniEncoder(nn.Module):
    """Hold both towers and the known words. A `TextEncoder`."""

    listen_s = 2.0  # longer excerpts recognise stems of absent sounds no better (docs/log.md)

    def __init__(self, words: list[str], head_width: int = HEAD_WIDTH) -> None:
        super().__init__()
        self.words, self.head_width = words, head_width
        self.rows = {word: row for row, word in enumerate(words, start=2)}
        self.text = TextTower(len(words))
        self.audio = AudioTower(head_width)

    @property
    def encoder_id(self) -> str:
        digest = hashlib.sha256(json.dumps(self.words).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return PREFIX + digest.hexdigest()[:16]

    def look_up(self, texts: list[list[str]]) -> Tensor:
        """Return the table rows (B, L) of each text's known words; `UNKNOWN` if there are none."""
        rows = [[self.rows[word] for word in words if word in self.rows] for words in texts]
        rows = [row or [UNKNOWN] for row in rows]
        longest = max(map(len, rows), default=1)
        return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])

    def list_unknown(self, texts: list[str]) -> list[str]:
        """List the texts without any known word."""
        return [t for t in texts if not any(word in self.rows for word in split_words(t))]

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return conditions (B, 512) of length 1, one text at a time: none depends on another."""
        out_BD = np.empty((len(texts), CONDITION_SIZE), np.float32)
        for condition_D, text in zip(out_BD, texts, strict=True):
            condition_D[:] = self.text(self.look_up([split_words(text)]))[0].numpy()
        return out_BD

    @torch.inference_mode()
    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        """Return the condition (512,) of a sound; if longer than 10 s, the mean over stretches."""
        check_rate(rate_hz)
        if waveform_CT.ndim != 2 or waveform_CT.shape[-1] == 0:
            raise AudioError(f"shape {waveform_CT.shape}: (channels, samples) needed, neither zero")
        if not np.isfinite(waveform_CT).all():
            raise NonFiniteAudio("the sound holds NaN or infinite samples")
        limited_CT = np.clip(waveform_CT, -LOUDEST, LOUDEST).astype(np.float32)
        mono_1T = torch.from_numpy(limited_CT.mean(0, keepdims=True))
        mono_1T = mono_1T.to(next(self.audio.parameters()).device)
        mono_1T = resample(mono_1T, rate_hz, RATE_HZ)
        stretches = [s for s in mono_1T.split(STRETCH_SAMPLES, -1) if s.shape[-1] > RATE_HZ // 2]
        shortest = (N_FFT // 2 + 1) * 16
        stretches = stretches or [F.pad(mono_1T, (0, max(0, shortest - mono_1T.shape[-1])))]
        with computing(mono_1T.device):
            mean_D = torch.stack([self.audio(s)[0] for s in stretches]).mean(0)
        return F.normalize(mean_D, dim=-1).cpu().numpy()


def make_mel_bands() -> Tensor:
    """Make triangular filters (F, M), equally wide in mel from 50 Hz to 15 kHz, each of sum 1."""
    to_mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    edges = 700 * (10 ** (np.linspace(to_mel(50), to_mel(15_000), NUM_MELS + 2) / 2595) - 1)
    freq_F1 = np.linspace(0, RATE_HZ / 2, N_FFT // 2 + 1)[:, None]
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (freq_F1 - low) / (mid - low), (high - freq_F1) / (high - mid)
    bands = np.clip(np.minimum(rise, fall), 0, None)
    # A triangle that falls between two bins takes the bin next to its centre.
    empty = bands.sum(0) == 0
    bands[np.abs(freq_F1 - mid).argmin(0)[empty], np.flatnonzero(empty)] = 1
    return torch.from_numpy(bands / bands.sum(0)).float()


def write_mini(path: Path, encoder: MiniEncoder) -> None:
    """Write an encoder into a file of its own."""
    tensors, metadata = pack_mini(encoder)
    write_tensors(path, tensors, metadata | {"format": FORMAT})


def pack_mini(
    encoder: object, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata that a checkpoint holds beside the network's.

    Return nothing for other kinds of encoders, which stay in files of their own. A rounded encoder
    gives other conditions, so it has another id.
    """
    if not isinstance(encoder, MiniEncoder):
        return {}, {}
    rounded = copy.deepcopy(encoder)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.to(dtype).float()
    weights = {name for name, _ in rounded.named_parameters()}
    tensors = {
        f"{TENSORS}{name}": (t.to(dtype) if name in weights else t).contiguous()
        for name, t in rounded.state_dict().items()
    }
    return tensors, {"words": json.dumps(encoder.words), "encoder": rounded.encoder_id}


def is_mini(encoder_id: str | None) -> bool:
    return (encoder_id or "").startswith(PREFIX)


def read_mini(path: Path) -> MiniEncoder:
    """Read the encoder from a checkpoint or from a file of its own."""
    tensors, metadata = read_tensors(path)
    if "words" not in metadata:
        raise EncoderMissing(f"{path}: holds no mini encoder; use a checkpoint that holds one")
    words = read_json(path, metadata, "words", "[]")
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise CheckpointMismatch(f"{path}: words: must be a list of texts")
    own = {name: t.clone() for name, t in take_prefixed(tensors, TENSORS).items()}
    narrow = own.get("audio.head.0.weight")
    encoder = MiniEncoder(words, 0 if narrow is None or narrow.ndim != 2 else len(narrow))
    try:
        encoder.load_state_dict(own)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointMismatch(f"{path}: its mini encoder has other tensors: {reason}") from None
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise CheckpointError(f"{path}: NaN or infinity in its mini encoder")
    return encoder.eval().requires_grad_(False)
