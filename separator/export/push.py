"""Push a data set to the Hugging Face Hub, in commits of a few shards.

Shards that the Hub has with the same sha256 are not sent again, so a stopped push continues.
`huggingface_hub` takes the token from HF_TOKEN or from `hf auth login`, and the Hub's address from
HF_ENDPOINT.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separator.errors import (
    AccessDenied,
    BucketMissing,
    RequestError,
    StorageBusy,
    Throttled,
    Unreachable,
)
from separator.export.shard_contents import Contents, ShardFile
from separator.results.paths import ExportLayout
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

KIND = "dataset"
ABOUT = "export.json"  # marks a data set as one of ours
THEIRS = (".gitattributes",)  # the Hub writes it into an empty repository
TOKEN = "set HF_TOKEN to a token that may write (huggingface.co/settings/tokens)"
MAX_BYTES, MAX_FILES = 5e9, 100  # of a commit; files on S3 are copied to the disk for it


@dataclass(frozen=True)
class Repository:
    """A data set on the Hub that we may write; `there`: its files, large ones with their sha256."""

    api: "HfApi"
    name: str
    there: dict[str, str | None]


def open_repository(name: str, private: bool) -> Repository:
    """Create the repository unless it exists; refuse one that an export did not make, or that is
    public although `private` is set."""
    from huggingface_hub import HfApi, RepoFile  # imported here: the import takes 0.3 s
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi()
    with explained(name):
        api.create_repo(name, repo_type=KIND, private=private, exist_ok=True)
        if private and not api.dataset_info(name).private:
            raise RequestError(
                f"output.hub={name!r}: is public; choose another name, or say that everybody may"
                " read it with output.private=false"
            )
        tree = list(api.list_repo_tree(name, repo_type=KIND, recursive=True))
    files = [each for each in tree if isinstance(each, RepoFile)]
    there = {file.path: file.lfs.sha256 if file.lfs else None for file in files}
    if ABOUT not in there and (foreign := sorted(set(there) - set(THEIRS))):
        raise RequestError(
            f"output.hub={name!r}: holds {foreign[0]}, which is not ours; choose another name"
        )
    return Repository(api, name, there)


def push(
    repository: Repository,
    storage: Storage,
    layout: ExportLayout,
    contents: Sequence[Contents],
    show: Callable[[str], None],
) -> None:
    """Upload the shards that the repository lacks, then their descriptions; delete stale files."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = [file for each in contents for file in each.files]
    lacking = [file for file in files if repository.there.get(file.name) != file.sha256]
    show(f"{repository.name}: {len(lacking):,} of {len(files):,} files to upload ...")
    about = layout.file(ABOUT)
    for number, batch in enumerate(batch_files(lacking)):
        with copied(storage, layout, batch) as paths:
            first = [CommitOperationAdd(ABOUT, storage.read(about))] if number == 0 else []
            added = [CommitOperationAdd(name, path) for name, path in paths.items()]
            commit(repository, [*first, *added], f"Add {batch[0].name} to {batch[-1].name}")
        show(f"{batch[-1].name} is there")
    uris = [layout.card(), layout.croissant(), about]
    uris += [entry.uri for entry in storage.list(layout.indexes(), ["*.json"])]
    small = {uri.removeprefix(f"{layout.root_uri}/"): storage.read(uri) for uri in uris}
    known = {file.name for file in files} | set(small)
    stale = [
        name
        for name in repository.there
        if name.startswith(("data/", "index/")) and name not in known
    ]
    added = [CommitOperationAdd(name, data) for name, data in sorted(small.items())]
    deleted = [CommitOperationDelete(name) for name in sorted(stale)]
    commit(repository, [*added, *deleted], "Describe the data set")


def batch_files(files: Sequence[ShardFile]) -> Iterator[list[ShardFile]]:
    """Group files up to the limits of a commit; a larger file has a commit of its own."""
    batch: list[ShardFile] = []
    for file in files:
        num_bytes = sum(each.num_bytes for each in batch) + file.num_bytes
        if batch and (num_bytes > MAX_BYTES or len(batch) == MAX_FILES):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


@contextlib.contextmanager
def copied(
    storage: Storage, layout: ExportLayout, files: Sequence[ShardFile]
) -> Iterator[dict[str, Path]]:
    """Yield a local path for each file by its name; a file on S3 is copied for the block's time."""
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        paths = {}
        for number, file in enumerate(files):
            (own := folder / str(number)).mkdir()
            entry = storage.stat(layout.file(file.name))
            paths[file.name] = stack.enter_context(storage.on_disk(entry, own))
        yield paths


def commit(
    repository: Repository,
    operations: "list[CommitOperationAdd | CommitOperationDelete]",
    message: str,
) -> None:
    """Make a commit; huggingface_hub leaves out what has not changed."""
    with explained(repository.name):
        repository.api.create_commit(
            repository.name, operations, commit_message=message, repo_type=KIND
        )


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the failures of huggingface_hub into one line with the way out."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] # of whichever httpx it uses
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    where = f"output.hub={name!r}"
    way_out = "the shards are whole: call the export again to continue"
    try:
        yield
    except RequestError:
        raise
    except OfflineModeIsEnabled:
        raise RequestError(f"{where}: HF_HUB_OFFLINE is set; unset it to push") from None
    except LocalTokenNotFoundError:
        raise AccessDenied(f"{where}: no token; {TOKEN}") from None
    except HfHubHTTPError as error:
        raise _explain(where, error.response.status_code, str(error), way_out) from None
    except RuntimeError as error:  # from an upload; its cause is the real error
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError):
            raise _explain(where, cause.response.status_code, str(cause), way_out) from None
        raise StorageBusy(f"{where}: {error} ({cause}); {way_out}") from None
    except (HTTPError, ConnectionError) as error:
        text = str(error) or type(error).__name__
        raise Unreachable(f"{where}: the Hub cannot be reached ({text}); {way_out}") from None
    except (HFValidationError, ValueError) as error:
        raise RequestError(f"{where}: {' '.join(str(error).split())}") from None


def _explain(where: str, status: int, text: str, way_out: str) -> Exception:
    detail = " ".join(text.split())[:300]
    match status:
        case 401:
            return AccessDenied(f"{where}: the Hub does not accept the token (401); {TOKEN}")
        case 403:
            return AccessDenied(f"{where}: the token may not write there (403); {TOKEN}")
        case 404:
            return BucketMissing(
                f"{where}: no such owner or data set, or the token may not see it (404)"
            )
        case 429:
            return Throttled(f"{where}: too many requests (429); wait; {way_out}")
        case _ if status >= 500 or status in (408, 409, 412):
            return StorageBusy(f"{where}: the Hub failed ({status}: {detail}); {way_out}")
    return RequestError(f"{where}: the Hub refused it ({status}: {detail})")
