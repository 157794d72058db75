"""Teach the words of a mini encoder more captions; the conditions of its kinds stay where they are.

A separator that was trained with the encoder goes on with the new words as it is: every caption of
a kind moves towards the mean of the conditions that its first captions have.

Shapes: B batch, K kinds, D condition.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.encoders.mini import MiniEncoder
from separator.encoders.words import collect_words, split_words
from separator.errors import RequestError
from separator.sounds.synonyms import list_contexts
from separator.train.sound_lists import Source, group_by_kind
from separator.train.train_encoder import SCALE, drop_words

ADD_CONTEXT = 0.5  # captions of a step that get a phrase which says nothing about the sound


def teach_words(
    start: MiniEncoder, sources: Sequence[Source], num_steps: int, batch: int, seed: int
) -> tuple[MiniEncoder, Iterator[dict[str, float]]]:
    """Return a larger encoder, and the steps that train it on the captions of all sources."""
    kinds = group_by_kind(list(sources))
    captions = {kind: list_captions(members) for kind, members in kinds.items()}
    known = {kind: keep_known(start, texts) for kind, texts in captions.items()}
    if strange := [kind for kind, texts in known.items() if not texts]:
        raise RequestError(
            f"the encoder to start from knows no caption of {strange[0]!r} in full: its sounds "
            "have no place yet; train a new encoder, or leave the kind out"
        )
    contexts = list_contexts()
    texts = [text for of_kind in captions.values() for text in of_kind]
    larger = add_words(start, [*texts, *contexts])
    centres_KD = find_centres(start, known)
    return larger, train_words(larger, captions, centres_KD, contexts, num_steps, batch, seed)


def list_captions(sources: Sequence[Source]) -> list[str]:
    return list(dict.fromkeys(caption for source in sources for caption in source.captions))


def keep_known(encoder: MiniEncoder, texts: Sequence[str]) -> list[str]:
    """Keep the texts of which an encoder knows every word."""
    words = {text: split_words(text) for text in texts}
    return [text for text in texts if words[text] and all(w in encoder.rows for w in words[text])]


def add_words(encoder: MiniEncoder, texts: Sequence[str]) -> MiniEncoder:
    """Return an encoder that knows the words of these texts as well, so far without a meaning."""
    words = sorted({*encoder.words, *collect_words(list(texts))})
    larger = MiniEncoder(words)
    larger.audio.load_state_dict(encoder.audio.state_dict())
    larger.text.layers.load_state_dict(encoder.text.layers.state_dict())
    with torch.no_grad():
        torch.nn.init.normal_(larger.text.vectors.weight, std=0.02)
        for mine, theirs in zip(
            larger.text.parameters(recurse=True), encoder.text.parameters(), strict=True
        ):
            if len(mine) != len(theirs):
                mine[:2] = theirs[:2]
                rows = [larger.rows[word] for word in encoder.words]
                mine[rows] = theirs[2:]
    return larger.eval()


def find_centres(encoder: MiniEncoder, captions: Mapping[str, Sequence[str]]) -> Tensor:
    """Return the mean condition (K, D) of each kind's captions, of length 1."""
    means = [encoder.encode_texts(list(texts)).mean(0) for texts in captions.values()]
    return F.normalize(torch.from_numpy(np.stack(means)), dim=-1)


def train_words(
    encoder: MiniEncoder,
    captions: Mapping[str, Sequence[str]],
    centres_KD: Tensor,
    contexts: Sequence[str],
    num_steps: int,
    batch: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train the text side in place on the captions of each kind; yield the figures of every step.

    A caption of several kinds fits all of them.
    """
    kinds = list(captions)
    fitting: dict[str, set[int]] = {}
    for k, texts in enumerate(captions.values()):
        for text in texts:
            fitting.setdefault(text, set()).add(k)
    encoder.text.requires_grad_(True)
    optimizer = torch.optim.AdamW(encoder.text.parameters(), lr=3e-3, weight_decay=1e-3)
    falling = lambda step: 0.5 * (1 + np.cos(np.pi * step / num_steps))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, falling)
    for step in range(num_steps):
        rng = np.random.default_rng([seed, step])
        drawn = [captions[kinds[int(k)]] for k in rng.permutation(np.arange(batch) % len(kinds))]
        texts = [of_kind[int(rng.integers(len(of_kind)))] for of_kind in drawn]
        fits_BK = torch.zeros(batch, len(kinds))
        for row_K, text in zip(fits_BK, texts, strict=True):
            row_K[list(fitting[text])] = 1
        words = [drop_words(text, rng) for text in texts]
        for heard in words:
            if contexts and rng.random() < ADD_CONTEXT:
                heard += split_words(contexts[int(rng.integers(len(contexts)))])
        encoder.text.train()
        text_BD = encoder.text(encoder.look_up(words))
        shares_BK = fits_BK / fits_BK.sum(1, keepdim=True)
        logits_BK = SCALE * text_BD @ centres_KD.T
        target_BD = F.normalize(shares_BK @ centres_KD, dim=-1)
        apart = -(shares_BK * F.log_softmax(logits_BK, 1)).sum(1).mean()
        loss = apart + SCALE * (1 - (text_BD * target_BD).sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        hits = fits_BK.gather(1, logits_BK.argmax(1, keepdim=True))
        yield {"step": step + 1, "loss": float(loss.detach()), "accuracy": float(hits.mean())}
    encoder.text.requires_grad_(False).eval()
