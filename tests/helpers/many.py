"""A library of many small assets of all kinds, the run that makes all kinds of files of them, and
the tree that an undisturbed run leaves."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import media_files as make
from tests.helpers.job import check_whole, read_tree, run_job, write_config, write_sound

KINDS = [("man", "siren"), ("rain", "bell"), ("woman", "drums")]
EDITS = [
    "output.residual=per_query",
    "output.renditions=[{name: quiet, gains_db: {siren: -inf}, loudness_lufs: -30}]",
    "output.remux=replace",
    "run.span_s=2",
]
OF_RUNS = ("run_id", "created_at")  # columns that differ from run to run

Tree = dict[str, object]


def make_many(folder: Path, number: int) -> None:
    """Films in two containers and sounds, of half a second; some are of three spans."""
    picture = make.write_picture(folder.with_name("picture.mp4"), 0.5)
    for i in range(number):
        sound = folder.with_name(f"{i}.wav")
        write_sound(sound, KINDS[i % 3], 5.0 if i % 10 == 4 else 0.5, i)
        (path := folder / str(i % 4)).mkdir(parents=True, exist_ok=True)
        if i % 3 == 0:
            sound.rename(path / sound.name)
            continue
        codec, suffix = [("flac", "mkv"), ("aac", "mp4")][i % 3 - 1]
        film = path / f"{i}.{suffix}"
        make.start("-i", picture, "-i", sound, "-c:v", "copy", "-c:a", codec, film)


def make_wanted(library: Path, out: Path, config: Path, number: int) -> Tree:
    """Make the library and its config; return the tree of an undisturbed run, and take the output
    away: the next one has to lie in the same place, for the records name it."""
    make_many(library, number)
    write_config(config, str(library), str(out))
    run_job(config, *EDITS)
    wanted = read_comparable(out)
    assert len(wanted) == number * 7 and any("/remux/" in name for name in wanted)
    empty(out)
    return wanted


def empty(folder: Path) -> None:
    """Delete all that lies in a folder; the folder itself may be a mounted disk."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_comparable(out: Path) -> Tree:
    """The tree, with commit files as JSON and without what differs from run to run."""
    tree: Tree = dict(read_tree(out))
    for name in [name for name in tree if name.endswith("record.json")]:
        content = json.loads((out / name).read_text())
        for record in content["records"]:
            for key in OF_RUNS:
                del record[key]
        tree[name] = content
    return tree


def check_same(out: Path, wanted: Tree, about: object = "", root_uri: str = "") -> None:
    """The output, or the one at `root_uri` that it is a copy of, is that of an undisturbed run."""
    check_whole(out, root_uri)
    found = read_comparable(out)
    assert found.keys() == wanted.keys(), about
    assert [name for name in wanted if found[name] != wanted[name]] == [], about


def check_unfinished(out: Path, wanted: Tree, besides: Sequence[str] = ()) -> None:
    """Every file that a reader sees is whole, and the one that an undisturbed run leaves.
    `besides`: folders of assets that failed."""
    seen = {
        name: data
        for name, data in read_comparable(out).items()
        if "/." not in name and name.rpartition("/")[0] not in besides
    }
    assert seen.keys() <= wanted.keys()
    assert [name for name, data in seen.items() if data != wanted[name]] == []
