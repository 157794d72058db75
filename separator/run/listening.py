"""Plan how each query is listened for, and make the listener of an actor.

A query is listened for by the classes of the detector, if its text names some or the config does;
else by the similarity of its condition to the sound, if the checkpoint says how to read that; else
by its own stem, after separation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from separator.config import DetectSettings
from separator.detect.classes import Classes, match_classes
from separator.errors import RequestError
from separator.model import registry
from separator.model.download import hash_file
from separator.model.identity import find_sha256, remember_sha256, stamp_file
from separator.queries import Query
from separator.stages.work import choose_classes
from separator.storage import Storage

if TYPE_CHECKING:
    import torch

    from separator.detect.curves import Calibration
    from separator.encoders.similarity import AudioEncoder
    from separator.model.detection import SoundDetector
    from separator.stages.listen import Listener, ListeningMethod

OFF, AUTO, ENCODER = "off", "auto", "encoder"
WHOLE_FILE = "#file"


@dataclass(frozen=True)
class ListenPlan:
    """Everything that an actor needs to listen; travels to it."""

    settings: DetectSettings
    methods: "Mapping[str, ListeningMethod]"  # by key of a query
    detector: "SoundDetector | None"  # on the CPU
    encoder: "AudioEncoder | None"
    unknown: frozenset[str] = frozenset()  # keys of queries that mean nothing to the model
    descriptions: Mapping[str, str] = field(default_factory=dict)  # how each is heard, by key

    @property
    def context_s(self) -> Fraction:
        """The length of context on each side of a span that its presence depends on."""
        from separator.detect.curves import HOP_S, WINDOW_S

        rule = self.settings.rule
        needed = max(
            self.detector.context_s if self.detector else Fraction(0),
            Fraction(WINDOW_S / 2 + HOP_S) if self.encoder else Fraction(0),
        )
        return needed + Fraction(self.settings.pad_s + rule.smooth_s).limit_denominator(1_000)

    def make(self, device: "str | torch.device", precision: str) -> "Listener":
        from separator.encoders.similarity import place_encoder
        from separator.stages.listen import Listener

        settings = self.settings
        detector = self.detector and self.detector.to(device, precision)
        encoder = self.encoder and place_encoder(self.encoder, device, precision)
        return Listener(
            self.methods, settings.rule, settings.pad_s, detector, encoder, self.unknown
        )


def find_detector(name: str, storage: Storage) -> Path | None:
    """Find the detector's file; None if there is none to load."""
    if name in (OFF, ENCODER):
        return None
    return registry.resolve(registry.MINI_DETECTOR if name == AUTO else name, storage.fetch)


def hash_detector(path: Path | None) -> str:
    """Hash a detector's file: it changes what a gate lets through."""
    if path is None:
        return ""
    if known := find_sha256(path, WHOLE_FILE):
        return known
    stamp = stamp_file(path)
    sha256 = hash_file(path)
    remember_sha256(path, sha256, stamp, part=WHOLE_FILE)
    return sha256


def plan_listening(
    settings: DetectSettings,
    storage: Storage,
    queries: Iterable[Query],
    texts: Iterable[str],
    calibration: "Calibration | None",
    encoder: "AudioEncoder | None",
    unknown: Iterable[str] = (),
) -> ListenPlan | None:
    """Plan for the queries of the config and for the other texts of a list; None if detection is
    off. `unknown`: keys of queries that mean nothing to the model."""
    if settings.model == OFF:
        return None
    from separator.api import load_detector
    from separator.stages.listen import ListeningMethod

    path = find_detector(settings.model, storage)
    detector = load_detector(path) if path else None
    chosen = choose_classes(queries)
    if detector is None and (named := [key for key, classes in chosen.items() if classes]):
        raise RequestError(
            f"query {named[0]!r}: classes are those of a detector; detect.model={settings.model!r} "
            "has none"
        )
    words = {query.key: query.text for query in queries}  # example sounds have none
    words |= {text: text for text in texts}
    if encoder is None:
        calibration = None
    methods, descriptions, unknown = {}, {}, frozenset(unknown)
    for key, text in words.items():
        if detector is not None and (text or chosen.get(key)):
            found = match_classes(text, detector.labels, chosen.get(key, ()))
            if isinstance(found, Classes):
                methods[key] = ListeningMethod(classes=found.labels)
                descriptions[key] = f"classes {', '.join(found.labels)}"
                continue
        if key in unknown:
            descriptions[key] = "nothing"
        elif calibration is not None:
            methods[key] = ListeningMethod(calibration=calibration)
            descriptions[key] = "similarity"
        else:
            descriptions[key] = "its own stem"
    encoder = encoder if calibration else None
    return ListenPlan(settings, methods, detector, encoder, unknown, descriptions)
