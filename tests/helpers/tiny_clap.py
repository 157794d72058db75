"""Make a LAION-CLAP of the official structure with a small text side, and a tokenizer for it."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor

from separator.encoders.clap_audio import RATE_HZ
from separator.encoders.clap_network import build_clap
from separator.encoders.clap_weights import ClapSizes

SENTENCES = [
    "a person speaking",
    "a dog barking in the distance",
    "an emergency siren passing by",
    "rain falling on a window",
]
SIZES = ClapSizes(
    audio_tower="HTSAT-tiny",
    vocabulary=320,
    positions=66,
    token_types=1,
    hidden=128,
    intermediate=256,
    layers=2,
)


def write_tokenizer(folder: Path, vocabulary: int = SIZES.vocabulary) -> Path:
    """Write vocab.json and merges.txt, trained by the library that transformers reads them with."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        SENTENCES, vocab_size=vocabulary, min_frequency=1, special_tokens=special
    )
    assert tokenizer.get_vocab_size() == vocabulary
    tokenizer.save_model(str(folder))
    return folder


def make_state(seed: int = 0) -> dict[str, Tensor]:
    """Make random weights: laion-clap's init in the audio tower, larger in the text side."""
    torch.manual_seed(seed)
    state = build_clap(SIZES).state_dict()
    for name, tensor in state.items():
        if name.startswith(("text_branch.", "text_projection.")) and "LayerNorm" not in name:
            tensor.copy_(torch.randn_like(tensor) * 0.1)
    # Official files hold this: transformers saved it until 4.31.
    state["text_branch.embeddings.position_ids"] = torch.arange(SIZES.positions)[None]
    return state


def write_official_file(path: Path, state: dict[str, Tensor]) -> Path:
    """Write a file as LAION's training does: `module.` prefix, optimizer state, numpy numbers."""
    torch.save(
        {
            "epoch": 15,
            "name": "tiny",
            "best": np.float64(0.8998),
            "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(10)}}, "param_groups": []},
        },
        path,
    )
    return path


def make_noise(duration_s: float, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """Make mono noise that grows louder, so that each stretch of it differs."""
    num_samples = round(duration_s * rate_hz)
    noise = np.random.default_rng(seed).standard_normal((1, num_samples), np.float32)
    return noise * np.linspace(0.01, 0.3, num_samples, dtype=np.float32)
