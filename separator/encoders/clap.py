"""Encode texts and audio as conditions with the code and weights of LAION-CLAP.

laion-clap and transformers are imported when an encoder is loaded, not before; nothing is
downloaded. The caller handles URIs and caches.

Shapes: C channels, T samples, Q queries, D condition.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from separator.encoders.clap_audio import encode_stretches
from separator.encoders.clap_network import build_clap, build_roberta, import_clap_module
from separator.encoders.clap_weights import CONSTANTS, check_state, read_clap_file, read_sizes
from separator.encoders.encoder import CONDITION_SIZE
from separator.encoders.tokenizer import find_tokenizer, load_tokenizer
from separator.model.checkpoint import compute_encoder_id

if TYPE_CHECKING:
    from transformers import RobertaTokenizerFast

__all__ = ["ClapEncoder", "check_clap", "load_clap", "read_clap_file"]

# AudioSep's limit; laion-clap itself cuts texts at 77.
MAX_TOKENS = 512
# RoBERTa counts positions from padding_idx + 1 = 2: no token uses the table's first two rows.
UNUSED_POSITIONS = 2


class ClapEncoder:
    """A loaded LAION-CLAP, made by `load_clap`."""

    def __init__(
        self, model: nn.Module, tokenizer: "RobertaTokenizerFast", encoder_id: str, max_tokens: int
    ) -> None:
        self.encoder_id = encoder_id
        # laion-clap is untyped: its methods look like tensors to a type checker.
        self._model: Any = model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return conditions (Q, 512), float32, each of length 1."""
        conditions_QD = np.empty((len(texts), CONDITION_SIZE), np.float32)
        for condition_D, text in zip(conditions_QD, texts, strict=True):
            # One text at a time: its condition does not depend on the other texts. AudioSep pads
            # every text to 512 tokens; padding is masked, so leaving it out gives the same up to
            # rounding, some forty times faster.
            tokens = self._tokenizer(
                [text], truncation=True, max_length=self._max_tokens, return_tensors="pt"
            )
            condition_D[:] = self._model.get_text_embedding(tokens)[0].numpy()
        return conditions_QD

    @torch.inference_mode()
    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        """Return the condition (512,) of an example sound."""

        def embed(stretch_T: Tensor) -> Tensor:
            row = {"waveform": stretch_T, "longer": torch.tensor([False])}
            return self._model.get_audio_embedding([row])[0]

        return encode_stretches(waveform_CT, rate_hz, embed)


def check_clap() -> None:
    """Refuse to begin without the packages that CLAP's text encoder is made of."""
    import_clap_module()


def load_clap(state: Mapping[str, Tensor], tokenizer_path: Path | None = None) -> ClapEncoder:
    """Make an encoder of a LAION-CLAP state dict.

    The dict comes from `read_clap_file`, or from an AudioSep checkpoint with the prefix
    `query_encoder.model.` removed. Without `tokenizer_path` the usual folders are searched.
    """
    state = {name: tensor for name, tensor in state.items() if name not in CONSTANTS}
    sizes = read_sizes(state)
    folder = find_tokenizer() if tokenizer_path is None else tokenizer_path
    tokenizer = load_tokenizer(folder, sizes.vocabulary)
    model: Any = build_clap(sizes, text_device="meta")
    check_state(state, model.state_dict())
    model.text_branch = build_roberta(sizes)  # now that the file is known to hold one
    model.load_state_dict(state)
    model.eval()
    max_tokens = min(MAX_TOKENS, sizes.positions - UNUSED_POSITIONS)
    encoder_id = compute_encoder_id(state)
    assert encoder_id is not None, "read_sizes found the text side"
    return ClapEncoder(model, tokenizer, encoder_id, max_tokens)
