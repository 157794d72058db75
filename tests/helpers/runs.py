"""Write run files as runs do."""

import json

from separator.results.paths import Layout
from separator.storage import Storage

TOTALS = {"assets": 1, "assets_failed": 0, "audio_s": 1.0, "seconds": 1.0}


def write_run(layout: Layout, run_id: str, **more: object) -> None:
    content = {
        "run_id": run_id,
        "state": "running",
        "written_at": "2026-01-01T00:00:00+00:00",
        "config": {"model": {"precision": "fp32"}},
        "totals": TOTALS,
    }
    Storage().write(layout.run(run_id), json.dumps(content | more).encode())
