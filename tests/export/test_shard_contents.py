"""The index of a shard: written, read again, and of earlier versions."""

import json
from datetime import UTC, datetime

from jobs.export import print_summary
from separator.export.shard_contents import Contents, ShardFile
from tests.helpers.export_library import make_config


def make_contents() -> Contents:
    contents = Contents("train")
    for day in (4, 2, 3):
        row = {"duration_s": 2.5, "created_at": datetime(2026, 1, day, tzinfo=UTC)}
        row |= {"query_text": "a dog", "licence": "", "model_name": "mini"}
        contents.add(row | {"checkpoint_sha256": "abc"}, ".flac")
    contents.files = [ShardFile("data/a.tar", 7, "12"), ShardFile("data/b.tar", 5, "34")]
    return contents


def test_contents_are_the_same_after_writing_and_reading():
    contents = make_contents()
    contents.missing = ["/stems/\udcff.flac"]
    again = Contents.from_json(contents.to_json())
    assert (
        again == contents and again.num_bytes == 12 and again.days == ["2026-01-02", "2026-01-04"]
    )


def test_contents_count_example_sounds_by_the_name_of_their_query():
    contents = make_contents()
    row = {"duration_s": 1.0, "created_at": datetime(2026, 1, 1, tzinfo=UTC), "query_text": ""}
    row |= {"query_name": "bird", "licence": "", "model_name": "m", "checkpoint_sha256": "abc"}
    contents.add(row, ".flac")
    assert contents.counts["query_text"] == {"a dog": 3, "bird": 1}


def test_shard_is_whole_if_nothing_is_missing_and_its_hashes_are_known():
    contents = make_contents()
    assert contents.is_whole
    contents.missing = ["/stems/a.flac"]
    assert not contents.is_whole
    # As earlier versions wrote it: the shard is written again, to the same bytes.
    one = make_contents()
    del one.counts["network"]
    assert not one.is_whole
    old = {"split": "train", "num_stems": 1, "seconds": 2.5, "num_bytes": 9}
    assert not Contents.from_json(json.dumps(old).encode()).is_whole


def test_summary_names_what_is_left_out_and_types_that_one_reader_refuses(tmp_path, capsys):
    contents, config = make_contents(), make_config(tmp_path)
    print_summary([contents], config)
    usual = capsys.readouterr().out
    assert "would clip" not in usual and "several types" not in usual
    contents.too_loud = ["/stems/loud.flac"]
    contents.counts["suffix"][".wav"] = 1
    print_summary([contents], config)
    out = capsys.readouterr().out
    assert "1 stems are left out, their mixtures would clip" in out
    assert "stems of several types (.flac, .wav): " in out
    print_summary([contents], make_config(tmp_path, "output.format=parquet"))
    assert "several types" not in capsys.readouterr().out
