"""Make a manifest row with the columns that say what it is of and what became of it."""

import hashlib
from datetime import UTC, datetime, timedelta

from separator.results.schema import COLUMNS

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_record(asset="x", query="a", track=0, etag="e", hour=0, code="", request=None):
    digest = hashlib.sha256(f"{asset}{query}{etag}".encode()).hexdigest()[:32]
    return dict.fromkeys(COLUMNS) | {
        "run_id": "r",
        "asset_uri": asset,
        "asset_etag": etag,
        "query_name": query,
        "track_index": track,
        "status": "failed" if code else "ok",
        "error_code": code,
        "created_at": (START + timedelta(hours=hour)).isoformat(),
        "request": request or digest,
        "stem_uri": "" if code else f"{asset}/{track}/{query}",
    }
