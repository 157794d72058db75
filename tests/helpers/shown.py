"""Read the HTML that results show in a notebook: its players, their sounds and pictures."""

import base64
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True)
class Player:
    label: str
    sound: bytes
    picture: bytes
    alt: str

    def decode(self, folder: Path) -> tuple[np.ndarray, int]:
        """Return samples (C, T) and rate."""
        path = folder / "shown.m4a"
        path.write_bytes(self.sound)
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        return np.concatenate([frame.to_ndarray() for frame in frames], 1), frames[0].sample_rate


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


def read_players(html: str) -> tuple[list[Player], Reader]:
    """Read the players; every address must be one that needs no network."""
    reader = Reader()
    reader.feed(html)
    figures, pictures, sounds = (
        [values for tag, values in reader.tags if tag == wanted]
        for wanted in ("figure", "img", "audio")
    )
    for values in [*pictures, *sounds]:
        assert values["src"].startswith("data:"), values["src"][:40]
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe"}
    players = [
        Player(figure["aria-label"], unpack(sound["src"]), unpack(picture["src"]), picture["alt"])
        for figure, picture, sound in zip(figures, pictures, sounds, strict=True)
    ]
    return players, reader


def unpack(address: str) -> bytes:
    return base64.b64decode(address.partition("base64,")[2], validate=True)
