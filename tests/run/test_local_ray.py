"""Ray's own logs on the console."""

import logging

import ray.data

from separator.run.local_ray import quiet_loggers


def test_quiet_loggers_keeps_warnings_of_hangs_and_high_memory():
    assert ray.data.__name__ == "ray.data"  # importing it resets its loggers
    quiet_loggers()
    internal = "ray.data._internal"
    detector = logging.getLogger(f"{internal}.issue_detection.issue_detector_manager")
    assert detector.isEnabledFor(logging.WARNING)
    assert not logging.getLogger(f"{internal}.progress").isEnabledFor(logging.WARNING)
    executor = logging.getLogger(f"{internal}.execution.streaming_executor")
    assert not executor.isEnabledFor(logging.INFO) and executor.isEnabledFor(logging.WARNING)
