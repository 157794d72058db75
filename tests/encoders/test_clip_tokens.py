"""Token ids for CLIP are those of transformers' tokenizer, an implementation of its own."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from separator.encoders.clap_network import import_clap_module
from separator.encoders.clip import END_TOKEN, VOCABULARY, tokenize
from tests.helpers.official_lists import VARIABLE, find_official_lists, list_captions

TABLE = "bpe_simple_vocab_16e6.txt.gz"
OWN = [
    "A dog barks ", "Rain falls, then a siren", "Wind blows. ", "a man's voice, 2 birds & 13 bells",
    "Male speech, man speaking", "chirping birds", "Drum (kit); cymbal -- loud!", "an Übung in F#",
    "children shout: \"hey\"", "it's 12:30 o'clock...", "a  b\tc", "🔔 rings", "acoustic_guitar",
]  # fmt: skip


@pytest.fixture(scope="module")
def referee(tmp_path_factory) -> CLIPTokenizer:
    """transformers' tokenizer, from the files that OpenAI's table comes to in its layout."""
    folder = tmp_path_factory.mktemp("clip")
    package = Path(import_clap_module("tokenizer").__file__ or "").parent
    lines = gzip.decompress((package / TABLE).read_bytes()).decode().split("\n")
    merges = [line.strip() for line in lines[1 : VOCABULARY - 512 - 2 + 1]]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = [*map(chr, printable), *(chr(256 + i) for i in range(len(rest)))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["".join(merge.split()) for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: number for number, token in enumerate(tokens)}
    assert len(ids) == VOCABULARY
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    return CLIPTokenizer.from_pretrained(folder)


def compare(referee: CLIPTokenizer, texts: list[str]) -> None:
    ours_QL = tokenize(texts).numpy()
    theirs = referee(texts, truncation=True, max_length=77)["input_ids"]
    for text, ids_L, expected in zip(texts, ours_QL, theirs, strict=True):
        assert list(ids_L[: len(expected)]) == list(expected), text
        assert not ids_L[len(expected) :].any(), text


def test_ids_equal_those_of_transformers_on_texts_of_all_kinds(referee):
    compare(referee, OWN)
    ids_L = tokenize(["a photo of a cat"])[0].numpy()
    assert list(ids_L[:7]) == [49_406, 320, 1125, 539, 320, 2368, END_TOKEN]


def test_ids_of_a_long_text_are_cut_with_its_end(referee):
    compare(referee, ["rain on a window " * 40])
    assert (
        tokenize(["rain " * 100], 20)[0, -1] == END_TOKEN and tokenize(["rain"], 20).shape[1] == 20
    )
    assert np.count_nonzero(tokenize(["rain"])[0]) == 3


@pytest.mark.slow
@pytest.mark.check
def test_ids_equal_those_of_transformers_on_all_captions_of_the_official_lists(referee):
    folder = find_official_lists()
    if folder is None:
        pytest.skip(f"the official lists are not here: set {VARIABLE}")
    captions = list(list_captions(folder))
    assert len(captions) > 10_000
    compare(referee, captions)
