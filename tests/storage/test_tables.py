"""Lists of objects in every form a user may have them."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from separator.errors import ObjectMissing, RequestError
from separator.storage import Storage, parse_uri
from separator.storage.tables import (
    find_uri_column,
    is_list,
    read_list,
    read_rows,
    resolve_uri,
)

ROWS = [{"uri": "a.mp4", "licence": "cc"}, {"uri": "s3://b/ü c.mp4", "licence": "by"}]


def write_list(path, rows) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0])] + [",".join(row.values()) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    elif path.suffix == ".json":
        path.write_text(json.dumps({"data": rows}))
    elif path.suffix == ".txt":
        path.write_text("\n".join(row["uri"] for row in rows) + "\n\n")
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".ndjson", ".json", ".txt"])
def test_read_rows_of_every_format(tmp_path, suffix):
    path = tmp_path / f"list{suffix}"
    write_list(path, ROWS)
    wanted = [{"uri": row["uri"]} for row in ROWS] if suffix == ".txt" else ROWS
    assert list(read_rows(Storage(), str(path))) == wanted
    assert is_list(str(path))


def test_read_rows_of_a_parquet_folder_on_s3(moto_bucket, tmp_path):
    for number in range(2):
        write_list(tmp_path / "p.parquet", ROWS[number : number + 1])
        moto_bucket.storage.upload(tmp_path / "p.parquet", f"{moto_bucket.uri}/t/{number}.parquet")
    moto_bucket.storage.write(f"{moto_bucket.uri}/t/notes.txt", b"no table")
    assert list(read_rows(moto_bucket.storage, f"{moto_bucket.uri}/t")) == ROWS


def test_read_rows_streams_until_a_broken_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"uri": "a"}\nnot json\n')
    rows = read_rows(Storage(), str(path))
    assert next(rows) == {"uri": "a"}
    with pytest.raises(RequestError, match=r"x\.jsonl: row 2 is no JSON: Expecting value"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.parquet", b"PAR1"), ("x.json", b"[]"), ("x.json", b"[" * 100_000), ("x.jsonl", b"\xff")],
)
def test_read_rows_names_the_broken_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=name):
        list(read_rows(Storage(), str(tmp_path / name)))


def test_read_rows_raises_for_a_missing_list(tmp_path):
    with pytest.raises(ObjectMissing):
        list(read_rows(Storage(), str(tmp_path / "x.csv")))


def test_find_uri_column():
    assert find_uri_column(["licence", "asset_uri"], None, "x") == "asset_uri"
    assert find_uri_column(["uri", "video"], "video", "x") == "video"
    with pytest.raises(RequestError, match=r"one of \('uri', .* set input.uri_column"):
        find_uri_column(["name"], None, "x")


def test_resolve_uri_from_the_folder_of_the_list():
    assert resolve_uri("s3://bkt/lists/x.csv", "a/b.mp4") == "s3://bkt/lists/a/b.mp4"
    assert resolve_uri("/lists/x.csv", "a.mp4") == "/lists/a.mp4"
    assert resolve_uri("/lists/x.csv", "/a.mp4") == "/a.mp4"
    assert resolve_uri("/lists/x.csv", "s3://b/a.mp4") == "s3://b/a.mp4"


def test_resolve_uri_keeps_names_beside_a_list_whose_folder_is_no_text():
    found = [resolve_uri("file:///lists%FF/x.csv", name) for name in ("100%41.wav", "é?#.wav")]
    assert [os.fsencode(parse_uri(uri).key) for uri in found] == [
        b"/lists\xff/100%41.wav",
        b"/lists\xff/\xc3\xa9?#.wav",
    ]
    with pytest.raises(RequestError, match="is not valid text"):
        resolve_uri("file:///lists%FF/x.jsonl", "\ud800.wav")


def damage_pages(path) -> None:
    data = bytearray(path.read_bytes())
    data[30:50] = bytes(20)
    path.write_bytes(data)


def test_read_list_names_a_parquet_list_with_damaged_pages(tmp_path):
    pq.write_table(
        pa.table({"uri": ["a.wav"] * 2_000}),
        tmp_path / "x.parquet",
        compression="gzip",
        use_dictionary=False,
    )
    damage_pages(tmp_path / "x.parquet")
    with pytest.raises(RequestError, match=r"x\.parquet: cannot be read: OSError: GZip"):
        list(read_list(Storage(), str(tmp_path / "x.parquet")))


@pytest.mark.parametrize(
    "made_at",
    [
        pa.array([1], pa.timestamp("us", "Europe/Nowhere")),
        pa.array([3_000_000], pa.date32()),
    ],
    ids=["unknown zone", "after the year 9999"],
)
def test_read_list_names_a_parquet_list_with_times_that_do_not_exist(tmp_path, made_at):
    pq.write_table(pa.table({"uri": ["a.wav"], "made_at": made_at}), tmp_path / "x.parquet")
    with pytest.raises(RequestError, match=r"x\.parquet: cannot be read"):
        list(read_list(Storage(), str(tmp_path / "x.parquet")))
    (row,) = read_list(Storage(), str(tmp_path / "x.parquet"), ["uri"])
    assert row.columns == {"uri": "a.wav"}


def test_read_list_yields_rows_that_cannot_be_read_with_the_reason(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = ['{"uri": "a"}', "", "7", "[1]", "null", "{", "[" * 100_000, '{"uri": NaN}']
    path.write_text("\ufeff" + "\n".join(lines))
    rows = list(read_list(Storage(), str(path)))
    assert [row.number for row in rows] == [1, 3, 4, 5, 6, 7, 8]
    assert [bool(row.trouble) for row in rows] == [False, True, True, True, True, True, False]
    assert rows[0].columns == {"uri": "a"} and "is 7, not" in rows[1].trouble
    assert "nested too deeply" in rows[5].trouble


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.jsonl"])
def test_read_list_skips_a_byte_order_mark_and_keeps_names_that_are_no_text(tmp_path, name):
    lines = {
        "x.txt": [b"a.wav", b"b\xff.wav"],
        "x.csv": [b"uri", b"a.wav", b"b\xff.wav"],
        "x.jsonl": [b'{"uri": "a.wav"}', b'{"uri": "b\xff.wav"}'],
    }[name]
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    uris = [row.columns["uri"] for row in read_list(Storage(), str(tmp_path / name))]
    assert [os.fsencode(uri) for uri in uris] == [b"a.wav", b"b\xff.wav"]


def test_read_list_takes_long_fields_of_csv(tmp_path):
    (tmp_path / "x.csv").write_text("uri,note\na.wav," + "x" * 200_000)
    (row,) = read_list(Storage(), str(tmp_path / "x.csv"))
    assert len(row.columns["note"]) == 200_000


def test_csv_rows_with_more_fields_than_columns_are_named(tmp_path):
    """A comma without quotes moves every field behind it into another column."""
    path = tmp_path / "list.csv"
    path.write_text("uri,title\na.wav,Siren\nb.wav,Siren, part 2\nc.wav,Rain,,\n")
    first, second, third = read_list(Storage(), str(path))
    assert first.columns == {"uri": "a.wav", "title": "Siren"} and not first.trouble
    assert "more fields than the list has columns" in second.trouble and not second.columns
    assert third.columns == {"uri": "c.wav", "title": "Rain"} and not third.trouble


@pytest.mark.parametrize(
    ("lines", "is_row"),
    [
        (['"Best of" 2020.wav,x', "b.wav,y"], [False, True]),
        (["a.wav,x", '"b.wav,y', "c.wav,z"], [True, False]),
        (["a.wav,x", '"b.wav,y', "c.wav,z", '"d.wav",z', "e.wav,z"], [True, False, True]),
        (['a.wav,"say ""x"", twice"', '5" disc.wav,"1', '2"'], [True, True]),
    ],
    ids=["text behind a quote", "never closed", "closed by a later one", "right"],
)
def test_csv_rows_with_wrong_quotes_are_named_and_no_other_is_lost(tmp_path, lines, is_row):
    """A quote that is not closed would make one name of all rows behind it."""
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["uri,title", *lines]) + "\n")
    rows = list(read_list(Storage(), str(path)))
    assert [not row.trouble for row in rows] == is_row
    assert all(row.columns or "close each quote" in row.trouble for row in rows)


def test_csv_header_with_wrong_quotes_is_an_error_of_the_list(tmp_path):
    (tmp_path / "x.csv").write_text('"uri" of it,title\na.wav,x\n')
    with pytest.raises(RequestError, match=r"x\.csv: "):
        list(read_list(Storage(), str(tmp_path / "x.csv")))


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_read_list_takes_utf_16(tmp_path, name, encoding):
    """PowerShell writes it: `dir -Name > list.txt`."""
    text = {"x.txt": "é.wav", "x.csv": "uri\r\né.wav", "x.jsonl": '{"uri": "é.wav"}'}[name]
    (tmp_path / name).write_bytes(f"\ufeff{text}\r\n".encode(encoding))
    assert [row.columns for row in read_list(Storage(), str(tmp_path / name))] == [{"uri": "é.wav"}]


def test_read_rows_of_a_json_array_as_find_writes_it(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps([{"asset_uri": "a.wav"}]))
    assert list(read_rows(Storage(), str(path))) == [{"asset_uri": "a.wav"}]
    path.write_text('{"rows": []}')
    with pytest.raises(RequestError, match=r"found\.json: must hold rows"):
        list(read_rows(Storage(), str(path)))


def test_audiosep_s_json_names_its_objects_by_wav(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"data": [{"wav": "a.wav", "caption": "a dog"}]}))
    (row,) = read_rows(Storage(), str(path))
    assert find_uri_column(list(row), None, str(path)) == "wav"
