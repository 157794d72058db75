"""Encode texts, images and frames of videos as conditions with CLIP (ViT-B/32 and its kind).

transformers is imported when an encoder is loaded, not before; nothing is downloaded. Whether a
condition has length 1 or the network's own (near 10) is part of the encoder's id: a separator needs
conditions of the length that it was trained with.

Shapes: H height, W width, N images, Q queries, L tokens, D condition.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separator.encoders.clap_network import import_clap_module
from separator.encoders.clip_weights import CLIP, ClipWeights, find_clip, read_clip_file
from separator.encoders.encoder import CONDITION_SIZE
from separator.errors import EncoderError, EncoderMissing, QueryError, tell_install

PREFIX, RAW = "clip:", ":raw"
WAY_OUT = tell_install("clap")
HEAD_SIZE = 64
END_TOKEN = 49_407
VOCABULARY = 49_408
MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)
LONGEST_SHARE = 16  # longest side, in shorter sides: the middle square needs no more


@dataclass(frozen=True)
class ClipSizes:
    """Sizes of a CLIP, read from the shapes of its tensors."""

    text_width: int
    text_layers: int
    text_inner: int
    positions: int
    image_width: int
    image_layers: int
    image_inner: int
    patch: int
    image_size: int


class ClipEncoder:
    """A loaded CLIP, made by `load_clip`. A `TextEncoder` that takes images too."""

    def __init__(self, model: Any, encoder_id: str, sizes: ClipSizes) -> None:
        self.encoder_id = encoder_id
        self.has_length_1 = not encoder_id.endswith(RAW)
        self._model, self._sizes = model, sizes
        import_clap_module("tokenizer")  # raises now, not at the first text, if it is missing

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Return conditions (Q, 512), float32; one text at a time, as none depends on another."""
        conditions_QD = np.empty((len(texts), CONDITION_SIZE), np.float32)
        for condition_D, text in zip(conditions_QD, texts, strict=True):
            tokens_1L = tokenize([text], self._sizes.positions)
            found = self._model.get_text_features(input_ids=tokens_1L)
            condition_D[:] = self._finish(take_output(found)[0])
        return conditions_QD

    @torch.inference_mode()
    def encode_images(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Return the condition (512,) of images (H, W, 3) of bytes: the mean of all."""
        each = []
        for image_HW3 in images:
            pixels = prepare_image(image_HW3, self._sizes.image_size)
            found = self._model.get_image_features(pixel_values=pixels[None])
            each.append(torch.from_numpy(self._finish(take_output(found)[0])))
        if not each:
            raise QueryError("no image to take a condition from")
        return self._finish(torch.stack(each).mean(0))

    def _finish(self, embedding_D: Tensor) -> np.ndarray:
        if self.has_length_1:
            embedding_D = embedding_D / embedding_D.norm()
        return embedding_D.numpy()


def tokenize(texts: list[str], length: int = 77) -> Tensor:
    """Return token ids (Q, L) by OpenAI's table, filled up with zeros; a text that is too long is
    cut off and still ends with END_TOKEN."""
    tokens_QL = import_clap_module("tokenizer").tokenize(texts, length)
    tokens_QL[tokens_QL[:, -1] != 0, -1] = END_TOKEN
    return tokens_QL


def take_output(found: Any) -> Tensor:
    """Return the features: transformers 5 puts an object around them."""
    return found if isinstance(found, Tensor) else found.pooler_output


def prepare_image(image_HW3: np.ndarray, size: int) -> Tensor:
    """Scale the shorter side to `size`, take the middle square, and normalise as CLIP does."""
    from PIL import Image

    if image_HW3.dtype != np.uint8 or image_HW3.ndim != 3 or image_HW3.shape[2] != 3:
        raise QueryError(
            f"image of shape {image_HW3.shape}, {image_HW3.dtype}: (height, width, 3) bytes needed"
        )
    image_HW3 = cut_middle(image_HW3)
    height, width = image_HW3.shape[:2]
    scale = size / min(height, width)
    new = (max(size, int(width * scale)), max(size, int(height * scale)))
    scaled = np.asarray(Image.fromarray(image_HW3).resize(new, Image.Resampling.BICUBIC))
    top, left = (round((scaled.shape[i] - size) / 2) for i in (0, 1))
    square = scaled[top : top + size, left : left + size].astype(np.float32) / 255
    normal = (square - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))


def cut_middle(image_HW3: np.ndarray) -> np.ndarray:
    """Cut off the ends of a very long image: scaled to its shorter side it would fill memory."""
    height, width = image_HW3.shape[:2]
    longest = LONGEST_SHARE * min(height, width)
    top, left = (max(0, length - longest) // 2 for length in (height, width))
    return np.ascontiguousarray(image_HW3[top : top + longest, left : left + longest])


def is_clip(encoder_id: str | None) -> bool:
    return (encoder_id or "").startswith(PREFIX)


def read_clip(path: Path | None = None, is_raw: bool = False) -> ClipEncoder:
    """Load the encoder of a file, or of the user's own copy."""
    return load_clip(read_clip_file(path or find_clip()), is_raw)


def find_own_clip(encoder_id: str) -> ClipEncoder:
    """Load the user's CLIP; refuse it if the checkpoint was trained with another one."""
    encoder = read_clip(is_raw=encoder_id.endswith(RAW))
    if encoder.encoder_id != encoder_id:
        raise EncoderMissing(
            f"the checkpoint needs the CLIP {encoder_id!r}, {find_clip()} is {encoder.encoder_id!r}"
        )
    return encoder


def load_clip(weights: ClipWeights, is_raw: bool = False) -> ClipEncoder:
    """Make an encoder of weights; `is_raw`: conditions keep the network's own length."""
    sizes = read_sizes(weights.state)
    try:
        from transformers import CLIPConfig, CLIPModel
    except ImportError as error:
        raise EncoderMissing(f"transformers cannot be imported ({error}): {WAY_OUT}") from None
    text = {"hidden_size": sizes.text_width, "num_hidden_layers": sizes.text_layers,
            "intermediate_size": sizes.text_inner, "vocab_size": VOCABULARY,
            "num_attention_heads": max(1, sizes.text_width // HEAD_SIZE),
            "max_position_embeddings": sizes.positions, "eos_token_id": END_TOKEN,
            "bos_token_id": END_TOKEN - 1, "hidden_act": weights.activation}  # fmt: skip
    image = {"hidden_size": sizes.image_width, "num_hidden_layers": sizes.image_layers,
             "intermediate_size": sizes.image_inner, "patch_size": sizes.patch,
             "num_attention_heads": max(1, sizes.image_width // HEAD_SIZE),
             "image_size": sizes.image_size, "hidden_act": weights.activation}  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=image, projection_dim=CONDITION_SIZE)
    try:
        # First on `meta`: no memory for a network that may not fit the file.
        with torch.device("meta"):
            CLIPModel(config).load_state_dict(weights.state, assign=True)
        model = CLIPModel(config)
        model.load_state_dict(weights.state)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise EncoderError(f"the tensors do not fit a CLIP of these sizes: {reason}") from None
    return ClipEncoder(model.eval(), hash_clip(weights, is_raw), sizes)


def hash_clip(weights: ClipWeights, is_raw: bool) -> str:
    """Return the encoder's id: a hash of all that changes a condition."""
    digest = hashlib.sha256(weights.activation.encode())
    for name in sorted(weights.state):
        tensor = weights.state[name]
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.numpy().astype("<f4", copy=False).tobytes())
    return f"{PREFIX}{digest.hexdigest()[:16]}{RAW if is_raw else ''}"


def read_sizes(state: Mapping[str, Tensor]) -> ClipSizes:
    """Read the sizes from the tensors' shapes; refuse another vocabulary or condition size."""
    try:
        vocabulary, text_width = state["text_model.embeddings.token_embedding.weight"].shape
        image_width, _, patch, _ = state["vision_model.embeddings.patch_embedding.weight"].shape
        num_patches = len(state["vision_model.embeddings.position_embedding.weight"]) - 1
        sizes = ClipSizes(
            text_width,
            count_layers(state, "text_model."),
            len(state["text_model.encoder.layers.0.mlp.fc1.bias"]),
            len(state["text_model.embeddings.position_embedding.weight"]),
            image_width,
            count_layers(state, "vision_model."),
            len(state["vision_model.encoder.layers.0.mlp.fc1.bias"]),
            patch,
            patch * round(num_patches**0.5),
        )
        condition_size = len(state["text_projection.weight"])
    except (KeyError, ValueError) as error:
        raise EncoderError(f"no CLIP with two transformers: {error!r}") from None
    if (vocabulary, condition_size) != (VOCABULARY, CONDITION_SIZE):
        raise EncoderError(
            f"a CLIP of {vocabulary} tokens and conditions of {condition_size} values: "
            f"{VOCABULARY} and {CONDITION_SIZE} are needed, as ViT-B/32 and ViT-B/16 have"
        )
    return sizes


def count_layers(state: Mapping[str, Tensor], side: str) -> int:
    first = f"{side}encoder.layers."
    return len({n.removeprefix(first).split(".")[0] for n in state if n.startswith(first)})


__all__ = ["CLIP", "ClipEncoder", "find_clip", "load_clip", "read_clip", "read_clip_file"]
