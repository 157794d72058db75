"""Turn the queries of a protocol's cases into tasks for one model.

The driver encodes texts here, once, exactly as the list has them. The actor that separates encodes
sounds, images and videos.

Shapes: Q texts, D condition.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separator.api import Separator
from separator.encoders.clip import is_clip
from separator.encoders.lookup import encode_texts
from separator.evaluation.over_units import Unit, hash_name
from separator.evaluation.protocol import Protocol, QuerySource
from separator.evaluation.protocol_cases import ProtocolCase
from separator.model.entry_points import PACKAGE_PREFIX
from separator.model.zero_shot_files import is_detector_id

CASES_IN_UNIT = 8
ROWS = "protocol 2"  # version of the rows' columns; stored rows of another version are not used
# Kinds of queries in a sentence.
NAMED = {"text": "texts", "audio": "example sounds", "generated": "example sounds",
         "image": "images", "video": "videos"}  # fmt: skip
LENGTH_1 = 1e-3  # how near to 1 the length of a condition must be


@dataclass(frozen=True)
class QueryTask:
    """One case with one query: a condition (D,), or `files` of a kind."""

    case: ProtocolCase
    query: str  # its name in the protocol
    kind: str
    shown_query: str  # the query as the table of rows shows it
    condition: np.ndarray | None = None
    files: tuple[str, ...] = ()
    is_drawn: bool = False

    def describe(self) -> list[Any]:
        """Return the values that its figures depend on, apart from the model."""
        condition = b"" if self.condition is None else self.condition.tobytes()
        files = [[e.uri, e.num_bytes, e.etag] for e in self.case.example_files.get(self.query, ())]
        digest = hashlib.sha256(condition).hexdigest()
        return [*self.case.describe(), self.query, self.kind, digest, files, self.is_drawn]


def takes(model: Separator, kind: str) -> bool:
    """Tell whether a model takes queries of a kind at all."""
    encoder_id = model.encoder_id
    if kind in ("image", "video"):
        return is_clip(encoder_id)
    if kind == "text":
        return encoder_id is not None and not is_detector_id(encoder_id)
    return not is_clip(encoder_id) and not (encoder_id or "").startswith(PACKAGE_PREFIX)


def make_tasks(
    model: Separator, source: QuerySource, name: str, cases: Sequence[ProtocolCase], num_drawn: int
) -> list[QueryTask]:
    """Make the tasks of all cases for one query; spread the `num_drawn` pictures evenly."""
    drawn = {len(cases) * i // num_drawn for i in range(num_drawn)} if num_drawn else set()
    conditions: dict[str, np.ndarray] = {}
    if source.kind == "text":
        conditions = encode_query_texts(model, source, [find_text(source, case) for case in cases])
    tasks = []
    for place, case in enumerate(cases):
        files = tuple(entry.uri for entry in case.example_files.get(name, ()))
        text = find_text(source, case) if source.kind == "text" else ""
        shown_query = text or ";".join(files) or case.kind
        tasks.append(
            QueryTask(
                case, name, source.kind, shown_query, conditions.get(text), files, place in drawn
            )
        )
    return tasks


def find_text(source: QuerySource, case: ProtocolCase) -> str:
    return source.text or case.columns[source.column]


def encode_query_texts(
    model: Separator, source: QuerySource, texts: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return conditions (D,) by text. The condition of several prompts is their mean, scaled to
    length 1 if the encoder's conditions have that length."""
    distinct = list(dict.fromkeys(texts))
    prompts = source.prompts or ["{}"]
    filled = [prompt.replace("{}", text) for text in distinct for prompt in prompts]
    each = list(dict.fromkeys(filled))
    rows_QD, _ = encode_texts(each, model.encoder_id, model.load_encoder)
    by_text = dict(zip(each, rows_QD, strict=True))
    found = {}
    for i, text in enumerate(distinct):
        own_QD = np.stack([by_text[t] for t in filled[i * len(prompts) : (i + 1) * len(prompts)]])
        found[text] = own_QD[0] if len(own_QD) == 1 else take_mean(own_QD)
    return found


def take_mean(rows_QD: np.ndarray) -> np.ndarray:
    mean_D = rows_QD.mean(0)
    if np.allclose(np.linalg.norm(rows_QD, axis=1), 1, atol=LENGTH_1):
        mean_D = mean_D / np.linalg.norm(mean_D)
    return mean_D.astype(np.float32)


def make_units(
    tasks: Sequence[QueryTask], protocol: Protocol, more: Sequence[str], identity: Sequence[Any]
) -> list[Unit]:
    """Put some tasks into each unit; its name is a hash of all that its rows depend on."""
    rule = [protocol.mixing, protocol.rate_hz, protocol.separate_hz, protocol.score_hz,
            protocol.num_samples, protocol.kind, vars(protocol.generated), list(more)]  # fmt: skip
    units = []
    for start in range(0, len(tasks), CASES_IN_UNIT):
        part = list(tasks[start : start + CASES_IN_UNIT])
        described = [task.describe() for task in part]
        units.append(Unit(hash_name(ROWS, rule, described, list(identity)), part))
    return units
