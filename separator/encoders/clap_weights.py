"""Read LAION-CLAP weight files, and the network's sizes from the tensors' shapes.

Neither laion-clap nor transformers is imported here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from separator.errors import EncoderError
from separator.model.tensors import read_tensors

# The numbers 0, 1, 2, ...; transformers saved them in the file until 4.31.
CONSTANTS = frozenset({"text_branch.embeddings.position_ids"})
AUDIO_TOWERS = {96: "HTSAT-tiny", 128: "HTSAT-base", 256: "HTSAT-large"}
HEAD_SIZE = 64


@dataclass(frozen=True)
class ClapSizes:
    """Sizes of a LAION-CLAP, read from the shapes of its tensors."""

    audio_tower: str
    vocabulary: int
    positions: int
    token_types: int
    hidden: int
    intermediate: int
    layers: int

    @property
    def heads(self) -> int:
        return max(1, self.hidden // HEAD_SIZE)


def read_clap_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of an official `.pt`, under their names within the network."""
    state, _ = read_tensors(Path(path))
    # Training on several devices adds this prefix.
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    # Copied out of the memory map: if the file were truncated later, access would kill the process.
    return {name.removeprefix(prefix): tensor.clone() for name, tensor in state.items()}


def read_sizes(state: Mapping[str, Tensor]) -> ClapSizes:
    vocabulary, hidden = _get_shape(state, "text_branch.embeddings.word_embeddings.weight", 2)
    positions, _ = _get_shape(state, "text_branch.embeddings.position_embeddings.weight", 2)
    token_types, _ = _get_shape(state, "text_branch.embeddings.token_type_embeddings.weight", 2)
    first = "text_branch.encoder.layer.0.intermediate.dense.weight"
    intermediate, _ = _get_shape(state, first, 2)
    numbers = [re.match(r"text_branch\.encoder\.layer\.(\d+)\.", name) for name in state]
    width = _get_shape(state, "audio_branch.patch_embed.proj.weight", 4)[0]
    if width not in AUDIO_TOWERS:
        raise EncoderError(
            f"audio_branch.patch_embed.proj.weight has {width} channels; known are {AUDIO_TOWERS}"
        )
    return ClapSizes(
        audio_tower=AUDIO_TOWERS[width],
        vocabulary=vocabulary,
        positions=positions,
        token_types=token_types,
        hidden=hidden,
        intermediate=intermediate,
        layers=len({number[1] for number in numbers if number}),
    )


def _get_shape(state: Mapping[str, Tensor], name: str, num_dims: int) -> tuple[int, ...]:
    if name not in state:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise EncoderError(
            f"{name} is missing: not the weights of LAION-CLAP with HTSAT and RoBERTa, or under "
            f"a prefix (found {found}, ...)"
        )
    shape = tuple(state[name].shape)
    if len(shape) != num_dims or min(shape) < 1:
        raise EncoderError(f"{name} has the shape {shape}; {num_dims} dimensions are needed")
    return shape


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise unless the state holds exactly the network's tensors, each in its shape."""
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is not part of the network" for name in state if name not in expected]
    problems += [
        f"{name} has the shape {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        shown = "; ".join(problems[:3]) + (", ..." if len(problems) > 3 else "")
        raise EncoderError(
            f"{len(problems)} tensors do not fit laion-clap 1.1.7 without fusion: {shown}"
        )
