"""What is asked of an asset, and the name of each request: a hash of all that its stem depends on.
Pure."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from separator.audio.renditions import RENDITION, STEM
from separator.config import JobConfig, OutputSettings, RenditionSettings
from separator.errors import QueryError
from separator.media.choose import check_tracks
from separator.queries import Query, parse_queries
from separator.results.record import hash_request

# Of `model` and `output`, what changes a stem. Devices do not: results agree to rounding.
MODEL_KEYS = ("channels", "context", "precision")
OUTPUT_KEYS = ("format", "bit_depth", "bitrate_bps", "clip", "dither", "residual")
REMUX_KEYS = ("remux", "remux_codec", "remux_bitrate_bps")


@dataclass(frozen=True)
class Asked:
    """What is asked of every asset, and with what."""

    queries: tuple[Query, ...]
    output: OutputSettings
    remux: dict[str, Any]  # of the output, what changes a film
    tracks: Any
    settings: dict[str, Any]  # with the checkpoint: what a stem depends on beside its asset
    warnings: dict[str, str]  # by text of a query


def make_asked(config: JobConfig, checkpoint_sha256: str, warnings: dict[str, str]) -> Asked:
    model, output = asdict(config.model), asdict(config.output)
    settings = {key: model[key] for key in MODEL_KEYS} | {key: output[key] for key in OUTPUT_KEYS}
    settings["checkpoint"] = checkpoint_sha256
    remux = {key: output[key] for key in REMUX_KEYS}
    return Asked(
        tuple(config.parse_queries()), config.output, remux, config.tracks, settings, warnings
    )


def list_items(queries: Sequence[Query], asked: Asked, about: list[Any]) -> list[dict[str, Any]]:
    """Everything that gets a record: stems, then mixes. `needs`: what it cannot be made without;
    `about`: what of its asset it depends on."""
    pairs = [{"name": query.name, "text": query.text} for query in queries]
    version, *others = about
    # The one residual of all stems is another for other stems, and written with any of them.
    together = pairs if asked.settings["residual"] == "joint" else []
    all_names = [pair["name"] for pair in together]
    items = []
    for pair in pairs:
        depends = [version, pair, *others, asked.settings, *([together] if together else [])]
        items.append(
            {"kind": STEM}
            | pair
            | {"warning": asked.warnings.get(pair["text"], "")}
            | {"needs": all_names}
            | {"request": hash_request(depends)}
        )
    requests = {item["name"]: item["request"] for item in items}
    for rendition in asked.output.renditions:
        names = sorted(rendition.gains_db)
        needs = all_names or names
        recipe = asdict(rendition) | asked.remux
        sources = [requests.get(name) for name in names]
        request = hash_request([version, recipe, sources, *others, asked.settings])
        item = {"kind": RENDITION, "name": rendition.name, "text": describe_mix(rendition)}
        items.append(item | {"warning": "", "needs": needs, "request": request})
    return items


def describe_mix(rendition: RenditionSettings) -> str:
    gains = [f"{name} {db:+g} dB" for name, db in sorted(rendition.gains_db.items())]
    return ", ".join([*gains, f"the rest {rendition.rest_db:+g} dB"])


def read_queries(value: Any) -> list[Query]:
    """Of a list's column: a text, a list of texts or {name, text}, or such a list as JSON."""
    value = _read_json(value)
    if value is None or value == "" or value == []:
        return []
    return parse_queries([value] if isinstance(value, str | dict) else value)


def read_tracks(value: Any, default: Any) -> Any:
    """Of a list's column: what `tracks` may be in a config, as it is or as JSON; or one index."""
    value = _read_json(value)
    if value is None or value == "":
        return default
    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        value = [int(value)]
    check_tracks(value)
    return value


def _read_json(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith(("[", "{")):
        return value
    try:
        return json.loads(text)
    except ValueError as error:
        raise QueryError(f"{text[:80]!r} is no JSON: {error}") from None
