"""Run the job on a library in a bucket, and look at its output through a copy."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from separator.storage import StorageSettings
from tests.helpers.job import start_job, write_config
from tests.helpers.many import Tree, check_same, check_unfinished, make_many
from tests.helpers.s3 import Bucket


@dataclass(frozen=True)
class BucketJob:
    """`folder` is for files of the test; `settings` are those that the job reaches the store by."""

    folder: Path
    bucket: Bucket
    settings: StorageSettings
    edits: tuple[str, ...] = ()

    @property
    def out_uri(self) -> str:
        return f"{self.bucket.uri}/out"

    def make_library(self, number: int) -> None:
        library = self.folder / "library"
        make_many(library, number)
        for path in sorted(p for p in library.rglob("*") if p.is_file()):
            uri = f"{self.bucket.uri}/in/{path.relative_to(library)}"
            self.bucket.storage.upload(path, uri)

    def start(self, *overrides: str) -> subprocess.Popen:
        config = self.folder / "a.yaml"
        write_config(config, f"{self.bucket.uri}/in", self.out_uri)
        store = [
            f"storage.endpoint_url={self.settings.endpoint_url}",
            f"storage.checksums={self.settings.checksums}",
            f"storage.region={self.settings.region}",
        ]
        return start_job(config, *self.edits, *store, *overrides)

    def copy_output(self) -> Path:
        """Bring the output as it is now into a local folder."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        storage = self.bucket.storage
        for entry in storage.list(f"{self.out_uri}/"):
            path = copy / entry.uri.removeprefix(f"{self.out_uri}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(entry.uri, path)
        return copy

    def clear_output(self) -> None:
        self.bucket.storage.clear(self.out_uri)

    def check_same(self, wanted: Tree) -> None:
        check_same(self.copy_output(), wanted, root_uri=self.out_uri)

    def check_unfinished(self, wanted: Tree) -> None:
        check_unfinished(self.copy_output(), wanted)
