"""`separator report`; tests/flow/test_demo.py has previews that are made on Ray."""

from pathlib import Path

import ray

from jobs.cli import main
from separator.results.paths import Layout, name_presence
from separator.storage import Storage
from tests.helpers.report_library import Made, write_output, write_site


def write_config(made: Made) -> str:
    path = made.root / "c.yaml"
    path.write_text(f"output: {made.output}\nreport: {{most: 5}}\n")
    return str(path)


def test_report_of_what_is_previewed_starts_no_ray_and_names_the_page(tmp_path, capsys):
    made = write_output(tmp_path, ["a.wav"], 0.5)
    write_site(made)
    page = made.output / "report/index.html"
    page.unlink()
    assert main(["report", write_config(made)]) == 0
    assert f"look and listen: {page}" in capsys.readouterr().out
    assert page.exists() and not ray.is_initialized()


def test_report_of_a_place_without_a_run_is_one_line_and_2(tmp_path, capsys):
    config = write_config(Made(tmp_path, []))
    assert main(["report", config]) == 2
    assert "no run has written there" in capsys.readouterr().err
    assert main(["report", config, "report.most=0"]) == 2
    assert "report.most=0" in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()


def test_report_of_a_place_where_detect_alone_has_run_asks_for_a_run(tmp_path, capsys):
    made = Made(tmp_path, [])
    Storage().write(Layout(name_presence(str(made.output)), "").run("r"), b"{}")
    assert main(["report", write_config(made)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "only `separator detect` has run there" in line and "`separator run`" in line
    assert not (made.output / "report").exists()
