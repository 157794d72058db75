"""Names of an output: kept where they can be kept, never leading out of it, never shared."""

import pytest

from separator.results.paths import (
    LONGEST_PART_BYTES,
    LONGEST_PATH_BYTES,
    Layout,
    encode_part,
    find_common_folder,
    find_file_name,
    make_asset_path,
)


@pytest.mark.parametrize(
    ("asset", "root", "path"),
    [
        ("/lib/a/b c.mp4", "/lib", "a/b c.mp4"),
        ("/lib/a/b.mp4", "/lib/", "a/b.mp4"),
        ("/lib/a.mp4", "/lib/a.mp4", "a.mp4"),
        ("/lib/a.mp4", None, "lib/a.mp4"),
        ("s3://bkt/x/ü.mp4", "s3://bkt/x", "ü.mp4"),
        ("s3://bkt/x/a.mp4", None, "bkt/x/a.mp4"),
        ("s3://bkt/x//a.mp4", "s3://bkt/x", "%/a.mp4"),
        ("s3://bkt/x/../../a.mp4", "s3://bkt/x", "%2E%2E/%2E%2E/a.mp4"),
        ("s3://bkt/x/a%2Fb\n.mp4", "s3://bkt/x", "a%252Fb%0A.mp4"),
        ("file:///lib/%FF.wav", "/lib", "%FF.wav"),
        ("/lib/x/a/b.wav", "file:///lib//x", "a/b.wav"),
        ("file:///lib/a#1?.wav", "/lib", "a#1%3F.wav"),
    ],
)
def test_paths_of_assets(asset, root, path):
    assert make_asset_path(asset, root) == path


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ("/lib/a%20b.mp4", "a%20b.mp4"),
        ("file:///lib/two%0Awords.mp4", "two\nwords.mp4"),
        ("s3://bkt/x/a%2Fb?.mp4", "a%2Fb?.mp4"),
        (f"/lib/{'n' * 240}.mp4", f"{'n' * 240}.mp4"),
        ("http://elsewhere/x.mp4", "x.mp4"),
    ],
)
def test_file_names_of_assets(asset, name):
    assert find_file_name(asset) == name


@pytest.mark.parametrize(
    ("assets", "folder"),
    [
        (["/lib/a/x.wav", "/lib/b.wav"], "/lib"),
        (["/lib/x.wav", "/other/x.wav"], None),
        (["s3://bkt/a/x.wav", "s3://bkt/a/b/y.wav"], "s3://bkt/a"),
        (["s3://one/x.wav", "s3://two/x.wav"], None),
        (["/lib/100%25/x.wav", "/lib/100%25/y.wav"], "/lib/100%25"),
        (["/lib/a/x.wav", "file:///lib/a/two%0Awords.wav"], "/lib/a"),
        (["/lib/100%25/x.wav", "file:///lib/100%2525/%FF.wav"], "/lib/100%25"),
        (["file:///l%0Ab/x.wav", "file:///l%0Ab/y.wav"], "file:///l%0Ab"),
        (["/lib/x.wav", "file://elsewhere/lib/x.wav"], None),
        (["s3://bkt/x.wav", "file:///lib/%FF.wav"], None),
    ],
)
def test_folder_that_all_assets_lie_in(assets, folder):
    assert find_common_folder(assets) == folder


def test_different_names_stay_different():
    long = "n" * 300
    names = ["a", "A", "a ", "%61", "a%20", ".", "..", "", "%", "%2E", "a:b", "a%3Ab", "a\\b"]
    names += ["record.json", "%72ecord.json", "track-0", ".parts", long, long + "x", "x" + long]
    parts = [encode_part(name) for name in names]
    assert len(set(parts)) == len(names)
    assert all(part not in ("", ".", "..") and "/" not in part for part in parts)
    assert all(len(part.encode()) <= LONGEST_PART_BYTES for part in parts)
    # Names of our own below an asset's folder are nobody else's.
    assert not {"record.json", "track-0", ".parts"} & set(parts)


@pytest.mark.parametrize("first", ["", "a", "ab"])
def test_long_names_of_other_scripts_stay_text(first):
    part = encode_part(first + "日" * 200)
    assert len(part.encode()) <= LONGEST_PART_BYTES and part.startswith(first + "日" * 60)


@pytest.mark.parametrize("part", ["d" * 190, "日" * 60, "%", "a\n"])
def test_paths_too_long_for_a_store_end_in_a_hash(part):
    deep = "/".join([part] * 200)
    paths = [make_asset_path(f"/lib/{deep}/{name}.wav", "/lib") for name in ("a", "b")]
    assert paths[0] != paths[1] and paths[0][:150] == paths[1][:150]
    assert all(len(path.encode()) <= LONGEST_PATH_BYTES for path in paths)
    assert not any({"", ".", ".."} & set(path.split("/")) for path in paths)
    usual = "/".join(["d" * 190] * 3)
    assert make_asset_path(f"/lib/{usual}", "/lib") == usual


def test_everything_lies_below_the_root():
    layout = Layout("s3://bkt/out/", "flac")
    path = make_asset_path("s3://bkt/../../../x.mp4", None)
    names = [
        layout.record(path),
        layout.stem(path, 0, "stem", "siren"),
        layout.part(path, 1, "stem", "siren", 2),
    ]
    names += [layout.manifest_file("r", 1), layout.run("r"), layout.mark("m"), layout.lock()]
    assert all(name.startswith("s3://bkt/out/") and "/../" not in name for name in names)
    assert names[1].endswith("/x.mp4/track-0/siren.flac")
