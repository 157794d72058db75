"""Check in the driver the files that a training starts from, so that a mistake is one line at once.

Ray's workers have another working directory, and may be other machines. So paths become absolute
here; names and URIs stay, and each machine looks them up by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from separator import api
from separator.encoders.clip import CLIP, ClipEncoder, read_clip
from separator.encoders.encoder import CONDITION_SIZE, TextEncoder
from separator.errors import CheckpointMismatch, EncoderMissing, RequestError, SeparatorError
from separator.model import registry
from separator.model.asp_unet import AspConfig, AspUnet
from separator.model.checkpoint import read_encoder_id
from separator.model.networks import Network, make_network
from separator.model.resunet import NetworkConfig, ResUNet
from separator.model.zero_shot_files import is_detector_id, read_separator
from separator.results.refuse import try_writing
from separator.storage import Storage, parse_uri
from separator.storage.uri import join_uri
from separator.train.by_example import ByExample
from separator.train.by_text import ByText
from separator.train.examples import Examples
from separator.train.mined_pairs import MinedPairs, check_latents
from separator.train.outputs import check_checkpoints, check_folder, is_on_s3
from separator.train.placed_sounds import PlacedSounds
from separator.train.recipe import DRIVEN, NetSettings, TrainSettings
from separator.train.sound_lists import Source, read_lists
from separator.train.tag_examples import TagExamples
from separator.train.tagging import Tagging, make_detector
from separator.train.task import Task
from separator.train.timing import Timing, make_frame_net

ANY_RATE_HZ = 32_000  # for checks, which read no sound


def check_start(settings: TrainSettings) -> TrainSettings:
    """Read lists, encoder and network once; return the settings with absolute paths.

    A mistake raises a `SeparatorError` that begins with the name of the setting.
    """
    storage, net, data = Storage(settings.storage), settings.net, settings.data
    sources = read_lists(data.lists, storage, data.without, data.licences)
    check_examples(settings, sources, storage)
    lists = [parse_uri(uri).uri for uri in data.lists]
    settings = replace(settings, data=replace(data, lists=lists))
    condition_size = CONDITION_SIZE
    if settings.task in DRIVEN:
        with naming("encoder", settings.encoder):
            settings = replace(settings, encoder=make_absolute(settings.encoder))
            if settings.task == "examples":
                condition_size = api.load_htsat(settings.encoder, storage=storage).latent_size
            else:
                check_images(settings, load_encoder(settings, storage))
    if settings.task == "examples":
        check_latents(sources, condition_size)
    with naming("net.start_from", net.start_from):
        net = replace(net, start_from=net.start_from and make_absolute(net.start_from))
        if settings.task in DRIVEN:
            make_net(net, condition_size, storage)
        else:
            make_new_detector(settings, 1)
    with naming("output", settings.output):
        check_output(settings, storage)
    return replace(settings, net=net)


def check_output(settings: TrainSettings, storage: Storage) -> None:
    """Refuse an output that cannot be written, and a run that cannot go on; Ray would say so in
    many lines."""
    if is_on_s3(settings.output):
        try_writing(storage, settings.output)
        check_checkpoints(storage, join_uri(settings.output, settings.name))
    else:
        output = parse_uri(settings.output).path
        run = output / settings.name
        check_folder(run if run.exists() else output)
        check_checkpoints(storage, str(run))


def check_examples(settings: TrainSettings, sources: Sequence[Source], storage: Storage) -> None:
    """Refuse lists from which no examples can be drawn, by making the object that draws them."""
    if settings.task == "times":
        PlacedSounds(sources, settings.data, settings.seed, storage)
        return
    makers = {"text": Examples, "examples": MinedPairs, "tags": TagExamples}
    makers[settings.task](sources, settings.data, ANY_RATE_HZ, settings.seed, storage)


def load_start(settings: TrainSettings, storage: Storage) -> tuple[nn.Module, Task]:
    """Build or read the network to train, and prepare the task that feeds and measures it."""
    if settings.task not in DRIVEN:
        task = Tagging(settings) if settings.task == "tags" else Timing(settings)
        return make_new_detector(settings, len(task.labels)), task
    if settings.task == "examples":
        detector = api.load_htsat(settings.encoder, storage=storage)
        net = make_net(settings.net, detector.latent_size, storage)
        return net, ByExample(settings, net.config.rate_hz, detector)
    net = make_net(settings.net, CONDITION_SIZE, storage)
    return net, ByText(settings, net.config.rate_hz, load_encoder(settings, storage))


@contextmanager
def naming(setting: str, value: str | None) -> Iterator[None]:
    """Begin the message of an error with the setting to correct."""
    try:
        yield
    except SeparatorError as error:
        if value is None:
            raise
        raise type(error)(f"{setting}={value!r}: {error}") from None


def make_absolute(name: str) -> str:
    """Make a path mean the same in every process; names and URIs do already."""
    if name == CLIP or not registry.is_path(name):
        return name
    return str(registry.resolve(name).absolute())


def check_images(settings: TrainSettings, encoder: TextEncoder) -> None:
    """Refuse queries of a kind that the encoder cannot encode."""
    optim, is_clip = settings.optim, isinstance(encoder, ClipEncoder)
    if optim.use_image and not is_clip:
        raise RequestError("optim.use_image is true: only encoder=clip takes images")
    if is_clip and optim.use_text_ratio < 1 and not optim.use_image:
        raise RequestError(
            f"optim.use_text_ratio={optim.use_text_ratio}: CLIP has no audio side for the rest; "
            "set optim.use_image=true"
        )


def load_encoder(settings: TrainSettings, storage: Storage) -> TextEncoder:
    """Load the encoder of a checkpoint (path, `s3://` URI, published name), or the user's CLIP."""
    if settings.encoder == CLIP:
        return read_clip(is_raw=settings.clip_raw)
    path = registry.resolve(settings.encoder, storage.fetch)
    encoder_id = read_encoder_id(path)
    if encoder_id is None or is_detector_id(encoder_id):
        raise EncoderMissing(f"{path}: holds no encoder of texts; give a checkpoint that does")
    return api.find_encoder(path, encoder_id)


def make_new_detector(settings: TrainSettings, num_labels: int) -> nn.Module:
    """Build an untrained detector, of whole sounds or of times."""
    make = make_detector if settings.task == "tags" else make_frame_net
    return make(settings.detector, num_labels)


def make_net(chosen: NetSettings, condition_size: int, storage: Storage) -> Network:
    """Build the network of the recipe, or read the one of `net.start_from`."""
    if chosen.start_from is None:
        sizes: dict[str, Any] = {
            "n_fft": chosen.n_fft,
            "hop": chosen.hop,
            "widths": tuple(chosen.widths),
            "condition_size": condition_size,
        }
        try:
            if chosen.kind == "unet":
                return AspUnet(AspConfig(**sizes))
            return ResUNet(NetworkConfig(**sizes))
        except ValueError as error:
            raise RequestError(f"net: {error}") from None
    path = registry.resolve(chosen.start_from, storage.fetch)
    saved = read_separator(path).net
    if saved.config.condition_size != condition_size:
        raise CheckpointMismatch(
            f"{path}: conditions of {saved.config.condition_size} values, not {condition_size}"
        )
    net = make_network(saved.config)  # a new one: the parameters of `saved` are frozen
    net.load_state_dict(saved.state_dict())
    return net
