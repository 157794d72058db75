"""Text -> condition and audio -> condition, with the code and weights of LAION-CLAP.

laion-clap and transformers are imported when an encoder is loaded, not before, and nothing is
ever fetched. It knows neither URIs nor caches.

Shapes: C channels, T samples, Q queries, D condition.
"""

import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from separator.encoders.clap_audio import encode_stretches
from separator.encoders.clap_weights import (
    CONSTANTS,
    ClapSizes,
    check_state,
    read_clap_file,
    read_sizes,
)
from separator.encoders.encoder import CONDITION_SIZE
from separator.encoders.tokenizer import find_tokenizer, load_tokenizer
from separator.errors import EncoderMissing
from separator.model.checkpoint import compute_encoder_id

if TYPE_CHECKING:
    from transformers import RobertaModel, RobertaTokenizerFast

__all__ = ["ClapEncoder", "load_clap", "read_clap_file"]

# AudioSep's limit, where laion-clap itself stops at 77.
MAX_TOKENS = 512
# RoBERTa counts positions from padding_idx + 1 = 2: its table has two rows that no token uses.
UNUSED_POSITIONS = 2


class ClapEncoder:
    """A loaded LAION-CLAP. Made by `load_clap`."""

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
        """Conditions (Q, 512), float32, of length 1."""
        conditions_QD = np.empty((len(texts), CONDITION_SIZE), np.float32)
        for condition_D, text in zip(conditions_QD, texts, strict=True):
            # One at a time, so that a condition does not depend on the texts next to it. AudioSep
            # pads every text to 512 tokens; padding is masked, so none gives the same up to
            # rounding, some forty times faster.
            tokens = self._tokenizer(
                [text], truncation=True, max_length=self._max_tokens, return_tensors="pt"
            )
            condition_D[:] = self._model.get_text_embedding(tokens)[0].numpy()
        return conditions_QD

    @torch.inference_mode()
    def encode_audio(self, waveform_CT: np.ndarray, rate_hz: int) -> np.ndarray:
        """The condition (512,) of an example."""

        def embed(stretch_T: Tensor) -> Tensor:
            row = {"waveform": stretch_T, "longer": torch.tensor([False])}
            return self._model.get_audio_embedding([row])[0]

        return encode_stretches(waveform_CT, rate_hz, embed)


def load_clap(state: Mapping[str, Tensor], tokenizer_path: Path | None = None) -> ClapEncoder:
    """An encoder of a LAION-CLAP state dict: of `read_clap_file`, or out of an AudioSep checkpoint
    with `query_encoder.model.` taken off. The tokenizer is looked for if no folder is given."""
    state = {name: tensor for name, tensor in state.items() if name not in CONSTANTS}
    sizes = read_sizes(state)
    clap_module = import_clap_module()
    folder = find_tokenizer() if tokenizer_path is None else tokenizer_path
    tokenizer = load_tokenizer(folder, sizes.vocabulary)
    model = build_clap(clap_module, sizes)
    check_state(state, model.state_dict())
    model.load_state_dict(state)
    model.eval()
    max_tokens = min(MAX_TOKENS, sizes.positions - UNUSED_POSITIONS)
    encoder_id = compute_encoder_id(state)
    assert encoder_id is not None, "read_sizes has seen the text side"
    return ClapEncoder(model, tokenizer, encoder_id, max_tokens)


def import_clap_module(package: str = "laion_clap") -> ModuleType:
    """The part of laion-clap that holds its networks.

    `import laion_clap` would fetch three tokenizers from a hub. Its `clap_module` stands on its
    own, and is a top-level module to laion-clap too.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderMissing(f"{package} is not installed: pip install 'separator[clap]'")
    folder = spec.submodule_search_locations[0]
    sys.path.append(folder)
    try:
        return importlib.import_module("clap_module")
    except ImportError as error:
        raise EncoderMissing(
            f"{package} cannot be imported ({error}): pip install 'separator[clap]'"
        ) from error
    finally:
        # Its neighbours are called `training` and `evaluate`: not to be found by others.
        sys.path.remove(folder)


def build_clap(clap_module: ModuleType, sizes: ClapSizes) -> nn.Module:
    """The network of laion-clap in the given sizes, with weights to be replaced."""
    path = Path(clap_module.__file__ or "").parent / "model_configs" / f"{sizes.audio_tower}.json"
    config = json.loads(path.read_text())
    # For "roberta" the constructor would fetch weights. "transformer" is the one text branch that
    # it makes from nothing; the smallest possible one holds the place of ours.
    text_config = clap_module.CLAPTextCfg(
        context_length=1,
        vocab_size=1,
        width=sizes.hidden,
        heads=1,
        layers=1,
        model_type="transformer",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        model = clap_module.CLAP(config["embed_dim"], config["audio_cfg"], text_config)
    model.text_branch = build_roberta(sizes)
    model.text_branch_type = "roberta"
    del model.token_embedding, model.positional_embedding, model.ln_final
    return model


def build_roberta(sizes: ClapSizes) -> "RobertaModel":
    from transformers import RobertaConfig, RobertaModel

    return RobertaModel(
        RobertaConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            intermediate_size=sizes.intermediate,
            max_position_embeddings=sizes.positions,
            type_vocab_size=sizes.token_types,
            # As in roberta-base. The default of the class is 1e-12, and shapes do not tell.
            layer_norm_eps=1e-5,
        )
    )
