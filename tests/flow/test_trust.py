"""What a hostile library, list or output does to a run: nothing is lost, nothing is lied about."""

import shutil

import pytest

from jobs.cli import main
from separator.results.paths import is_told_apart
from tests.helpers.job import (
    QUERIES,
    check_whole,
    read_manifest,
    read_stems,
    run_job,
    write_config,
    write_sound,
)

MORE = QUERIES[:-1] + ', "a bell ringing"]'


@pytest.mark.slow
def test_two_libraries_in_one_output_keep_their_stems_apart(tmp_path):
    """And a commit file that was damaged meanwhile costs nothing."""
    out, configs = tmp_path / "out", {}
    for number, name in enumerate("ab"):
        write_sound(tmp_path / name / "x.wav", ("man", "siren"), 1, number)
        path = tmp_path / f"{name}.yaml"
        configs[name] = write_config(path, str(tmp_path / name), str(out))
    run_job(configs["a"])
    before = read_stems(out)
    assert "have the path of another asset" in run_job(configs["b"])
    assert before.items() <= read_stems(out).items() and len(read_stems(out)) == 4
    for config in configs.values():
        assert "nothing to do" in run_job(config)
    manifest = check_whole(out)
    for row in manifest.itertuples():
        assert is_told_apart(row.stem_uri, row.asset_uri) == ("/b/" in row.asset_uri)
    record = out / "stems/x.wav/record.json"
    record.write_bytes(record.read_bytes()[:100])
    write_config(configs["a"], str(tmp_path / "a"), str(out), MORE)
    assert f"{record}: is no JSON" in run_job(configs["a"])
    assert len(check_whole(out)) == 5 and before.items() <= read_stems(out).items()


@pytest.fixture
def bad_list(tmp_path) -> list[str]:
    """Arguments of a run on a list none of whose rows can be worked on."""
    rows = ["7", '{"uri": "gone.wav"}', '{"uri": "https://host/x.wav?token=hunter2"}', '{"a": 1}']
    (tmp_path / "list.jsonl").write_text(
        '{"uri": "s3://user:hunter2@bucket/x.wav"}\n' + "\n".join(rows)
    )
    config = write_config(tmp_path / "c.yaml", f"{tmp_path}/list.jsonl", f"{tmp_path}/out")
    return ["run", str(config)]


def test_a_list_that_cannot_be_worked_on_is_recorded_without_ray(bad_list, tmp_path, capsys):
    assert main(bad_list) == 3
    console = capsys.readouterr().out
    assert "starting Ray" not in console and "bad_request" in console
    manifest = check_whole(tmp_path / "out")
    codes = dict(zip(manifest.asset_uri, manifest.error_code, strict=True))
    assert codes == {
        "s3://***@bucket/x.wav": "bad_request",
        f"{tmp_path}/list.jsonl#row-2": "bad_request",
        f"{tmp_path}/gone.wav": "object_missing",
        "https://host/x.wav?***": "bad_request",
        f"{tmp_path}/list.jsonl#row-5": "bad_request",
    }
    texts = [p.read_text(errors="replace") for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert not any("hunter2" in text for text in texts)


def test_failures_for_good_are_left_alone_and_said(bad_list, tmp_path, capsys):
    main(bad_list)
    capsys.readouterr()
    before = read_manifest(tmp_path / "out")
    assert main(bad_list) == 3
    console = capsys.readouterr().out
    assert "failed before 5" in console and "separator retry" in console
    assert "nothing to do" not in console
    assert main([*bad_list, "run.failed_assets=ok"]) == 0
    capsys.readouterr()
    assert before.equals(read_manifest(tmp_path / "out"))
    assert main(["retry", *bad_list[1:]]) == 3
    assert "failed 5" in capsys.readouterr().out
    after = read_manifest(tmp_path / "out")
    assert len(after) == len(before) and not after.created_at.equals(before.created_at)


@pytest.mark.slow
def test_an_asset_that_is_away_for_a_run_keeps_its_stems(library, tmp_path, capsys):
    """A list on a disk that is not mounted, say: the stems stay, and so do their rows."""
    changed, out = tmp_path / "library", tmp_path / "out"
    changed.mkdir()
    shutil.copy(library / "talk.wav", changed)
    (tmp_path / "list.txt").write_text("library/talk.wav\n")
    config = write_config(tmp_path / "c.yaml", f"{tmp_path}/list.txt", str(out))
    run_job(config)
    before, rows = read_stems(out), read_manifest(out)
    changed.rename(tmp_path / "away")
    for _ in range(2):
        assert main(["run", str(config)]) == 3
    capsys.readouterr()
    assert read_stems(out) == before
    assert main(["failures", str(config)]) == 0
    assert "object_missing" in capsys.readouterr().out
    assert sorted(read_manifest(out).error_code) == ["", "", "object_missing", "object_missing"]
    (tmp_path / "away").rename(changed)
    run_job(config)
    assert read_stems(out) == before
    again = check_whole(out).drop(columns="created_at")
    assert again.equals(rows.drop(columns="created_at"))
