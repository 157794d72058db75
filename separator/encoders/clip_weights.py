"""Read the weights of a CLIP in the layouts of OpenAI, open_clip and Hugging Face.

All names become those of transformers' `CLIPModel`. OpenAI's file is a TorchScript archive: its
program is never run, only its tensors are read. transformers is not imported here.
"""

import json
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from separator.errors import CheckpointUnsafe, EncoderError, EncoderMissing
from separator.model import registry
from separator.model.tensors import DAMAGED, read_tensors, refuse_compressed

CLIP = "clip"  # names the user's own copy, wherever it is stored
OPENAI_FILE = "ViT-B-32.pt"
OPENAI_URI = "https://openaipublic.azureedge.net/clip/models/"
OPENAI_URI += f"40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/{OPENAI_FILE}"
FILES = ("model.safetensors", "pytorch_model.bin")
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
REPOSITORIES = {
    "openai/clip-vit-base-patch32": FILES,
    "timm/vit_base_patch32_clip_224.openai": OPEN_CLIP_FILES,
}
# Tensors of OpenAI's archive that are not weights; open_clip's files lack them.
CONSTANTS = ("input_resolution", "context_length", "vocab_size")
ACTIVATIONS = ("quick_gelu", "gelu")
WHOLE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
PARTS = [
    (r"visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"ln_final\.", "text_model.final_layer_norm."),
    (r"visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"transformer\.resblocks\.", "text_model.encoder.layers."),
]
INNER = {
    "attn.out_proj.": "self_attn.out_proj.",
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}
TRANSPOSED = ("visual.proj", "text_projection")
POSITIONS = re.compile(r".*\.position_ids$")  # the numbers 0, 1, 2, ... in older files


@dataclass(frozen=True)
class ClipWeights:
    """Tensors under transformers' names, in float32, and the activation they were trained with."""

    state: dict[str, Tensor]
    activation: str


def find_clip(home: Path | None = None, openai_cache: Path | None = None) -> Path:
    """Find the user's copy: in our folder, in OpenAI's package's folder, or in the hub's cache."""
    own = registry.home() if home is None else home
    other = Path.home() / ".cache/clip" if openai_cache is None else openai_cache
    named = [own / CLIP / name for name in (*FILES, *OPEN_CLIP_FILES)]
    for path in (own / OPENAI_FILE, *named, other / OPENAI_FILE):
        if path.is_file():
            return path
    from huggingface_hub import try_to_load_from_cache  # imported here: the import takes 0.3 s

    for repository, names in REPOSITORIES.items():
        for name in names:
            if isinstance(path := try_to_load_from_cache(repository, name), str):
                return Path(path)
    raise EncoderMissing(
        f"no CLIP: put {OPENAI_FILE} (from {OPENAI_URI}) at {own / OPENAI_FILE}, or "
        f"config.json and {FILES[0]} of {next(iter(REPOSITORIES))} into {own / CLIP}; "
        "SEPARATOR_HOME moves that folder"
    )


def read_clip_file(path: Path) -> ClipWeights:
    """Read a file in any of the layouts; refuse a file whose activation is unknown."""
    state, is_openai = read_any(path)
    state = {name: t for name, t in state.items() if not POSITIONS.match(name)}
    if "visual.conv1.weight" in state:
        activation = "quick_gelu" if is_openai else read_activation(path)
        state = rename(state)
    elif "vision_model.embeddings.patch_embedding.weight" in state:
        activation = read_activation(path)
    else:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise EncoderError(f"{path}: no CLIP with two transformers (found {found}, ...)")
    return ClipWeights({name: t.float().clone() for name, t in state.items()}, activation)


def read_any(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Read the tensors, and tell whether they come from OpenAI's own file."""
    if is_archive(path):
        state = read_archive(path)
    else:
        state, _ = read_tensors(path)
    is_openai = all(name in state for name in CONSTANTS)
    return {name: t for name, t in state.items() if name not in CONSTANTS}, is_openai


def read_activation(path: Path) -> str:
    """Read the activation from the config beside the weights; a guess would be wrong for many."""
    for name in ("config.json", "open_clip_config.json"):
        place = path.parent / name
        if not place.is_file():
            continue
        try:
            config = json.loads(place.read_text(encoding="utf-8"))
            if name == "config.json":
                # Configs of transformers leave out its default, quick_gelu.
                found = config.get("text_config", {}).get("hidden_act", ACTIVATIONS[0])
            else:
                found = ACTIVATIONS[0 if config["model_cfg"].get("quick_gelu") else 1]
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise EncoderError(f"{place}: no config of a CLIP ({error!r})") from None
        if found not in ACTIVATIONS:
            raise EncoderError(f"{place}: hidden_act={found!r}: known are {ACTIVATIONS}")
        return found
    raise EncoderError(
        f"{path}: the file does not say with which activation it was trained (OpenAI's weights: "
        "quick_gelu; others of that size: gelu), and a wrong one is not noticed: put config.json "
        "or open_clip_config.json beside it"
    )


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the names of OpenAI and open_clip to those of transformers."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in WHOLE:
            renamed[WHOLE[name]] = tensor.T if name in TRANSPOSED else tensor
            continue
        for pattern, place in PARTS:
            new, count = re.subn(f"^{pattern}", place, name)
            if count:
                break
        else:
            raise EncoderError(f"{name}: not a tensor of a CLIP with two transformers")
        if ".attn.in_proj_" in new:
            before, _, what = new.partition(".attn.in_proj_")
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                renamed[f"{before}.self_attn.{part}_proj.{what}"] = third
            continue
        for old, own in INNER.items():
            new = new.replace(f".{old}", f".{own}")
        renamed[new] = tensor
    return renamed


def is_archive(path: Path) -> bool:
    """Tell whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_archive(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a TorchScript archive without its program."""
    refuse_compressed(path)
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            root = name.removesuffix("data.pkl")
            with archive.open(name) as file:
                reader = ArchiveReader(file, lambda key: archive.read(f"{root}data/{key}"))
                return dict(flatten(reader.load(), ""))
    except CheckpointUnsafe:
        raise
    except (*DAMAGED, zipfile.BadZipFile, StopIteration) as error:
        raise EncoderError(f"{path}: a damaged archive ({error!r}); take another copy") from None


class ModuleValues:
    """Stand in for a module of the archive: it holds the file's values, and runs no code."""

    def __init__(self, *args: object) -> None: ...

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.members = state


class ArchiveReader(pickle.Unpickler):
    """Unpickle modules and tensors only."""

    def __init__(self, file: Any, read: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self.read = read

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return ModuleValues
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name
        if module == "torch.jit._pickle":
            return lambda *args: args[0] if args else None
        raise CheckpointUnsafe(f"the archive asks for {module}.{name}: it is no plain CLIP")

    def persistent_load(self, pid: Any) -> Tensor:
        _, kind, key, _, count = pid
        dtypes = {"FloatStorage": torch.float32, "HalfStorage": torch.float16,
                  "LongStorage": torch.int64, "IntStorage": torch.int32,
                  "DoubleStorage": torch.float64, "BFloat16Storage": torch.bfloat16,
                  "BoolStorage": torch.bool}  # fmt: skip
        return torch.frombuffer(bytearray(self.read(key)), dtype=dtypes[kind])[:count]


def rebuild(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: object
) -> Tensor:
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride), default=0) < 0 or last >= max(1, len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    if prod(size) > len(storage):  # a small file could claim any amount of memory
        raise ValueError("a tensor repeats its storage")
    return torch.as_strided(storage, size, stride, offset)


def flatten(tree: Any, prefix: str) -> list[tuple[str, Tensor]]:
    """List the tensors of nested modules by their full names."""
    found: list[tuple[str, Tensor]] = []
    for name, value in getattr(tree, "members", {}).items():
        if isinstance(value, Tensor):
            found.append((f"{prefix}{name}", value))
        elif isinstance(value, ModuleValues):
            found += flatten(value, f"{prefix}{name}.")
    return found
