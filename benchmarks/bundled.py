"""Run the benchmark that needs no data (configs/eval/bundled.yaml), and update its tables.

    python benchmarks/bundled.py                         # or: make bundled
    python benchmarks/bundled.py model=[mini,mine.safetensors]   # updates no table

Without arguments the script rewrites benchmarks/results/bundled.json, and the tables between the
marks `bundled` in README.md and docs/evaluation.md. It reuses the scores in runs/bundled/parts,
which are stored by the hash of the weights: delete the folder after a change to the generator of
sounds.
"""

import json
import sys
from datetime import date
from pathlib import Path

import pandas as pd

from jobs.evaluate import main as evaluate
from separator.config_file import read_settings
from separator.evaluation.benchmark import pick
from separator.evaluation.protocol import Protocol, ProtocolSettings
from separator.evaluation.protocol_tables import compute_figures
from separator.machine import count_cpus

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs/eval/bundled.yaml"
OUT = ROOT / "runs/bundled"
RESULT = ROOT / "benchmarks/results/bundled.json"
PAGES = (ROOT / "README.md", ROOT / "docs/evaluation.md")
BEGIN, END = "<!-- bundled -->\n", "<!-- /bundled -->\n"
ASKED = {"caption": "caption", "paraphrase": "other words", "sound": "three example sounds"}


def describe_machine() -> str:
    """Name the processor, and count the cores that may be used."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{count_cpus()} virtual cores of {names[0] if names else 'an unknown processor'}"


def summarize(protocol: Protocol, scores: pd.DataFrame) -> list[dict]:
    """Take the table's figures for each model and query."""
    names = [figure.name for figure in protocol.figures]
    rows = [dict(zip(scores.columns, row, strict=True)) for row in scores.itertuples(index=False)]
    found = []
    for model, query in scores[["model", "query"]].drop_duplicates().itertuples(index=False):
        own = pick(rows, model=model, query=query)
        figures = compute_figures(protocol, own)
        rounded = {n: round(value, 3) for n, value in zip(names, figures, strict=True)}
        found.append({"model": model, "query": query, "num_cases": len(own), **rounded})
    return found


def lay_out(result: dict) -> str:
    """Lay the result out as a Markdown table with its date and machine."""
    lines = [
        f"{result['date']}, {result['machine']}, fp32; {result['rows'][0]['num_cases']} mixtures "
        f"of {result['seconds']:g} s:",
        "",
        "| model, query | two sounds, SDRi | three, SDRi | absent sounds, below the mixture |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        figures = [row["two sounds"], row["three"], row["absent"]]
        cells = " | ".join(f"{figure:.1f} dB" for figure in figures)
        lines.append(f"| `{row['model']}`, {ASKED[row['query']]} | {cells} |")
    return "\n".join(lines) + "\n"


def put_in(page: str, table: str) -> str:
    """Put a table between the marks of a page."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:begin]}{table}{page[end:]}"


def main(settings: list[str]) -> int:
    code = evaluate([str(CONFIG), f"output={OUT}", *settings])
    if code or settings:
        return code
    protocol = read_settings(ProtocolSettings, CONFIG, []).protocol
    result = {
        "date": f"{date.today():%Y-%m-%d}",
        "machine": describe_machine(),
        "seconds": protocol.generated.seconds,
        "rows": summarize(protocol, pd.read_parquet(OUT / "scores.parquet")),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for page in PAGES:
        page.write_text(put_in(page.read_text(), lay_out(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
