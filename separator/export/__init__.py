"""Turn a finished output into a data set: stems selected by their rows, in shards and splits."""
