"""Find a checkpoint's encoders of texts, sounds and images, in its file or on this machine."""

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from separator.detect.classes import names_several
from separator.detect.curves import Calibration
from separator.encoders import mini
from separator.encoders.cache import FileCache, encode_cached
from separator.encoders.clap import check_clap, load_clap, read_clap_file
from separator.encoders.clap_audio import read_clap_audio
from separator.encoders.clip import ClipEncoder, find_own_clip, is_clip
from separator.encoders.encoder import TextEncoder
from separator.encoders.similarity import AudioEncoder
from separator.encoders.sound_encoder import AudioSounds, LatentSounds, SoundEncoder
from separator.errors import (
    CheckpointError,
    CheckpointMismatch,
    EncoderError,
    EncoderMissing,
    QueryError,
    RequestError,
)
from separator.model import registry
from separator.model.checkpoint import compute_encoder_id, read_encoder_state
from separator.model.detector import Detector
from separator.model.entry_points import PACKAGE_PREFIX
from separator.model.identity import ANY_DETECTOR
from separator.model.tensors import read_json, read_tensors
from separator.model.zero_shot_files import (
    compute_detector_id,
    is_detector_id,
    read_detector,
)
from separator.sounds.kind_names import list_kinds

log = logging.getLogger(__name__)

AUTO = "auto"
CALIBRATION = "calibration"  # in the metadata: slope and offset of similarities
UNKNOWN = "the mini model knows none of its words: what is found and separated means nothing"
SEVERAL = (
    "names several sounds, and the mini model hears one for each query: ask for each of them, and "
    "add their stems by a rendition"
)
NEGATED = (
    "says {word!r}, and the mini model hears only which sounds are named: ask for the sound, and "
    "take its residual for what is without it"
)
NEGATION = re.compile(
    r"\b(not|no|without|except|minus|other than|(?:all|any|every)(?:thing)? but)\b", re.IGNORECASE
)
NO_ENCODER = "this checkpoint names no text encoder; give conditions=array"


def encode_texts(
    texts: list[str], encoder_id: str | None, load_encoder: Callable[[], TextEncoder]
) -> tuple[np.ndarray, dict[str, str]]:
    """Encode texts to conditions (Q, D); also return warnings by text, for unknown words."""
    if is_detector_id(encoder_id):
        raise QueryError(
            f"query {texts[0]!r}: this model separates by example sounds and reads no text: give "
            "{name: ..., audio: [a.wav, ...]}, or take a model that reads texts, such as mini"
        )
    if encoder_id is None:
        raise EncoderMissing(NO_ENCODER)
    if mini.is_mini(encoder_id):  # faster than a cache
        encoder = load_encoder()
        assert isinstance(encoder, mini.MiniEncoder)
        kinds = list_kinds()
        warnings = {text: SEVERAL for text in texts if names_several(text, kinds)}
        found = {text: NEGATION.search(text) for text in texts}
        warnings |= {text: NEGATED.format(word=word[0]) for text, word in found.items() if word}
        warnings |= dict.fromkeys(encoder.list_unknown(texts), UNKNOWN)
        in_order = {text: warnings[text] for text in texts if text in warnings}
        return encoder.encode_texts(texts), in_order
    if encoder_id.startswith(PACKAGE_PREFIX):  # conditions of any size: the package may cache them
        return load_encoder().encode_texts(texts), {}
    cache = FileCache(registry.home() / "conditions.safetensors")
    return encode_cached(load_encoder, encoder_id, texts, cache.read, cache.write), {}


def find_encoder(path: Path, encoder_id: str | None) -> TextEncoder:
    """Load the text encoder of a checkpoint: the copy in its file, else the user's CLAP or CLIP."""
    if mini.is_mini(encoder_id):
        return check_encoder(path, mini.read_mini(path), encoder_id)
    if encoder_id is not None and is_clip(encoder_id):
        return find_own_clip(encoder_id)
    check_clap()  # before a file of gigabytes is read, or asked for
    return check_encoder(path, load_clap(require_clap_state(path, encoder_id)), encoder_id)


def find_image_encoder(path: Path, encoder_id: str | None) -> ClipEncoder:
    """Load the encoder of images for a checkpoint."""
    if encoder_id is None or not is_clip(encoder_id):
        raise QueryError(
            f"{path.name} takes no images: only a model that was trained with CLIP does "
            f"(its encoder is {encoder_id or 'not named'!r}); give a text or example sounds"
        )
    return find_own_clip(encoder_id)


def find_sound_encoder(
    path: Path,
    encoder_id: str | None,
    condition_size: int,
    detector: str | Path = AUTO,
    fetch_uri: registry.FetchUri | None = None,
    device: str = "cpu",
) -> SoundEncoder:
    """Load the encoder of example sounds for a checkpoint. `detector`: a name, path or URI, or
    `auto`: the copy in the checkpoint's file, else the detector of the official separator."""
    check_detector(path, encoder_id, detector)
    if is_clip(encoder_id):
        raise QueryError(f"{path.name} takes texts and images (CLIP), no example sounds")
    if not is_detector_id(encoder_id):
        return AudioSounds(load_audio_encoder(path, encoder_id))
    assert encoder_id is not None
    source = path
    if detector != AUTO or encoder_id == ANY_DETECTOR:
        source = registry.resolve(registry.STSED if detector == AUTO else detector, fetch_uri)
    return LatentSounds(load_own_detector(path, encoder_id, condition_size, source, device))


def check_detector(path: Path, encoder_id: str | None, detector: str | Path) -> None:
    """Refuse a detector for a separator that takes none."""
    if detector != AUTO and not is_detector_id(encoder_id):
        raise RequestError(
            f"detector={str(detector)!r}: {path.name} takes example sounds by its text encoder, "
            "not by a detector; leave it out"
        )


def load_own_detector(
    path: Path, encoder_id: str, condition_size: int, source: Path, device: str = "cpu"
) -> Detector:
    """Load the detector of the separator in `path` from `source`; refuse one that does not fit."""
    try:
        net, labels = read_detector(source)
    except CheckpointMismatch as error:
        if source != path:
            raise
        raise EncoderMissing(
            f"{path.name} needs the detector {encoder_id!r} and holds no whole copy of it "
            f"({error}): name its file by detector=... (in a config: model.detector)"
        ) from None
    found_id = compute_detector_id(net.state_dict()) if encoder_id != ANY_DETECTOR else encoder_id
    if found_id != encoder_id:
        raise EncoderMissing(
            f"{path.name} needs the detector {encoder_id!r}, {source.name} holds {found_id!r}: "
            "its embeddings mean something else"
        )
    if (size := len(net.norm.weight)) != condition_size:
        raise CheckpointMismatch(
            f"{source}: the embedding of this detector has {size} values, the condition of "
            f"{path.name} has {condition_size}: take the detector it was trained with"
        )
    return Detector(net, labels, device, "fp32")


def find_audio_encoder(path: Path, encoder_id: str | None) -> AudioEncoder | None:
    """Load the audio side of the checkpoint's encoder; None, with a warning, if it is missing."""
    if is_detector_id(encoder_id) or is_clip(encoder_id):
        return None
    try:
        return load_audio_encoder(path, encoder_id)
    except (CheckpointError, EncoderError) as error:
        log.warning("similarity stays empty: %s", error)
        return None


def read_calibration(path: Path) -> Calibration | None:
    """Read the calibration that turns an encoder's similarities into probabilities, if any."""
    _, metadata = read_tensors(path)
    found = read_json(path, metadata, CALIBRATION, "null")
    if found is None:
        return None
    is_pair = isinstance(found, list) and len(found) == 2
    if not is_pair or not all(isinstance(x, float) and math.isfinite(x) for x in found):
        raise CheckpointMismatch(f"{path}: {CALIBRATION}: must be [slope, offset]")
    return Calibration(*found)


def load_audio_encoder(path: Path, encoder_id: str | None) -> AudioEncoder:
    """Load the audio side of the checkpoint's text encoder."""
    if encoder_id is None:
        raise EncoderMissing(NO_ENCODER)
    if is_clip(encoder_id):
        raise EncoderMissing(f"{path.name}: its encoder, CLIP, has no audio side")
    if mini.is_mini(encoder_id):
        encoder = mini.read_mini(path)
        check_encoder(path, encoder, encoder_id)
        return encoder
    state = require_clap_state(path, encoder_id)
    if (found_id := compute_encoder_id(state)) != encoder_id:
        raise EncoderMissing(f"no copy of the encoder {encoder_id!r} found, but {found_id!r}")
    return read_clap_audio(state)


def require_clap_state(path: Path, encoder_id: str | None) -> dict[str, Tensor]:
    """Read the encoder's tensors from the checkpoint, else from the LAION-CLAP file."""
    state = read_encoder_state(path)
    if state is None and find_clap_file().exists():
        state = read_clap_file(find_clap_file())
    if state is None:
        raise EncoderMissing(
            f"{path.name} was trained with the text encoder {encoder_id!r} and holds no copy of "
            f"it: put {registry.CLAP_FILE} (from {registry.CLAP_URI}) at {find_clap_file()}"
        )
    return state


def find_clap_file() -> Path:
    """Return the path at which the LAION-CLAP file is expected."""
    return registry.home() / registry.CLAP_FILE


def check_encoder(path: Path, encoder: TextEncoder, encoder_id: str | None) -> TextEncoder:
    """Return the encoder if it is the one the checkpoint was trained with."""
    if encoder.encoder_id != encoder_id:
        way_out = f"put the matching file at {find_clap_file()}"
        if mini.is_mini(encoder_id):  # which only the checkpoint itself holds
            way_out = "the file is damaged, take another copy"
        raise EncoderMissing(
            f"{path.name} needs the text encoder {encoder_id!r}, found {encoder.encoder_id}: "
            f"{way_out}"
        )
    return encoder
