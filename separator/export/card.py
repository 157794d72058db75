"""Make the card of a data set: its content, its source, and code that loads it. Pure."""

from collections.abc import Mapping, Sequence

from separator.export.columns import EXPORTED, STRETCH, find_listed
from separator.export.settings import LHOTSE, PARQUET, WEBDATASET, ExportConfig
from separator.export.shard_contents import (
    COUNTED,
    NETWORK,
    SUFFIX,
    Contents,
    Total,
    sum_splits,
    sum_up,
)

MAX_ROWS = 50  # of a table of the card
CARD = """\
---
{head}---

# Separated sounds

A network separated each sound from a longer mixture, by a query. It is an estimate, not a recording
of that sound alone: filter by the columns below before you rely on it.

{splits}
{missing}
- Selected: `{where}`
- Split by `{by}`, seed {seed}: rows with equal values are in one split
- Network: {networks}
- Sounds: {sounds}
- Load it with {reader}
- `croissant.json` says the same for programs, with the sha256 of every file

## Queries

{queries}

## Licences

{licences}

## Columns

{columns}
"""
DATASETS = '`datasets.load_dataset("path of this folder")` or with '
READERS = {
    WEBDATASET: DATASETS + '`webdataset.WebDataset(sorted(glob("data/train-*.tar")))`',
    PARQUET: DATASETS + "any reader of Parquet",
    LHOTSE: '`lhotse.CutSet.from_shar(in_dir="data/train")`',
}
ENDINGS = {WEBDATASET: "tar", PARQUET: "parquet"}  # of the files that `datasets` reads


def make_card(config: ExportConfig, contents: Sequence[Contents]) -> str:
    form = config.output.format
    totals = sum_splits(contents)
    counts = {column: sum_up(contents, column) for column in (*COUNTED, NETWORK, SUFFIX)}
    num_missing = sum(len(each.missing) for each in contents)
    return CARD.format(
        head=make_head(config, list(totals), counts[SUFFIX]),
        splits=make_splits(totals),
        missing=f"\n{num_missing:,} stems are missing: index/ lists them\n" * bool(num_missing),
        where=" ".join(config.input.where.split()),
        by=" ".join(config.split.by.split()),
        seed=config.split.seed,
        networks="; ".join(sorted(counts[NETWORK])),
        sounds=name_sounds(config, counts[SUFFIX]),
        reader=READERS[form],
        queries=make_counts(counts["query_text"]),
        licences=make_counts(counts["licence"], "not given"),
        columns=make_table(
            ["column", "meaning"], [[name, about] for name, (_, about) in EXPORTED.items()]
        ),
    )


def make_head(config: ExportConfig, splits: Sequence[str], suffixes: Mapping[str, int]) -> str:
    """Make the lines by which Hugging Face finds the data; it cannot read Lhotse's format."""
    if config.output.format == LHOTSE:
        return "viewer: false\n"
    ending = ENDINGS[config.output.format]
    files = [f"  - split: {name}\n    path: data/{name}-*.{ending}\n" for name in splits]
    head = "configs:\n- config_name: default\n  data_files:\n" + "".join(files)
    return head + make_features(config, suffixes)


def name_sounds(config: ExportConfig, suffixes: Mapping[str, int]) -> str:
    """Name the columns that hold the sounds, as readers of the format see them."""
    if config.output.format == LHOTSE:
        if config.output.residual:
            return "`target_audio`, and the mixture that holds it: `recording`"
        return "`recording`"
    stems, residuals = ["audio"], ["residual"]
    if config.output.format == WEBDATASET:  # which names a column by the file's ending
        stems = [suffix.removeprefix(".") for suffix in sorted(suffixes)]
        residuals = [f"residual.{ending}" for ending in stems]
    text = " or ".join(f"`{name}`" for name in stems)
    if config.output.residual:
        text += ", and the track without it: " + " or ".join(f"`{name}`" for name in residuals)
    return text


def make_splits(totals: Mapping[str, Total]) -> str:
    rows = [
        (name, f"{t.num_stems:,}", f"{t.seconds / 3600:,.2f}", f"{t.num_shards:,}", show_mb(t))
        for name, t in totals.items()
    ]
    return make_table(["split", "stems", "hours", "shards", "MB"], rows)


def show_mb(total: Total) -> str:
    return f"{total.num_bytes / 1e6:,.1f}"


def make_features(config: ExportConfig, suffixes: Mapping[str, int]) -> str:
    """Declare the types in WebDataset's tars; Hugging Face would guess them from the first rows.

    Empty for Parquet, which declares types itself, and for stems of several file types.
    """
    if config.output.format != WEBDATASET or len(suffixes) != 1:
        return ""
    (ending,) = (suffix.removeprefix(".") for suffix in suffixes)
    sounds = [ending, *([f"residual.{ending}"] if config.output.residual else [])]
    lines = [f"  - name: {name}\n    dtype: audio" for name in sounds]
    lines.append("  - name: json\n    struct:")
    for name, (kind, _) in EXPORTED.items():
        if name == "presence":
            fields = [f"      - name: {key}\n        dtype: {dtype}" for key, dtype in STRETCH]
            lines += [f"    - name: {name}\n      list:", *fields]
            continue
        if value := find_listed(kind):
            lines.append(f"    - name: {name}\n      list: {value}")
            continue
        dtype = "string" if kind.startswith("timestamp") else kind
        lines.append(f"    - name: {name}\n      dtype: {dtype}")
    lines += [f"  - name: {name}\n    dtype: string" for name in ("__key__", "__url__")]
    return "dataset_info:\n  features:\n" + "\n".join(lines) + "\n"


def make_counts(counts: Mapping[str, int], nothing: str = "") -> str:
    """Make a table of counts, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [[name or nothing, f"{number:,}"] for name, number in ranked[:MAX_ROWS]]
    more = f"\n\nand {len(ranked) - MAX_ROWS:,} more" if len(ranked) > MAX_ROWS else ""
    return make_table(["", "stems"], rows) + more


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(show, line)) + " |" for line in lines)


def show(text: str) -> str:
    """Fit a text into a cell of a table: one line, `|` escaped."""
    return " ".join(text.split()).replace("|", "\\|")
