"""Measure the time and memory to list a very large archive on S3, and to find the work left in it.

    python benchmarks/scale.py [--assets 1000000] [--done 125000] [--queries 8] [--out FILE]

A server in this script lists the archive page by page, as S3 does; nothing is downloaded. One step
writes a manifest of the first `--done` assets, with one row per query. Each of the four steps runs
in a process of its own.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from separator.config import DetectSettings, InputSettings, JobConfig, ModelSettings, OutputSettings
from separator.results.manifest import KEY_COLUMNS, write_table
from separator.results.schema import make_schema
from separator.run.prepare import Target, prepare_target
from separator.sounds.catalog import CLASSES
from separator.storage import Storage, StorageSettings

PAGE = 1_000  # keys per page, as on S3
ROWS_PER_FILE = 50_000
COLUMNS = (*KEY_COLUMNS, "status", "asset_path")
ROW = (
    "<Contents><Key>lib/{0:03}/{1:07}.wav</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{1:032x}&quot;</ETag><Size>1920044</Size></Contents>"
)


class Archive(BaseHTTPRequestHandler):
    """Answer every request with a page of the listing."""

    protocol_version = "HTTP/1.1"
    num_keys = 0

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        first = int(asked.get("continuation-token", ["0"])[0])
        count = min(PAGE, int(asked.get("max-keys", [PAGE])[0]), self.num_keys - first)
        rows = "".join(ROW.format(i // 10_000, i) for i in range(first, first + count))
        more = first + count < self.num_keys
        token = f"<NextContinuationToken>{first + count}</NextContinuationToken>" * more
        body = (
            '<?xml version="1.0"?><ListBucketResult><Name>archive</Name>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


def serve(num_keys: int, told: Connection) -> None:
    Archive.num_keys = num_keys
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    told.send(server.server_port)
    server.serve_forever()


def make_target(port: int, out: str, num_queries: int) -> Target:
    storage = StorageSettings(
        endpoint_url=f"http://127.0.0.1:{port}", region="us-east-1", anonymous=True
    )
    config = JobConfig(
        input=InputSettings("s3://archive/lib"),
        queries=[kind.captions[0] for kind in list(CLASSES.values())[:num_queries]],
        model=ModelSettings("mini", "cpu"),
        detect=DetectSettings(model="off"),
        output=OutputSettings(out),
        storage=storage,
    )
    return prepare_target(config, Storage(storage), False)


def write_manifest(target: Target, num_assets: int) -> int:
    """Write rows of finished stems for the first assets; return how many."""
    schema, layout = make_schema(), target.layout
    made_at, num_rows = datetime(2026, 1, 1, tzinfo=UTC), 0
    assets = iter(target.list_assets())
    for number in range(1 << 20):
        rows = list(pick_rows(islice(assets, min(num_assets, ROWS_PER_FILE // 8)), made_at))
        if not rows:
            return num_rows
        num_rows += len(rows)
        num_assets -= ROWS_PER_FILE // 8
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=False))
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(rows), f.type)
            for f in schema
        ]
        uri = layout.manifest_file("20260101-000000-abcdef", number)
        write_table(Storage(), uri, pa.Table.from_arrays(arrays, schema=schema))
        if num_assets <= 0:
            return num_rows
    return num_rows


def pick_rows(assets: Iterator[Any], made_at: datetime) -> Iterator[tuple[object, ...]]:
    for asset in assets:
        for item in asset.items:
            yield asset.uri, asset.etag, item.name, 0, made_at, item.id, "", "ok", asset.path


def measure(work: Callable[..., int], *arguments: Any) -> dict[str, Any]:
    """Do a piece of work in a process of its own; return its result, time and memory."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_alone, args=(theirs, work, arguments)
    )
    process.start()
    theirs.close()  # otherwise `recv` would wait for ever for a process that died
    found = ours.recv()
    process.join()
    return found


def run_alone(told: Connection, work: Callable[..., int], arguments: tuple[Any, ...]) -> None:
    port, out, num_queries, *rest = arguments
    target = make_target(port, out, num_queries)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start, start_cpu = time.perf_counter(), time.process_time()
    count = work(target, *rest)
    told.send(
        {
            "count": count,
            "seconds": round(time.perf_counter() - start, 1),
            "cpu_s": round(time.process_time() - start_cpu, 1),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
            "before_mb": round(before_mb),
        }
    )


def list_all(target: Target) -> int:
    return sum(1 for _ in target.list_assets())


def find_all_done(target: Target) -> int:
    return len(target.find_done().done)


def find_pending(target: Target) -> int:
    pending = target.list_pending(target.find_done(), target.list_assets())
    return sum(each is not None for _, each in pending)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1_000_000)
    parser.add_argument("--done", type=int, default=125_000)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(options.assets, theirs), daemon=True
    )
    server.start()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as out:
        shared = (ours.recv(), out, options.queries)
        for name, work, rest in (
            ("list the archive", list_all, ()),
            ("write the manifest", write_manifest, (options.done,)),
            ("read what is done", find_all_done, ()),
            ("find what is left", find_pending, ()),
        ):
            found[name] = measure(work, *shared, *rest)
            print(name, json.dumps(found[name]), flush=True)
    server.terminate()
    if options.out:
        about = {"machine": f"{platform.machine()}, {platform.system()}", **vars(options)}
        about["out"] = options.out.name
        options.out.write_text(json.dumps(about | {"results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
