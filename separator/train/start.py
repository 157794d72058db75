"""Find and check in the driver what a training starts from, so that a mistake is one line at once.

Ray's workers have another working directory, and may be other machines. So paths become absolute
here; names and URIs stay, and each machine looks them up by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from separator.api import find_encoder
from separator.encoders.encoder import CONDITION_SIZE, TextEncoder
from separator.errors import CheckpointMismatch, EncoderMissing, RequestError, SeparatorError
from separator.model import registry
from separator.model.checkpoint import read_checkpoint, read_encoder_id
from separator.model.resunet import NetworkConfig, ResUNet
from separator.storage import Storage, parse_uri
from separator.train.recipe import NetSettings, TrainSettings
from separator.train.sound_lists import read_lists


def check_start(settings: TrainSettings) -> TrainSettings:
    """Read lists, encoder and network once; return the settings with absolute paths.

    What is wrong raises a `SeparatorError` that begins with the name of the setting.
    """
    storage, net, data = Storage(settings.storage), settings.net, settings.data
    read_lists(data.lists, storage)
    lists = [parse_uri(uri).uri for uri in data.lists]
    with naming("encoder", settings.encoder):
        encoder = make_absolute(settings.encoder)
        load_encoder(encoder, storage)
    with naming("net.start_from", net.start_from):
        net = replace(net, start_from=net.start_from and make_absolute(net.start_from))
        make_net(net, storage)
    return replace(settings, encoder=encoder, net=net, data=replace(data, lists=lists))


@contextmanager
def naming(setting: str, value: str | None) -> Iterator[None]:
    """Begin the message of an error with the setting that is to be mended."""
    try:
        yield
    except SeparatorError as error:
        if value is None:
            raise
        raise type(error)(f"{setting}={value!r}: {error}") from None


def make_absolute(name: str) -> str:
    """Make a path mean the same in every process; names and URIs do already."""
    if not registry.is_path(name):
        return name
    return str(registry.resolve(name).absolute())


def load_encoder(name: str, storage: Storage) -> TextEncoder:
    """Load the encoder of a checkpoint, by path, `s3://` URI or published name."""
    path = registry.resolve(name, storage.fetch)
    encoder_id = read_encoder_id(path)
    if encoder_id is None:
        raise EncoderMissing(f"{path}: holds no encoder; give a checkpoint that does")
    return find_encoder(path, encoder_id)


def make_net(chosen: NetSettings, storage: Storage) -> ResUNet:
    """Build the network of the recipe, or read the one of `net.start_from`."""
    if chosen.start_from is None:
        try:
            config = NetworkConfig(n_fft=chosen.n_fft, hop=chosen.hop, widths=tuple(chosen.widths))
        except ValueError as error:
            raise RequestError(f"net: {error}") from None
        return ResUNet(config)
    path = registry.resolve(chosen.start_from, storage.fetch)
    saved = read_checkpoint(path).net
    if saved.config.condition_size != CONDITION_SIZE:
        raise CheckpointMismatch(
            f"{path}: conditions of {saved.config.condition_size} values, not {CONDITION_SIZE}"
        )
    net = ResUNet(saved.config)  # a new one: the parameters of `saved` are frozen
    net.load_state_dict(saved.state_dict())
    return net
