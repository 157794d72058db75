"""How the failure of a worker comes to the driver."""

import pickle

from ray.exceptions import RayTaskError

from separator.errors import AudioError
from separator.train.trainer import find_cause


def test_find_cause_gives_the_plain_error_of_a_readers_task():
    plain = AudioError("data.lists: 50 sounds")
    wrapped = RayTaskError("make_batch", "a long traceback", plain).as_instanceof_cause()
    assert isinstance(wrapped, AudioError) and type(wrapped) is not AudioError
    found = pickle.loads(pickle.dumps(find_cause(wrapped)))
    assert type(found) is AudioError and str(found) == "data.lists: 50 sounds"
    assert find_cause(plain) is plain
