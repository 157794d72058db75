"""Run the job on Ray. Importing this package mutes one of Ray's notices, see below."""

import os

# Ray reads this once, when it is imported. A dead worker is a line in the log, not on the console.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
