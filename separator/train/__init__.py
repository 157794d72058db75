"""Train the separator, and the encoder of `mini`, on lists of captioned sounds."""

import os

# Ray reads this once, when it is imported: the restart after a dead worker has a line of its own.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
