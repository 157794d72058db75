"""An export of an output whose shards were made side by side."""

import pytest

from separator.errors import RequestError
from separator.export.select import select
from separator.results.paths import Layout
from separator.storage import Storage
from tests.helpers.export_library import make_config, make_records, write_manifest
from tests.helpers.runs import write_run


@pytest.mark.parametrize(
    ("runs", "unfinished"),
    [
        (["1/2 stopped", "2/2 finished"], "run 0 is stopped"),
        (["1/2 running", "2/2 finished"], "run 0 is silent"),
        (["1/2 stopped", "2/2 finished", "1/2 finished"], ""),
        (["1/2 stopped", "2/2 finished", " finished"], ""),
        (["1/4 stopped", "1/2 finished", "2/2 finished"], ""),
        (["1/9 stopped", *(f"{number}/9 finished" for number in range(2, 10))], "run 0 is stopped"),
        ([" stopped", "2/2 finished"], ""),
    ],
)
def test_output_of_an_unfinished_shard_is_refused(tmp_path, runs, unfinished):
    output = tmp_path / "out"
    write_manifest(Storage(), str(output), make_records(str(output), 2))
    for number, run in enumerate(runs):
        shard, state = run.split(" ")
        write_run(Layout(str(output), ""), f"{number}", state=state, shard=shard)
    if unfinished:
        with pytest.raises(RequestError, match=unfinished), select(Storage(), make_config(output)):
            pass
    with select(Storage(), make_config(output, f"input.unfinished={bool(unfinished)}")) as chosen:
        assert chosen.num_stems
