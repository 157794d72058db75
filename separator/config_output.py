"""Define the settings of what is written: stems, residuals, renditions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from separator.audio.renditions import JOINT, REMUXES, RESIDUALS, Edits, Rendition
from separator.config_file import check_choice, check_number, named, read_switches
from separator.errors import QueryError, RequestError
from separator.media.encode_settings import EncodeSettings
from separator.queries import Query, check_name
from separator.results.paths import name_stems
from separator.storage import leads_into, parse_uri
from separator.storage.uri import UNPRINTABLE

SIMILARITY = ("auto", "off")
PRESENCE = "presence"  # value of `within_s`: wherever one of the rendition's queries is heard
HIGHEST_GAIN_DB = 40.0
BITRATES_BPS = (1_000, 10_000_000)


@dataclass(frozen=True)
class RenditionSettings:
    name: Any = MISSING  # a text; not typed as one, because YAML reads `no` and `off` as false
    gains_db: dict[str, float] = field(default_factory=dict)
    rest_db: float = 0.0
    within_s: Any = field(default_factory=list)
    fade_s: float = 0.02
    loudness_lufs: float | None = None
    true_peak_dbtp: float = -1.0

    def parse(self) -> Rendition:
        if not self.gains_db:
            raise RequestError(f"{self.name!r}: gains_db names no query; 0 dB leaves one as it is")
        check_number("fade_s", self.fade_s, 0, 3600)
        check_number("true_peak_dbtp", self.true_peak_dbtp, -100, 100)
        if self.loudness_lufs is not None:
            check_number("loudness_lufs", self.loudness_lufs, -70, 20)
        return Rendition(
            check_name(self.name),
            {name: to_factor(db, f"gains_db.{name}") for name, db in self.gains_db.items()},
            to_factor(self.rest_db, "rest_db"),
            () if self.is_where_heard else tuple(map(_parse_pair, self._list_pairs())),
            self.is_where_heard,
            self.fade_s,
            self.loudness_lufs,
            self.true_peak_dbtp,
        )

    @property
    def is_where_heard(self) -> bool:
        return self.within_s == PRESENCE

    def _list_pairs(self) -> list[Any]:
        if not isinstance(self.within_s, list):
            raise RequestError(f"within_s={self.within_s!r}: pairs of seconds, or {PRESENCE}")
        return list(self.within_s)


def to_factor(gain_db: float, key: str) -> float:
    if not gain_db <= HIGHEST_GAIN_DB:  # NaN too
        raise RequestError(f"{key}={gain_db}: at most {HIGHEST_GAIN_DB:g} dB; -inf is silence")
    return 10 ** (gain_db / 20)


def _parse_pair(pair: Any) -> tuple[float, float]:
    try:
        start_s, stop_s = map(float, pair)
    except (TypeError, ValueError):
        raise RequestError(f"within_s={pair!r}: pairs of seconds, [[10, 12.5], ...]") from None
    if not 0 <= start_s < stop_s:
        raise RequestError(f"within_s={pair!r}: a pair is [start, stop], stop after start")
    return start_s, stop_s


@dataclass(frozen=True)
class OutputSettings:
    uri: str = MISSING
    format: str = "flac"
    bit_depth: int = 24
    bitrate_bps: int | None = None
    clip: str = "clip"
    dither: str = "none"
    residual: str = "none"
    similarity: str = "auto"
    renditions: list[RenditionSettings] = field(default_factory=list)
    remux: str = "none"
    remux_codec: str | None = None
    remux_bitrate_bps: int | None = None
    report: bool = False

    def __post_init__(self) -> None:
        with named("output.uri: "):
            check_clean_name(self.uri)
        with named("output."):
            integer_bits = self.encode.integer_bits
        read_switches(self, "similarity")
        check_choice("output.residual", self.residual, RESIDUALS)
        check_choice("output.similarity", self.similarity, SIMILARITY)
        check_choice("output.remux", self.remux, REMUXES)
        for number, rendition in enumerate(self.renditions):
            with named(f"output.renditions[{number}]: "):
                rendition.parse()
        for name in ("bitrate_bps", "remux_bitrate_bps"):
            if (bitrate_bps := getattr(self, name)) is not None:
                check_number(f"output.{name}", bitrate_bps, *BITRATES_BPS)
        if self.remux != "none" and not self.renditions:
            raise RequestError(f"output.remux={self.remux!r}: needs output.renditions to put in")
        if self.residual != "none":
            self._check_residual(integer_bits)

    def _check_residual(self, integer_bits: int | None) -> None:
        why = f"output.residual={self.residual!r}: stem + residual = track holds for integers"
        if integer_bits is None:
            raise RequestError(f"{why}; use output.format flac, or wav with 16 or 24 bits")
        if self.clip == "scale" or self.dither != "none":
            raise RequestError(f"{why}, as they come; use output.clip=clip, output.dither=none")

    @property
    def encode(self) -> EncodeSettings:
        return EncodeSettings(self.format, self.bit_depth, self.clip, self.dither, self.bitrate_bps)

    @property
    def edits(self) -> Edits:
        renditions = tuple(rendition.parse() for rendition in self.renditions)
        return Edits(self.residual, self.encode.integer_bits, renditions)


def check_places(input_uri: str, output_uri: str) -> None:
    """Refuse an output in the input, and an input in the stems of the output."""
    if leads_into(output_uri, input_uri):
        raise RequestError(
            f"output.uri={output_uri!r}: lies inside input.uri={input_uri!r}, so "
            "that stems would be taken for assets; choose another place"
        )
    if leads_into(input_uri, name_stems(output_uri)):
        raise RequestError(
            f"input.uri={input_uri!r}: lies in the stems of output.uri={output_uri!r}, "
            "which would grow while they are read; choose another output"
        )


def check_clean_name(uri: str) -> None:
    """Refuse a folder whose name is no clean text: names below it would be percent-decoded, and
    could lead out of it."""
    place = parse_uri(uri)
    if UNPRINTABLE.search(place.key):
        raise RequestError(
            f"{place.shown}: holds a control character or is not UTF-8; give it another name"
        )


def check_renditions(output: OutputSettings, queries: Sequence[Query]) -> None:
    """Refuse a rendition that names no query, or that is called like a query or another one."""
    names = {query.name for query in queries}
    taken = {name.casefold() for name in names}
    for rendition in output.renditions:
        if absent := [name for name in rendition.gains_db if name not in names]:
            raise RequestError(
                f"{rendition.name!r} needs the query {absent[0]!r}; there are: "
                f"{', '.join(sorted(names))}"
            )
        if rendition.name.casefold() in taken:
            raise RequestError(f"{rendition.name!r}: a query or a rendition has that name already")
        taken.add(rendition.name.casefold())


def check_residuals(output: OutputSettings, queries: Sequence[Query]) -> None:
    """Refuse a query whose residual would have the file name of the joint residual: if
    `output.residual` is changed later, one file would replace the other."""
    taken = [query.name for query in queries if query.name.casefold() == JOINT]
    if taken and output.residual != "none":
        raise QueryError(
            f"query {taken[0]!r}: residual/{JOINT}.* is the file of output.residual=joint; give the"
            " query another name: {name: everything, text: ...}"
        )
