"""Open a data set with `mlcroissant`, in a process of its own.

When it is imported it reads where it may unpack archives, and it keeps them by relative address,
which data sets share.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = """
import pickle, sys
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = data.metadata.ctx.issues
records = {name: list(data.records(name)) for name in sys.argv[2:]}
about = {"is_v1_1": data.metadata.ctx.is_v1_1(), "license": data.metadata.license,
         "issues": [*issues.errors, *issues.warnings], "records": records}
sys.stdout.buffer.write(pickle.dumps(about))
"""


def open_croissant(folder: Path, *record_sets: str) -> dict[str, Any]:
    """Validate croissant.json, load records, and return what was found; a mistake raises."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder / "croissant.json"), *record_sets],
        env=os.environ | {"CROISSANT_CACHE": str(folder.with_name("croissant"))},
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3_000:]
    return pickle.loads(done.stdout) | {"said": done.stderr.decode()}
