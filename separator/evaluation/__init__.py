"""Measure models: lists of cases, and the benchmarks of the papers as their authors run them."""
