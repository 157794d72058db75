"""Train the mini encoder by a contrastive loss between captions and sounds.

Several sounds of a batch may fit one caption ("speech" fits a man and a woman): the target is
spread in equal shares over all pairs that fit.

Shapes: B batch, T samples, D condition.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.encoders.mini import RATE_HZ, MiniEncoder
from separator.encoders.words import collect_words, split_words
from separator.errors import AudioError, RequestError
from separator.storage import Storage
from separator.train.sound_lists import Source, group_by_kind, read_stretch

SCALE = 20.0  # similarity -> logit
# Probability that a word of a caption is left out, so that no caption depends on one word.
DROP_WORD = 0.25


def make_encoder(sources: list[Source], seed: int) -> MiniEncoder:
    """Make an untrained encoder that knows the words of all captions."""
    torch.manual_seed(seed)
    return MiniEncoder(collect_words(sorted({c for s in sources for c in s.captions})))


def train_encoder(
    encoder: MiniEncoder,
    sources: list[Source],
    num_steps: int,
    batch: int,
    seed: int,
    storage: Storage,
    segment_s: float = 5.0,
) -> Iterator[dict[str, float]]:
    """Train in place and yield the figures of every step; leave the encoder in eval mode."""
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=1e-2)
    rising = lambda step: min(1.0, (step + 1) / 50)  # noqa: E731
    falling = lambda step: 0.5 * (1 + np.cos(np.pi * step / num_steps))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rising(s) * falling(s))
    kinds = group_by_kind(sources)
    for step in range(num_steps):
        rng = np.random.default_rng([seed, step])
        drawn, sounds_BT = draw_batch(kinds, batch, rng, storage, segment_s)
        texts = [s.captions[int(rng.integers(len(s.captions)))] for s in drawn]
        encoder.train()
        text_BD = encoder.text(encoder.look_up([drop_words(t, rng) for t in texts]))
        audio_BD = encoder.audio(sounds_BT)
        loss, accuracy = compare(text_BD, audio_BD, texts, drawn)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield {"step": step + 1, "loss": float(loss.detach()), "accuracy": accuracy}
    encoder.eval()


def draw_batch(
    kinds: dict[str, list[Source]],
    batch: int,
    rng: np.random.Generator,
    storage: Storage,
    segment_s: float,
) -> tuple[list[Source], Tensor]:
    """Draw sounds of the kinds in turn, each with another sound quietly in the background."""
    names = list(kinds)
    drawn, sounds = [], []
    for name in (names[turn] for turn in draw_turns(len(names), batch, rng)):
        source = kinds[name][int(rng.integers(len(kinds[name])))]
        try:
            samples_T = read_stretch(
                storage, source.uri, round(segment_s * RATE_HZ), RATE_HZ, rng, source.start_s
            )
        except AudioError:
            continue
        drawn.append(source)
        sounds.append(samples_T)
    if not sounds:
        raise RequestError(f"of {batch} sounds that were drawn none can be read")
    waveform_BT = torch.from_numpy(np.stack(sounds))
    rms_B1 = waveform_BT.square().mean(1, keepdim=True).sqrt()
    behind = torch.from_numpy(10 ** (rng.uniform(-50, -12, (len(sounds), 1)) / 20)).float()
    waveform_BT = waveform_BT / (rms_B1 + 1e-4)
    return drawn, 0.1 * (waveform_BT + behind * waveform_BT.roll(1, 0))


def draw_turns(num_kinds: int, batch: int, rng: np.random.Generator) -> list[int]:
    """Draw the numbers of `batch` kinds in random order; each comes once before any comes again."""
    rounds = [rng.permutation(num_kinds) for _ in range(-(-batch // num_kinds))]
    return np.concatenate(rounds)[:batch].tolist()


def drop_words(text: str, rng: np.random.Generator) -> list[str]:
    """Leave out words at random, but never all of them."""
    words = split_words(text)
    return [word for word in words if rng.random() > DROP_WORD] or words


def compare(
    text_BD: Tensor, audio_BD: Tensor, texts: list[str], drawn: list[Source]
) -> tuple[Tensor, float]:
    """Compute the cross entropy in both directions, and the share of sounds whose nearest caption
    fits."""
    logits = SCALE * audio_BD @ text_BD.T
    fits = torch.tensor([[text in source.captions for text in texts] for source in drawn]).float()
    loss = -(fits / fits.sum(1, keepdim=True) * F.log_softmax(logits, 1)).sum(1).mean()
    loss = loss - (fits / fits.sum(0) * F.log_softmax(logits, 0)).sum(0).mean()
    hits = fits.gather(1, logits.argmax(1, keepdim=True))
    return loss / 2, float(hits.mean())
