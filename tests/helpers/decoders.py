"""Find the processes that decode for a test."""

import psutil

from separator.media.decoder import PROGRAM


def list_decoders() -> list[psutil.Process]:
    """List the decoders that this process has started and that still run."""
    found = []
    for child in psutil.Process().children():
        try:
            if PROGRAM in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
