"""Build LAION-CLAP's network from laion-clap's code, the only module that imports that package.

laion-clap is not imported whole, and its constructor is not used as it is:

- `import laion_clap` asks a hub for three tokenizers: over 5 minutes of retries if no hub can be
  reached. HF_HUB_OFFLINE=1 stops that only if it is set before huggingface_hub is imported, and
  would then also forbid the download of our checkpoints. It costs 2.9 s of CPU time more than torch
  and transformers do; importing the one module with the networks costs 0.1 s.
- For RoBERTa the constructor downloads weights that the checkpoint replaces; offline it raises
  OSError. So the network is built with the smallest text branch that laion-clap makes from nothing,
  and an empty RoBERTa takes the place of that branch.
"""

import importlib
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from separator.encoders.clap_weights import ClapSizes
from separator.errors import EncoderMissing, tell_install

if TYPE_CHECKING:
    from transformers import RobertaModel

WAY_OUT = tell_install("clap")


def import_clap_module(name: str = "model", package: str = "laion_clap") -> ModuleType:
    """Import one module of `laion_clap.clap_module` and what that module itself imports."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderMissing(f"{package} is not installed: {WAY_OUT}")
    # An empty package with the right path stands for `clap_module`, whose __init__ would import
    # scikit-learn and pandas; laion_clap's own __init__ does not run either.
    parent = ModuleType(f"{package}.clap_module")
    parent.__path__ = [str(Path(spec.submodule_search_locations[0]) / "clap_module")]
    sys.modules.setdefault(parent.__name__, parent)
    try:
        return importlib.import_module(f"{parent.__name__}.{name}")
    except ImportError as error:
        raise EncoderMissing(f"{package} cannot be imported ({error}): {WAY_OUT}") from error


def build_clap(sizes: ClapSizes, text_device: str = "cpu") -> nn.Module:
    """Build laion-clap's network in the given sizes, with weights to be replaced. On the device
    `meta` a text side takes no memory, in case the sizes are wrong."""
    module = import_clap_module()
    path = Path(module.__file__ or "").parent / "model_configs" / f"{sizes.audio_tower}.json"
    config = json.loads(path.read_text())
    text_config = module.CLAPTextCfg(
        context_length=1,
        vocab_size=1,
        width=sizes.hidden,
        heads=1,
        layers=1,
        model_type="transformer",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        model = module.CLAP(config["embed_dim"], config["audio_cfg"], text_config)
    with torch.device(text_device):
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
            # As in roberta-base; the class defaults to 1e-12, and no tensor's shape shows it.
            layer_norm_eps=1e-5,
        )
    )
