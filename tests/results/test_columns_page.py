"""The table of columns in `docs/job.md` is that of `separator/results/schema.py`."""

import re
from pathlib import Path

from separator.results.schema import COLUMNS

PAGE = Path(__file__).parents[2] / "docs/job.md"


def lay_out_columns() -> str:
    """Lay out the table: what belongs below the heading `## Columns`."""
    rows = [f"| `{name}` | `{kind}` | {about} |" for name, (kind, about) in COLUMNS.items()]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


def test_the_page_has_each_column_with_its_type_and_meaning():
    section = PAGE.read_text().partition("\n## Columns\n")[2].partition("\n## ")[0]
    found = "\n".join(re.findall(r"^\|.*$", section, re.MULTILINE))
    wanted = lay_out_columns()
    assert found == wanted, f"docs/job.md, Columns: put this table there\n{wanted}"
