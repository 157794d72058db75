"""Read a YAML file with `dotted.key=value` overrides into a dataclass.

Everything that is wrong with either becomes one `RequestError` of one line that names the place
and the way out. The meaning of the keys belongs to the dataclass.
"""

import difflib
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from separator.errors import RequestError
from separator.storage.uri import hide_secret, show_uri

Settings = TypeVar("Settings")

# The likely mistake, by the character at which YAML gives up.
HINTS = {
    "\t": "a tab; indent with spaces",
    "*": 'a * begins a name of YAML\'s own: put quotes around it, such as "*.mp4"',
    "@": "put quotes around a value that begins with @",
    "%": "put quotes around a value that begins with %",
    "`": "put quotes around a value that begins with `",
    "[": "this [ is never closed by ]",
    "{": "this { is never closed by }",
    "'": "this ' is never closed",
    '"': 'this " is never closed',
}
INDENTED = "put quotes around a value that holds ': '; or the line is indented too far"
NO_VALUE = "has no value; write one, or leave the key out"
NULLS = ("", "null", "~")
SWITCHES = {"true": "on", "yes": "on", "on": "on", "false": "off", "no": "off", "off": "off"}


def read_settings(kind: type[Settings], path: Path, overrides: list[str]) -> Settings:
    """Read the file, then the overrides, into the dataclass `kind`."""
    return build(merge_settings(kind, path, overrides), path)


def read_overrides(kind: type[Settings], overrides: list[str]) -> Settings:
    """Build the dataclass `kind` from key=value alone, without a file."""
    trees = [shape_section(kind, _read_override(kind, each), "", "") for each in overrides]
    with _one_line("arguments"):
        tree = OmegaConf.merge(OmegaConf.structured(kind), *trees)
    return build(tree, "arguments")


def merge_settings(kind: type, path: Path, overrides: list[str]) -> Any:
    """Merge file and overrides into a tree of known keys; values are not checked yet."""
    trees = [shape_section(kind, read_yaml(path), f"{path}: ", "")]
    trees += [shape_section(kind, _read_override(kind, each), "", "") for each in overrides]
    with _one_line(path):
        tree = OmegaConf.merge(OmegaConf.structured(kind), trees[0])
    for override, each in zip(overrides, trees[1:], strict=True):
        with _one_line(f"argument {override!r:.80}"):
            tree = OmegaConf.merge(tree, each)
    return tree


def build(tree: Any, path: Path | str) -> Any:
    """Build the dataclass of a merged tree; `path` is for messages."""
    with _one_line(path):
        if missing := sorted(OmegaConf.missing_keys(tree)):
            raise RequestError(f"{path}: {missing[0]} is not set; add {missing[0]}=...")
        _refuse_secrets(OmegaConf.to_container(tree, resolve=True), "")
        return OmegaConf.to_object(tree)


def _refuse_secrets(value: Any, key: str) -> None:
    """Refuse a URI with a password or a signature: values are shown in errors, and runs keep
    them."""
    if isinstance(value, str) and (hidden := hide_secret(value)):
        raise RequestError(
            f"{key}: {show_uri(hidden)}: holds a password or is a signed link; name objects as "
            "s3://bucket/key, and give credentials by the environment or storage.profile"
        )
    if isinstance(value, dict):
        for name, each in value.items():
            _refuse_secrets(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _refuse_secrets(each, f"{key}[{number}]")


@contextmanager
def _one_line(where: Path | str) -> Iterator[None]:
    try:
        yield
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        key = key if key.isprintable() else ascii(key)[1:-1]
        reason = str(error).splitlines()[0]
        if reason.startswith("Incompatible value 'None'"):
            reason = NO_VALUE
        raise RequestError(f"{where}: {key}{reason}") from None
    except (RequestError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise RequestError(f"{where}: is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:  # a list where a mapping belongs, say
        raise RequestError(f"{where}: {error}") from None


def read_yaml(path: Path) -> Any:
    """Read a file as a mapping, whatever its keys mean."""
    try:
        with _one_line(path):
            tree = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as error:
        raise RequestError(
            f"{path}: {error.strerror or error}; a config is a file such as configs/local.yaml"
        ) from None
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise RequestError(
            _explain_yaml(error, path.read_text(encoding="utf-8"), f"{path}, ")
        ) from None
    if not isinstance(tree, dict):
        raise RequestError(f"{path}: holds a {type(tree).__name__}; lines of `key: value` are read")
    return tree


def _read_override(kind: type, override: str) -> Any:
    """Read key=value. A text without quotes is taken as it stands, because YAML would end a path at
    ` #` and make 8 of 0010; all other values are read as YAML."""
    key, found, value = override.partition("=")
    if not found:
        raise RequestError(
            f"argument {override!r}: has no '='; did you mean key=value, such as output.uri=stems?"
        )
    hint, value = _find_hint(kind, key), value.strip()
    if is_dataclass(hint) and value in NULLS:
        raise RequestError(f"{key}: {NO_VALUE}")
    if _is_plain_text(hint, value):
        tree: Any = value
        for name in reversed(key.split(".")):
            tree = {name: tree}
        return tree
    try:
        with _one_line(f"argument {override!r:.80}"):
            return OmegaConf.to_container(OmegaConf.from_dotlist([override]))
    except yaml.YAMLError as error:
        raise RequestError(f"{key}: {_explain_yaml(error, value, '')}") from None


def _find_hint(kind: type, key: str) -> Any:
    """Find the type of a dotted key; None if the key is unknown."""
    hint: Any = kind
    for name in key.split("."):
        hint = get_type_hints(hint).get(name) if is_dataclass(hint) else None
    return hint


def _is_plain_text(hint: Any, value: str) -> bool:
    if value in NULLS or value.startswith(('"', "'")):
        return False
    if is_dataclass(hint):
        return "uri" in get_type_hints(hint) and not value.startswith("{")
    return hint is str or (get_origin(hint) is UnionType and str in get_args(hint))


def _explain_yaml(error: yaml.YAMLError, text: str, where: str) -> str:
    """Write one line: `where`, line and column, what is wrong there and what to do."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{where}not YAML: {' '.join(str(error).split())}"
    problem, mark = str(error.problem), error.problem_mark
    # If something is never closed, point to its beginning and not to the end of the file.
    is_open = "did not find expected ',' or" in problem or "unexpected end" in problem
    if error.context_mark is not None and (is_open or "alias" in str(error.context)):
        mark = error.context_mark
    if mark is None:
        return f"{where}not YAML: {problem}"
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    hint = HINTS.get(line[mark.column : mark.column + 1], problem)
    if problem.startswith("mapping values"):
        hint = INDENTED
    if problem.startswith("found duplicate key"):
        hint = problem.removeprefix("found ")
    return f"{where}line {mark.line + 1}, column {mark.column + 1}: {hint}"


def shape_section(kind: type, tree: Mapping[Any, Any], where: str, prefix: str) -> dict[str, Any]:
    """Shape the values of a section as its dataclass wants them, and refuse unknown keys. A text
    stands for a list of one (`queries: siren`) or for a section's `uri` (`input: /media`)."""
    hints, shaped = get_type_hints(kind), {}
    for key, value in tree.items():
        if key not in hints:
            raise RequestError(f"{where}{prefix}{key}: no such key; {_suggest(kind, str(key))}")
        shaped[key] = _shape_value(hints[key], value, where, f"{prefix}{key}")
    return shaped


def _shape_value(hint: Any, value: Any, where: str, key: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        if value is None:  # a section with nothing but comments
            return {}
        names = list(get_type_hints(hint))
        if isinstance(value, str) and "uri" in names:
            return {"uri": value}
        if not isinstance(value, Mapping):
            raise RequestError(f"{where}{key}={value!r}: a section; its keys: {', '.join(names)}")
        return shape_section(hint, value, where, f"{key}.")
    if value is None and get_origin(hint) in (list, dict):
        raise RequestError(f"{where}{key}: {NO_VALUE}")
    if get_origin(hint) is dict and not is_interpolation(value):
        _check_mapping(value, get_args(hint)[1], f"{where}{key}", key)
    if get_origin(hint) is list:
        if isinstance(value, str) and not is_interpolation(value):
            return [value]
        if isinstance(value, Mapping):
            raise RequestError(
                f"{where}{key}: must be a list: begin each of its lines with '- ', or write "
                f"{key}=[a, b]"
            )
        item = get_args(hint)[0]
        if is_dataclass(item) and isinstance(value, list):
            return [_shape_value(item, v, where, f"{key}[{i}]") for i, v in enumerate(value)]
    return value


def is_interpolation(value: Any) -> bool:
    """Tell whether a value refers to the value of another key."""
    return isinstance(value, str) and value.startswith("${")


def _check_mapping(value: Any, item: Any, where: str, key: str) -> None:
    """Refuse a value that is no mapping, or that nests values although `item` is a single one."""
    way_out = f"write {key}={{name: value}}, also for names with a dot"
    if not isinstance(value, Mapping):
        raise RequestError(f"{where}={value!r:.80}: must be names with their values; {way_out}")
    nested = [name for name, each in value.items() if isinstance(each, Mapping | list)]
    if nested and item in (str, int, float):
        raise RequestError(f"{where}: {nested[0]!r} has no single value; {way_out}")


def _suggest(kind: type, key: str) -> str:
    names = list(get_type_hints(kind))
    if near := difflib.get_close_matches(key, names, 1):
        return f"did you mean {near[0]}?"
    for section, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and key in get_type_hints(hint):
            return f"did you mean {section}.{key}?"
    return f"there are: {', '.join(names)}"


@contextmanager
def named(prefix: str) -> Iterator[None]:
    """Begin the message of a RequestError with the key that it is about."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"{prefix}{error}") from None


def check_choice(key: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise RequestError(f"{key}={value!r}: must be one of {', '.join(allowed)}")


def read_switches(settings: Any, *names: str) -> None:
    """Turn `on` and `off`, which YAML reads as true and false, back into these words."""
    for name in names:
        value = str(getattr(settings, name))
        object.__setattr__(settings, name, SWITCHES.get(value.lower(), value))


def check_whole(key: str, value: Any, least: int, most: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and least <= value <= most):
        raise RequestError(f"{key}={value!r}: must be a whole number from {least} to {most}")


def check_number(key: str, value: Any, least: float, most: float) -> None:
    """Refuse a value that is not a number within the range; NaN never is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and least <= value <= most):
        if most >= sys.maxsize:
            kind = "" if is_number else "a number, "
            raise RequestError(f"{key}={value!r}: must be {kind}{least:g} or more")
        raise RequestError(f"{key}={value!r}: must be a number from {least:g} to {most:g}")
