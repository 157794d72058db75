"""Train separators, detectors and the encoder of `mini`, on lists of sounds."""

import separator.run  # noqa: F401 - it prepares Ray's environment, before Ray is imported
