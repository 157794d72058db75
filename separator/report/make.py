"""Make the report of an output: read its manifest, choose assets, write the site.

The caller makes the previews between `plan_report` and `write_report`: on Ray, or here one by one.
"""

import contextlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separator.errors import ObjectMissing
from separator.report.page import (
    ReportLayout,
    limit_rows,
    list_site_files,
    make_asset,
    make_overview,
    make_stems,
    make_verdicts,
    name_asset,
    pack_data,
    sort_rows,
    stamp_addresses,
)
from separator.report.previews import AssetWork, name_preview
from separator.report.sample import Choice, choose_assets
from separator.report.scan import SCANNED, Scan, has_text, scan_rows
from separator.results.latest import find_latest, read_again, read_marked
from separator.results.paths import Layout, find_common_folder
from separator.results.schema import COLUMNS, Record
from separator.results.verdicts import Verdict, read_verdicts
from separator.storage import Storage, join_uri


@dataclass(frozen=True)
class ReportPlan:
    """The content of the report."""

    layout: ReportLayout
    scan: Scan
    choice: Choice
    rows: Sequence[tuple[Record, float, int]]  # with doubt and reasons, in the table's order
    verdicts: Mapping[str, Verdict]  # of all stems, by fingerprint

    def list_work(self, made: Mapping[str, set[str]]) -> list[AssetWork]:
        """List the assets that lack previews. `made`: names of earlier previews by asset folder.

        If a folder holds a preview that the page does not show, all its previews are made again.
        """
        by_asset: dict[tuple[str, str], list[Record]] = {}
        for row, _, _ in self.rows:
            if row["stem_uri"]:
                by_asset.setdefault((row["asset_uri"], row["asset_etag"]), []).append(row)
        work = []
        for (uri, etag), rows in by_asset.items():
            found = made.get(name_asset(uri), set())
            is_stale = not found <= {name_preview(row) for row in rows}
            left = [row for row in rows if is_stale or name_preview(row) not in found]
            if left:
                work.append(AssetWork(uri, etag, left, name_asset(uri), is_stale))
        return work


@read_again
def plan_report(storage: Storage, layout: Layout, most: int) -> ReportPlan:
    """Read the manifest twice: first to count and rate all rows, then to get the chosen rows."""
    masks = find_latest(storage, layout)
    scan, arrays = scan_rows(read_marked(storage, masks, SCANNED))
    doubts, reasons = arrays.rate()
    choice = choose_assets(arrays.asset, doubts, most)
    chosen = choice.has(arrays.asset)
    batches = read_marked(storage, masks, list(COLUMNS))
    records = read_chosen(batches, chosen)
    rated = dict(zip((id(r) for r in records), reasons[chosen], strict=True))
    pairs = sort_rows(records, doubts[chosen])
    rows = limit_rows([(row, float(doubt), int(rated[id(row)])) for row, doubt in pairs])
    verdicts = read_verdicts(storage, layout)
    return ReportPlan(ReportLayout(layout), scan, choice, rows, verdicts)


@read_again
def read_doubtful(storage: Storage, layout: Layout, most: int) -> list[tuple[Record, float]]:
    """Read the most doubtful stems that have a file, with their doubt, the most doubtful first."""
    masks = find_latest(storage, layout)
    _, arrays = scan_rows(read_marked(storage, masks, SCANNED))
    doubts, _ = arrays.rate()
    files = [has_text(batch, "stem_uri") for batch in read_marked(storage, masks, ["stem_uri"])]
    is_there = np.concatenate([np.zeros(0, bool), *files]) & arrays.is_stem
    order = np.argsort(np.where(is_there, -doubts, np.inf), kind="stable")
    chosen = is_there & np.isin(np.arange(len(doubts)), order[:most])
    records = read_chosen(read_marked(storage, masks, list(COLUMNS)), chosen)
    return [(row, float(doubt)) for row, doubt in sort_rows(records, doubts[chosen])]


def read_chosen(batches: Iterable[Any], chosen: np.ndarray) -> list[Record]:
    """Read the marked rows as records; columns that a file lacks are None."""
    records, start = [], 0
    empty = dict.fromkeys(COLUMNS)
    for batch in batches:
        rows = np.flatnonzero(chosen[start : start + len(batch)])
        records += [empty | record for record in batch.take(rows).to_pylist()]
        start += len(batch)
    return records


def list_made(storage: Storage, layout: ReportLayout) -> dict[str, set[str]]:
    """List earlier previews by folder: a preview is complete once its script exists.

    Folders without a complete preview are listed too.
    """
    made: dict[str, set[str]] = {}
    with contextlib.suppress(ObjectMissing):
        for entry in storage.list(layout.previews()):
            folder, _, name = entry.uri.rpartition("/")
            names = made.setdefault(folder.rpartition("/")[2], set())
            if name.endswith(".js"):
                names.add(name.removesuffix(".js"))
    return made


def write_report(
    storage: Storage,
    plan: ReportPlan,
    made: Mapping[str, set[str]],
    troubles: Mapping[str, str],
    run: dict[str, Any] | None,
) -> None:
    """Write the site, the page itself last, and delete the data that it no longer shows.

    `made`: earlier previews; `troubles`: the results of this report's previews, see PreviewMaker;
    `run`: the newest run file.
    """
    layout = plan.layout
    known = {name: "" for names in made.values() for name in names} | dict(troubles)
    by_asset: dict[str, list[Record]] = {}
    for row, _, _ in plan.rows:
        by_asset.setdefault(row["asset_uri"], []).append(row)
    data = {name_asset(uri): make_asset(rows, layout) for uri, rows in by_asset.items()}
    data["stems"] = make_stems(plan.rows, known, find_common_folder(list(by_asset)) or "")
    ids = [row["fingerprint"] for row, _, _ in plan.rows]
    data["verdicts"] = make_verdicts(plan.verdicts[id] for id in ids if id in plan.verdicts)
    data["overview"] = make_overview(plan.scan, plan.choice, len(plan.rows), layout.output_uri, run)
    site = list_site_files()
    site["index.html"] = stamp_addresses(site["index.html"], secrets.token_hex(4))
    for name, content in data.items():
        storage.write(layout.data(name), pack_data(name, content))
    for name in sorted(site, key=lambda name: name == "index.html"):
        storage.write(layout.file(name), site[name])
    for folder in made.keys() - data.keys():
        storage.clear(join_uri(layout.previews(), folder))
    for entry in storage.list(layout.data_folder(), ["*.js"]):
        if entry.uri.rpartition("/")[2].removesuffix(".js") not in data:
            storage.delete(entry.uri)
