"""Find where queries are heard, without separating anything.

Writes a manifest of its own into output.uri/presence, which `find` and `markers` read, at a small
part of the cost of `run`. Names the queries that no detector knows, and does not listen for them.
"""

import argparse
import sys

from jobs.command import JOB_KEYS, Command, add_config_arguments
from jobs.separate import EXAMPLE, separate


def run(options: argparse.Namespace) -> int:
    return separate(options.config, options.overrides, is_detection=True)


DETECT = Command("detect", "jobs.detect", __doc__, add_config_arguments, run, JOB_KEYS, EXAMPLE)
main = DETECT.main

if __name__ == "__main__":
    sys.exit(main())
