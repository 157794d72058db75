"""Count the CPUs that a run may use."""

from separator.machine import count_cpus

__all__ = ["count_cpus"]
