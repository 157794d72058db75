"""Read the files of deploy/ for Kubernetes."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # of things in Kubernetes


def read_kinds(name: str) -> dict[str, dict[str, Any]]:
    documents = list(yaml.safe_load_all((ROOT / "deploy" / name).read_text()))
    kinds = {document["kind"]: document for document in documents}
    assert len(kinds) == len(documents)
    for document in documents:
        assert document["apiVersion"] and NAME.fullmatch(document["metadata"]["name"])
    return kinds
