"""Lists of captioned sounds: which rows are trained with."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from separator.errors import AudioError, RequestError
from separator.results.schema import make_schema
from separator.sounds.recordings import read_recordings
from separator.storage import Storage
from separator.storage.tables import LONGEST_FIELD
from separator.train.labelled_sounds import read_labelled
from separator.train.sound_lists import is_permissive, read_list, read_lists, read_whole


def write_list(path, licences):
    rows = [
        {"audio": f"{i}.wav", "caption": "rain", "licence": licence}
        for i, licence in enumerate(licences)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return [str(path)]


def test_licences_leave_out_what_asks_for_more_than_credit(tmp_path):
    lists = write_list(tmp_path / "a.jsonl", ["GPL-2", "CC0-1.0", "", "CC-BY-SA-3.0", "CC-BY-3.0"])
    assert len(read_lists(lists, Storage())) == 5
    found = [source.uri[-5:] for source in read_lists(lists, Storage(), (), "permissive")]
    assert found == ["1.wav", "2.wav", "4.wav"]
    lists = write_list(tmp_path / "b.jsonl", ["GPL-2"])
    with pytest.raises(RequestError, match="no sound listed in them of permissive licences"):
        read_lists(lists, Storage(), (), "permissive")


def test_texts_of_csv_are_lists_and_numbers(tmp_path):
    (tmp_path / "a.csv").write_text(
        "audio,labels,joins,paraphrases,start_s\n"
        "a.wav,dog; outdoor;,b.wav;/c.wav,a bark; a yap,1.5\n"
        "b.wav,dog,,,\n"
    )
    first, second = read_list(str(tmp_path / "a.csv"), Storage())
    assert first.labels == first.captions == ("dog", "outdoor")
    assert first.joins == (f"{tmp_path}/b.wav", "/c.wav")
    assert first.paraphrases == ("a bark", "a yap") and first.start_s == 1.5
    assert (second.labels, second.joins, second.paraphrases) == (("dog",), (), ())
    assert second.start_s is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("labels", 5),
        ("labels", ["dog", None]),
        ("joins", {"b.wav": 1}),
        ("paraphrases", 2.5),
        ("start_s", "soon"),
        ("start_s", [1]),
        ("start_s", -1),
        ("latent", "0.5"),
        ("latent", [0.5, "x"]),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, value):
    row = {"audio": "a.wav", "caption": "dog", column: value}
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": "b", "caption": "x"}) + "\n")
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(RequestError, match=rf"a\.jsonl: row 2: {column}=.*: must be "):
        read_list(str(tmp_path / "a.jsonl"), Storage())


def test_stems_of_a_manifest_have_their_queries_as_kinds_and_renditions_are_left_out(tmp_path):
    made = [
        ("stem", "dog", "a dog barking"),
        ("stem", "bird", ""),
        ("rendition", "calm", "dog: -9"),
    ]
    rows = [
        {"kind": kind, "query_name": name, "query_text": text, "status": "ok"}
        | {"stem_uri": f"/stems/{name}.flac"}
        for kind, name, text in made
    ]
    table = pa.Table.from_pylist(rows, make_schema())
    pq.write_table(table, tmp_path / "manifest.parquet")
    found = read_list(str(tmp_path / "manifest.parquet"), Storage())
    assert [source.uri for source in found] == ["/stems/dog.flac", "/stems/bird.flac"]
    for source, caption in zip(found, ["a dog barking", "bird"], strict=True):
        assert source.captions == source.labels == (caption,)
        assert source.kind == source.group == caption


def test_a_stem_has_the_licence_that_its_job_carried(tmp_path):
    carried = ['{"licence": "GPL-2"}', '{"licence": "CC0-1.0"}', '{"speaker": 1}', "{", "3"]
    rows = [
        {"stem_uri": f"{i}.flac", "query_name": "dog", "status": "ok", "carried": text}
        for i, text in enumerate(carried)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_lists([f"{tmp_path}/a.jsonl"], Storage(), (), "permissive")
    assert [source.uri[-6:] for source in found] == ["1.flac", "2.flac", "3.flac", "4.flac"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_kinds_and_groups_may_be_numbers_from_zero_on(tmp_path, suffix):
    rows = [{"audio": f"{i}.wav", "caption": "a dog", "kind": i, "group": i} for i in range(3)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pd.DataFrame(rows).to_parquet(path)
    found = read_list(str(path), Storage())
    assert [source.kind for source in found] == ["0", "1", "2"]
    assert [source.labels for source in found] == [("0",), ("1",), ("2",)]
    assert [source.group for source in found if source.is_grouped] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "http://host/b.wav"}, r"http://host/b\.wav: unknown scheme"),
        ({"audio": "b\0.wav"}, "not a URI or a path"),
        ({"audio": {"path": "b.wav"}}, r"\{'path': 'b\.wav'\}: must be the path or URI"),
        ({"audio": "b.wav", "joins": ["s3://x/c.wav"]}, "'x' is not a bucket name"),
    ],
)
def test_an_address_that_can_be_no_sound_is_refused_with_its_row(tmp_path, row, message):
    path = tmp_path / "a.jsonl"
    rows = [{"audio": "a.wav", "caption": "rain"}, {"caption": "rain"} | row]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(RequestError, match=rf"a\.jsonl: row 2: .*{message}"):
        read_list(str(path), Storage())


def test_a_row_without_a_value_is_told_from_a_list_without_the_column(tmp_path):
    (tmp_path / "a.csv").write_text("audio,caption\na.wav,rain\nb.wav,\n")
    with pytest.raises(RequestError, match=r"row 2 has values in the columns \['audio'\]: needed"):
        read_list(str(tmp_path / "a.csv"), Storage())


def test_a_file_without_a_header_is_unreadable_and_not_the_end(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(4000))
    with pytest.raises(AudioError, match=r"a\.raw: "):
        read_whole(Storage(), str(tmp_path / "a.raw"), 32_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, 1e7])
def test_a_file_with_a_sample_far_beyond_full_scale_is_unreadable(tmp_path, value):
    samples = np.full(8_000, 0.1, np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    assert len(read_whole(Storage(), str(tmp_path / "a.wav"), 32_000)) == 16_000
    samples[4_000] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: samples that are NaN or beyond 1e\+06"):
        read_whole(Storage(), str(tmp_path / "a.wav"), 32_000)


@pytest.mark.parametrize("read", [read_list, lambda uri, s: read_labelled(s, uri, "", "")])
def test_a_row_with_a_comma_without_quotes_is_refused(tmp_path, read):
    (tmp_path / "a.csv").write_text("audio,labels\na.wav,Cat\nb.wav,a dog, then rain\n")
    with pytest.raises(RequestError, match=r"a\.csv: row 2 has more fields .* into quotes"):
        read(str(tmp_path / "a.csv"), Storage())


def test_an_endless_field_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text('audio,caption\n"' + "a" * (LONGEST_FIELD + 1))
    with pytest.raises(RequestError, match=r"a\.csv: field larger than field limit"):
        read_list(str(tmp_path / "a.csv"), Storage())


def test_the_licences_of_the_recordings_are_told_apart():
    licences = {recording.licence for recording in read_recordings()}
    assert {each for each in licences if is_permissive(each)} == {
        "CC0-1.0", "CC-BY-3.0", "Expat (MIT)", "BSD-2-Clause", "BSD-3-Clause", "Zlib",
        "public domain",
    }  # fmt: skip
    assert not any(map(is_permissive, ["CC-BY-NC-4.0", "CC-BY-ND-4.0", "CC-BY-SA-4.0", "GPL", "?"]))
