"""A finished output as a training set: chosen by its manifest, in shards, split by asset."""
