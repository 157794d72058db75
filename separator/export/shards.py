"""Write shards: stems as they are stored, with their rows. The same rows give the same bytes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from separator.errors import ObjectMissing, OutputDamaged
from separator.export.parquet_shards import write_parquet
from separator.export.select import Shard
from separator.export.settings import LHOTSE, PARQUET, WEBDATASET
from separator.export.shar_shards import write_shar
from separator.export.shard_contents import Contents, ShardFile
from separator.export.sounds import Samples, add_sounds, check_sound, cut_sound
from separator.export.tar_shards import write_tar
from separator.results.paths import ExportLayout
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

BLOCK_BYTES = 1 << 20
# Functions that write the files of one shard into a folder.
WRITERS: dict[str, Callable[[Path, Shard, Samples, Sequence[str]], None]] = {
    WEBDATASET: write_tar,
    PARQUET: write_parquet,
    LHOTSE: write_shar,
}


@dataclass(frozen=True)
class ShardWriter:
    """Write shards; a plain value that Ray can send to its workers."""

    storage: Storage
    layout: ExportLayout
    form: str
    residual: bool

    @property
    def columns(self) -> dict[str, str]:
        """Map the names of sounds in the data set to the manifest columns with their URIs."""
        return {"audio": "stem_uri"} | ({"residual": "residual_uri"} if self.residual else {})

    def __call__(self, shard: Shard) -> Contents:
        """Write a shard, then its index: a shard with an index is complete."""
        contents = Contents(shard.split)
        with temporary_folder() as folder:
            (made := folder / "made").mkdir()
            samples = self._read(shard.rows, contents, folder)
            WRITERS[self.form](made, shard, samples, list(self.columns))
            if contents.num_stems:  # loaders fail on empty files
                paths = sorted(path for path in made.rglob("*") if path.is_file())
                contents.files = [
                    self._upload(path, path.relative_to(made).as_posix()) for path in paths
                ]
        self.storage.write(self.layout.index(shard.name), contents.to_json())
        return contents

    def _upload(self, path: Path, name: str) -> ShardFile:
        """Upload a file and hash its bytes on the way, so that it is read only once."""
        digest = hashlib.sha256()

        def read() -> Iterator[bytes]:
            with path.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
                    yield block

        self.storage.write(self.layout.data(name), read())
        return ShardFile(f"data/{name}", path.stat().st_size, digest.hexdigest())

    def _read(self, rows: pa.Table, contents: Contents, folder: Path) -> Samples:
        for batch in rows.to_batches(max_chunksize=256):
            for row in batch.to_pylist():
                paths = self._fetch(row, contents, folder)
                if paths is not None:
                    contents.add(row, paths["audio"].suffix)
                    yield row, paths

    def _fetch(
        self, row: dict[str, Any], contents: Contents, folder: Path
    ) -> dict[str, Path] | None:
        paths = {}
        for name, column in self.columns.items():
            path = folder / f"{name}{Path(row[column]).suffix}"
            try:
                self.storage.fetch(row[column], path)
                check_sound(path, row)
                cut_sound(path, row)
            except (ObjectMissing, OutputDamaged):
                contents.missing.append(row[column])
                return None
            paths[name] = path
        if self.form == LHOTSE and self.residual:
            paths["mixture"] = folder / f"mixture{paths['audio'].suffix}"
            if not add_sounds(paths["audio"], paths["residual"], paths["mixture"], row):
                contents.too_loud.append(row["stem_uri"])
                return None
        return paths
