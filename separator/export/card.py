"""The card of a data set: what is in it, where it came from, and how to load it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from separator.export.settings import EXTENSIONS, ExportConfig
from separator.export.shards import COUNTED, EXPORTED, Contents, Total, sum_splits

SHOWN = 50  # rows of a table: the card is for people
CARD = """\
---
configs:
- config_name: default
  data_files:
{files}
{features}---

# Separated sounds

Each sound was taken out of a longer mixture by a network that was asked for it in words. It is what
the network heard, not a recording of that sound alone: look at the columns before trusting it.

{splits}
{missing}
- Chosen: `{where}`
- Split by `{by}`, seed {seed}: what shares it is on one side
- Network: {models} (sha256 {checkpoints})
- Sounds: {sounds}
- `datasets.load_dataset("path of this folder")` reads it, and so does {reader}

## Queries

{queries}

## Licences

{licences}

## Columns

{columns}
"""
READERS = {
    "webdataset": '`webdataset.WebDataset(sorted(glob("data/train-*.tar")))`',
    "parquet": "all that reads Parquet",
}


def make_card(config: ExportConfig, contents: Sequence[Contents]) -> str:
    form = config.output.format
    totals = sum_splits(contents)
    files = [f"  - split: {name}\n    path: data/{name}-*.{EXTENSIONS[form]}" for name in totals]
    counts = {column: sum_up(contents, column) for column in (*COUNTED, "suffix")}
    num_missing = sum(len(each.missing) for each in contents)
    return CARD.format(
        files="\n".join(files),
        splits=make_splits(totals),
        missing=f"\n{num_missing:,} stems were gone from storage: see index/\n" * bool(num_missing),
        where=show(config.input.where),
        by=show(config.split.by),
        seed=config.split.seed,
        models=", ".join(sorted(counts["model_name"])),
        checkpoints=", ".join(sorted(counts["checkpoint_sha256"])),
        sounds="`audio`" + ", and the rest of the track: `residual`" * config.output.residual,
        reader=READERS[form],
        features=make_features(config, counts["suffix"]),
        queries=make_counts(counts["query_text"]),
        licences=make_counts(counts["licence"], "not given"),
        columns=make_table(
            ["column", "meaning"], [[name, about] for name, (_, about) in EXPORTED.items()]
        ),
    )


def make_splits(totals: Mapping[str, Total]) -> str:
    rows = [
        (name, f"{t.num_stems:,}", f"{t.seconds / 3600:,.2f}", f"{t.num_shards:,}", show_mb(t))
        for name, t in totals.items()
    ]
    return make_table(["split", "stems", "hours", "shards", "MB"], rows)


def show_mb(total: Total) -> str:
    return f"{total.num_bytes / 1e6:,.1f}"


def make_features(config: ExportConfig, suffixes: Mapping[str, int]) -> str:
    """Of WebDataset's tars, for Hugging Face: it would guess types from the first rows. Parquet
    says them itself, and of several formats of sound no row has all."""
    if config.output.format != "webdataset" or len(suffixes) != 1:
        return ""
    (ending,) = (suffix.removeprefix(".") for suffix in suffixes)
    sounds = [ending, *([f"residual.{ending}"] if config.output.residual else [])]
    lines = [f"  - name: {name}\n    dtype: audio" for name in sounds]
    lines.append("  - name: json\n    struct:")
    for name, (kind, _) in EXPORTED.items():
        dtype = "string" if kind.startswith("timestamp") else kind
        lines.append(f"    - name: {name}\n      dtype: {dtype}")
    lines += [f"  - name: {name}\n    dtype: string" for name in ("__key__", "__url__")]
    return "dataset_info:\n  features:\n" + "\n".join(lines) + "\n"


def sum_up(contents: Sequence[Contents], column: str) -> Counter[str]:
    total = Counter[str]()
    for each in contents:
        total.update(each.counts.get(column, {}))
    return total


def make_counts(counts: Mapping[str, int], nothing: str = "") -> str:
    """The most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [[name or nothing, f"{number:,}"] for name, number in ranked[:SHOWN]]
    more = f"\n\nand {len(ranked) - SHOWN:,} more" if len(ranked) > SHOWN else ""
    return make_table(["", "stems"], rows) + more


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(show, line)) + " |" for line in lines)


def show(text: str) -> str:
    """In a table's cell: on one line, and no end of the cell."""
    return " ".join(text.split()).replace("|", "\\|")
