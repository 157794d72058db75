"""Teach a mini encoder new words, while the conditions of the kinds that it knows stay the same.

A separator that was trained with the encoder needs no new training: every caption of a kind moves
towards the mean condition of those captions of which the encoder knew all words.

Shapes: B batch, K kinds, D condition.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from separator.encoders.mini import PADDING, RATE_HZ, UNKNOWN, MiniEncoder
from separator.encoders.words import collect_words, split_words
from separator.errors import AudioError, RequestError
from separator.sounds.kind_names import list_contexts, list_synonyms
from separator.sounds.recorded_kinds import list_known
from separator.storage import Storage
from separator.train.sound_lists import Source, group_by_kind, read_stretch
from separator.train.train_encoder import SCALE, draw_turns, drop_words

MAX_HEARD, HEARD_S = 32, 5.0  # sounds that give a kind its condition if no caption is known
ADD_CONTEXT = 0.5  # share of captions that get a phrase which says nothing about the sound


def teach_words(
    start: MiniEncoder,
    sources: Sequence[Source],
    num_steps: int,
    batch: int,
    seed: int,
    storage: Storage,
) -> tuple[MiniEncoder, Iterator[dict[str, float]]]:
    """Return a larger encoder, and the steps that train it on the captions of all sources.

    All kinds that the package has words for take part, so that none is forgotten. A kind that the
    encoder does not know gets the mean condition of its sounds; without sounds it is left out.
    """
    kinds = group_by_kind(list(sources))
    captions = {kind: list_captions(members) for kind, members in kinds.items()}
    named = {n: [*kind.captions, *list_synonyms(n)] for n, kind in list_known().items()}
    known = {
        kind: find_known(start, kind, [*captions.get(kind, ()), *named.get(kind, ())])
        for kind in dict.fromkeys([*captions, *named])
    }
    captions = {kind: texts for kind, texts in known.items() if texts} | captions
    contexts = list_contexts()
    larger = add_words(start, [text for texts in captions.values() for text in texts], seed)
    places = [
        start.encode_texts(known[kind]) if known[kind] else hear(start, kinds[kind], seed, storage)
        for kind in captions
    ]
    centres_KD = F.normalize(
        torch.stack([torch.from_numpy(place_BD.mean(0)) for place_BD in places]), dim=-1
    )
    return larger, train_words(larger, captions, centres_KD, contexts, num_steps, batch, seed)


def hear(
    encoder: MiniEncoder, sources: Sequence[Source], seed: int, storage: Storage
) -> np.ndarray:
    """Return the conditions (B, D) of a few of these sounds; skip those that cannot be read."""
    rng = np.random.default_rng([seed, 1])
    num_samples = round(HEARD_S * RATE_HZ)
    heard: list[np.ndarray] = []
    for i in rng.permutation(len(sources)):
        with contextlib.suppress(AudioError):
            source = sources[i]
            sound_T = read_stretch(storage, source.uri, num_samples, RATE_HZ, rng, source.start_s)
            heard.append(encoder.encode_audio(sound_T[None], RATE_HZ))
        if len(heard) == MAX_HEARD:
            break
    if not heard:
        raise RequestError(f"{sources[0].kind!r}: none of its {len(sources)} sounds can be read")
    return np.stack(heard)


def list_captions(sources: Sequence[Source]) -> list[str]:
    return list(dict.fromkeys(caption for source in sources for caption in source.captions))


def find_known(encoder: MiniEncoder, kind: str, texts: Sequence[str]) -> list[str]:
    """Find the texts of a kind that an encoder knows in full; none if it does not know the kind.

    A kind of ours counts as known only if all its captions are: the words of one, such as "a wolf
    howling", may come from captions of another kind, here a dog.
    """
    described = list_known().get(kind)
    own = described.captions if described else ()
    return keep_known(encoder, texts) if len(keep_known(encoder, own)) == len(own) else []


def keep_known(encoder: MiniEncoder, texts: Sequence[str]) -> list[str]:
    """Keep the texts of which an encoder knows every word."""
    words = {text: split_words(text) for text in texts}
    return [text for text in texts if words[text] and all(w in encoder.rows for w in words[text])]


def add_words(encoder: MiniEncoder, texts: Sequence[str], seed: int) -> MiniEncoder:
    """Return an encoder that also has the words of these texts, so far with random vectors."""
    words = sorted({*encoder.words, *collect_words(list(texts))})
    larger = MiniEncoder(words, encoder.head_width)
    larger.audio.load_state_dict(encoder.audio.state_dict())
    larger.text.layers.load_state_dict(encoder.text.layers.state_dict())
    rows = [PADDING, UNKNOWN, *(larger.rows[word] for word in encoder.words)]
    vectors, weights = larger.text.vectors.weight, larger.text.weights.weight
    with torch.no_grad():
        vectors.normal_(std=0.02, generator=torch.Generator().manual_seed(seed))
        vectors[rows], weights[rows] = encoder.text.vectors.weight, encoder.text.weights.weight
    return larger.eval()


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
        drawn = [captions[kinds[k]] for k in draw_turns(len(kinds), batch, rng)]
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
