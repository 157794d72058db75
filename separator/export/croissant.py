"""Describe a data set in Croissant 1.1: its files with their hashes, its records and columns. Pure.

This module writes the JSON-LD itself: the package `mlcroissant` would add a dozen dependencies for
one file, and serves only as the referee in tests. The same shards give the same bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from separator.export.columns import EXPORTED, STRETCH, find_listed
from separator.export.settings import LHOTSE, PARQUET, WEBDATASET, ExportConfig
from separator.export.shar_shards import RECORDING, TARGET
from separator.export.shard_contents import NETWORK, SUFFIX, Contents, ShardFile, sum_up

Json = dict[str, Any]
VERSION = "1.0.0"
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
} | {
    name: f"cr:{name}"
    for name in (
        "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field",
        "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
        "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
        "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
    )
}  # fmt: skip
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
TYPES = {
    "string": "sc:Text", "int32": "cr:Int32", "int64": "cr:Int64", "float32": "cr:Float32",
    "float64": "cr:Float64", "timestamp[us, tz=UTC]": "sc:DateTime",
}  # fmt: skip
FORMATS = {
    ".tar": "application/x-tar",
    ".parquet": "application/x-parquet",
    ".gz": "application/jsonlines",
}
SOUNDS = {".flac": "audio/flac", ".wav": "audio/wav", ".ogg": "audio/ogg", ".mp3": "audio/mpeg",
          ".m4a": "audio/mp4"}  # fmt: skip
ABOUT = (
    "Sounds that a network separated from longer mixtures, each by a query. They are estimates,"
    " not recordings of the sounds alone."
)
CITE = (
    "Cite the sources of the mixtures. Method: Liu et al., Separate Anything You Describe, 2023,"
    " https://arxiv.org/abs/2308.05037; Chen et al., Zero-shot Audio Source Separation through"
    " Query-based Learning from Weakly-labeled Data, AAAI 2022, https://arxiv.org/abs/2112.07891"
)


@dataclass(frozen=True)
class FileSet:
    """Name files of one kind: the shards themselves, or files inside archives."""

    name: str  # of the kind
    includes: Sequence[str]
    formats: Sequence[str]
    within: str | None = None  # how the names of the archives begin; None: the files are shards


def pack_croissant(config: ExportConfig, contents: Sequence[Contents]) -> bytes:
    about = make_croissant(config, contents)
    return (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()


def make_croissant(config: ExportConfig, contents: Sequence[Contents]) -> Json:
    full = [each for each in contents if each.num_stems]
    splits = sorted({each.split for each in full})
    days = sorted(day for each in full for day in each.days)
    suffixes = sorted(sum_up(full, SUFFIX))
    licences = sorted(licence for licence in sum_up(full, "licence") if licence)
    distribution: list[Json] = [make_file(file) for each in full for file in each.files]
    record_sets = []
    for split in splits:
        names = [file.name for each in full if each.split == split for file in each.files]
        parts = list_parts(config, split, suffixes)
        distribution += [make_file_set(split, part, names) for part in parts]
        record_sets += make_record_sets(config, split, parts)
    hub = config.output.hub
    about: Json = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": "separated_sounds",
        "description": ABOUT,
        "version": VERSION,
        "license": licences,
        "url": f"https://huggingface.co/datasets/{hub}" if hub else None,
        "citeAs": CITE,
        "datePublished": days[-1] if days else None,  # the day of its newest stem
        "isLiveDataset": False,
        "rai:dataCollection": ABOUT,
        "rai:dataCollectionTimeFrame": [days[0], days[-1]] if days else [],
        "rai:machineAnnotationTools": sorted(sum_up(full, NETWORK)),
        "rai:dataLimitations": "Stems hold remains of other sounds, and lack parts of their own.",
        "distribution": distribution,
        "recordSet": record_sets,
    }
    return {key: value for key, value in about.items() if value not in (None, [])}


def make_file(file: ShardFile) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.num_bytes} B",
        "encodingFormat": FORMATS["." + file.name.rpartition(".")[2]],
        "sha256": file.sha256,
    }


def list_parts(config: ExportConfig, split: str, suffixes: Sequence[str]) -> list[FileSet]:
    """List the parts of a split: first the files with its columns, then those with its sounds."""
    formats = [SOUNDS[suffix] for suffix in suffixes]
    if config.output.format == PARQUET:
        return [FileSet("rows", [f"data/{split}-*.parquet"], [FORMATS[".parquet"]])]
    if config.output.format == LHOTSE:
        names = [RECORDING, TARGET][: 1 + config.output.residual]
        any_sound = [f"*{suffix}" for suffix in suffixes]
        cuts = FileSet("rows", [f"data/{split}/cuts.*.jsonl.gz"], [FORMATS[".gz"]])
        return [cuts, *(FileSet(name, any_sound, formats, f"{name}.") for name in names)]
    # A key ends in a hexadecimal digit, so this pattern does not match `KEY.residual.flac`.
    stems = FileSet("audio", [f"*[0-9a-f]{suffix}" for suffix in suffixes], formats, "")
    residuals = FileSet("residual", [f"*.residual{suffix}" for suffix in suffixes], formats, "")
    rows = FileSet("json", ["*.json"], ["application/json"], "")
    return [rows, stems, residuals][: 2 + config.output.residual]


def make_file_set(split: str, part: FileSet, names: Sequence[str]) -> Json:
    about = {
        "@type": "cr:FileSet",
        "@id": f"{split}-{part.name}-files",
        "name": f"{split}-{part.name}-files",
        "encodingFormat": list(part.formats),
        "includes": list(part.includes),
    }
    if part.within is None:  # the files are in no archive
        return about
    chosen = [name for name in names if name.rpartition("/")[2].startswith(part.within)]
    return about | {"containedIn": [{"@id": name} for name in chosen]}


def make_record_sets(config: ExportConfig, split: str, parts: Sequence[FileSet]) -> Iterator[Json]:
    """Make the records of a split: its rows, and the files inside its archives.

    `mlcroissant` 1.1 reads no columns from JSON inside archives, so the records of these files give
    the whole text of each.
    """
    files = f"{split}-{parts[0].name}-files"
    fields = [
        make_field(config.output.format, split, files, name, kind, about)
        for name, (kind, about) in EXPORTED.items()
    ]
    if config.output.format == PARQUET:
        names = ["audio", "residual"][: 1 + config.output.residual]
        fields += [make_parquet_sound(split, files, name) for name in names]
    yield {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "key": {"@id": f"{split}/fingerprint"},
        "field": fields,
    }
    for part in parts:
        if part.within is not None:
            yield make_files(split, part)


def make_field(form: str, split: str, files: str, name: str, kind: str, about: str) -> Json:
    field: Json = {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": f"{split}/{name}",
        "description": about,
    }
    source = make_source(form, files, name)
    array = {"isArray": True, "arrayShape": "-1"}
    if name != "presence":
        value = find_listed(kind)
        field |= {"dataType": TYPES[value or kind], "source": source}
        return field | (array if value else {})
    return (
        field
        | array
        | {
            "subField": [
                {
                    "@type": "cr:Field",
                    "@id": f"{split}/{name}/{part}",
                    "name": f"{split}/{name}/{part}",
                    "dataType": TYPES[dtype],
                    "source": make_source(form, files, name, part),
                }
                for part, dtype in STRETCH
            ],
        }
    )


def make_source(form: str, files: str, name: str, *within: str) -> Json:
    """Say where a column is: in a table, in one JSON file for each row, or in cuts of Lhotse."""
    extract: Mapping[str, str] = {"column": name}
    paths = list(within)
    if form == WEBDATASET:
        extract = {"jsonPath": f"$.{name}"}
    elif form == LHOTSE:
        extract, paths = {"column": "custom"}, [name, *within]
    source: Json = {"fileSet": {"@id": files}, "extract": extract}
    return source | ({"transform": [{"jsonPath": path} for path in paths]} if paths else {})


def make_parquet_sound(split: str, files: str, name: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": f"{split}/{name}",
        "description": "the encoded sound",
        "dataType": "sc:AudioObject",
        "source": make_source(PARQUET, files, name, "bytes"),
    }


def make_files(split: str, part: FileSet) -> Json:
    """Make the records of files inside archives: the key and the content of each."""
    name = f"{split}-{part.name}"
    of_files = {"fileSet": {"@id": f"{name}-files"}}
    of_name = {"extract": {"fileProperty": "filename"}, "transform": {"regex": "^([^.]+)"}}
    is_sound = part.name != "json"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/key",
                "name": f"{name}/key",
                "description": f"{split}/fingerprint of its row",
                "dataType": "sc:Text",
                "source": of_files | of_name,
            },
            {
                "@type": "cr:Field",
                "@id": f"{name}/content",
                "name": f"{name}/content",
                "description": "the encoded sound" if is_sound else "the row as JSON",
                "dataType": "sc:AudioObject" if is_sound else "sc:Text",
                "source": of_files | {"extract": {"fileProperty": "content"}},
            },
        ],
    }
