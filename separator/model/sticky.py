"""Tell errors of a device that last until the process ends from errors of one forward. Pure."""

# CUDA's messages of errors after which every later call of the process fails too. Running out of
# memory is not one of them.
STICKY_TEXTS = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "illegal address",
    "misaligned address",
    "invalid program counter",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "gpu is lost",
    "fallen off the bus",
    "no cuda-capable device",
    "device(s) is/are busy or unavailable",
    "driver shutting down",
)


def is_sticky(error: BaseException | None) -> bool:
    """Tell whether the device cannot be used any more by this process."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sticky in text for sticky in STICKY_TEXTS)
