"""Define every failure a caller may want to tell apart. Each class has a stable `code` for records
and says with `may_pass` whether a later run, with nothing changed, may succeed (marked * below).

    SeparatorError              error
    ├── RequestError            bad_request            (also ValueError) it cannot be done
    │   ├── OutputTaken         output_taken           another run is at work on the output
    │   ├── QueryError          bad_query
    │   └── RateError           bad_rate
    ├── AudioError              bad_audio              (also ValueError) the samples cannot be used
    │   └── NonFiniteAudio      non_finite_audio
    ├── CheckpointError         bad_checkpoint
    │   ├── CheckpointMissing   checkpoint_missing     not in the cache, cannot be fetched
    │   ├── CheckpointTruncated checkpoint_truncated   not whole, or not a checkpoint at all
    │   ├── CheckpointMismatch  checkpoint_mismatch    whole, but of another network
    │   ├── CheckpointUnsafe    checkpoint_unsafe      wants to run code while it is read
    │   └── ChecksumMismatch    checksum_mismatch      not the bytes that were published
    ├── EncoderError            bad_encoder            the text or audio encoder cannot be used
    │   ├── EncoderMissing      encoder_missing        package, weights or tokenizer files absent
    │   └── TokenizerBroken     tokenizer_broken       would map every text to the same tokens
    ├── StorageError            storage_error*         a place that cannot be read or written
    │   ├── BucketMissing       bucket_missing
    │   ├── ObjectMissing       object_missing
    │   ├── ObjectChanged       object_changed*        changed since it was listed
    │   ├── ObjectExists        object_exists          another writer was first
    │   ├── AccessDenied        access_denied*
    │   ├── TokenExpired        token_expired*
    │   ├── WrongRegion         wrong_region
    │   ├── DiskFull            disk_full*
    │   ├── OutputDamaged       output_damaged         a file of the output is not whole, or foreign
    │   └── StorageBusy         storage_busy*          is likely to work later
    │       ├── Throttled       throttled*
    │       ├── TimedOut        timed_out*
    │       └── Unreachable     unreachable*
    ├── MediaError              bad_media              a media file that cannot be processed
    │   ├── MediaUnreadable     media_unreadable       not media, or not a format we open
    │   ├── MediaTruncated      media_truncated        ends before its own header says it does
    │   ├── MediaDamaged        media_damaged          too much of it cannot be decoded
    │   ├── NoAudio             no_audio               readable, without an audio stream
    │   ├── TrackMissing        track_missing          has audio, but none of the tracks asked for
    │   ├── LayoutUnsupported   layout_unsupported     a rate or channel count we cannot handle
    │   ├── MediaTooLarge       media_too_large        over the limit of length, memory or output
    │   ├── DecoderCrashed      decoder_crashed        ffmpeg died of a signal
    │   ├── DecoderHung         decoder_hung*          no progress, or over the time limit
    │   ├── ClippedError        clipped                over full scale, and the policy says error
    │   └── EncoderFailed       encoder_failed         the stem or the file could not be written
    ├── ClusterUnreachable      cluster_unreachable    no Ray starts, or its cluster is gone
    ├── DeviceFailed            device_failed          no device is left that works
    ├── NoProgress              no_progress            nothing has moved for `run.no_progress_s`
    ├── LockLost                lock_lost              another run took this run's lock over
    ├── WorkerCrashed           worker_crashed*        an asset killed its worker on each try
    └── LossNotFinite           loss_not_finite        training diverged; its batch was saved

A message shows the value and the way out. Anything that is not a SeparatorError is a bug.
"""

from importlib.util import find_spec


class SeparatorError(Exception):
    code = "error"
    may_pass = False


class RequestError(SeparatorError, ValueError):
    code = "bad_request"


class QueryError(RequestError):
    code = "bad_query"


class OutputTaken(RequestError):
    code = "output_taken"


class RateError(RequestError):
    code = "bad_rate"


class AudioError(SeparatorError, ValueError):
    code = "bad_audio"


class NonFiniteAudio(AudioError):
    code = "non_finite_audio"


class CheckpointError(SeparatorError):
    code = "bad_checkpoint"


class CheckpointMissing(CheckpointError):
    code = "checkpoint_missing"


class CheckpointTruncated(CheckpointError):
    code = "checkpoint_truncated"


class CheckpointMismatch(CheckpointError):
    code = "checkpoint_mismatch"


class CheckpointUnsafe(CheckpointError):
    code = "checkpoint_unsafe"


class ChecksumMismatch(CheckpointError):
    code = "checksum_mismatch"


class EncoderError(SeparatorError):
    code = "bad_encoder"


class EncoderMissing(EncoderError):
    code = "encoder_missing"


class TokenizerBroken(EncoderError):
    code = "tokenizer_broken"


class StorageError(SeparatorError):
    code = "storage_error"
    may_pass = True


class BucketMissing(StorageError):
    code = "bucket_missing"
    may_pass = False


class ObjectMissing(StorageError):
    code = "object_missing"
    may_pass = False


class ObjectChanged(StorageError):
    code = "object_changed"


class ObjectExists(StorageError):
    code = "object_exists"
    may_pass = False


class AccessDenied(StorageError):
    code = "access_denied"


class TokenExpired(StorageError):
    code = "token_expired"


class WrongRegion(StorageError):
    code = "wrong_region"
    may_pass = False


class DiskFull(StorageError):
    code = "disk_full"


class OutputDamaged(StorageError):
    code = "output_damaged"
    may_pass = False


class StorageBusy(StorageError):
    code = "storage_busy"


class Throttled(StorageBusy):
    code = "throttled"


class TimedOut(StorageBusy):
    code = "timed_out"


class Unreachable(StorageBusy):
    code = "unreachable"


class MediaError(SeparatorError):
    code = "bad_media"


class MediaUnreadable(MediaError):
    code = "media_unreadable"


class MediaTruncated(MediaError):
    code = "media_truncated"


class MediaDamaged(MediaError):
    code = "media_damaged"


class NoAudio(MediaError):
    code = "no_audio"


class TrackMissing(MediaError):
    code = "track_missing"


class LayoutUnsupported(MediaError):
    code = "layout_unsupported"


class MediaTooLarge(MediaError):
    code = "media_too_large"


class DecoderCrashed(MediaError):
    code = "decoder_crashed"


class DecoderHung(MediaError):
    code = "decoder_hung"
    may_pass = True


class ClippedError(MediaError):
    code = "clipped"


class EncoderFailed(MediaError):
    code = "encoder_failed"


class ClusterUnreachable(SeparatorError):
    code = "cluster_unreachable"


class DeviceFailed(SeparatorError):
    code = "device_failed"


class NoProgress(SeparatorError):
    code = "no_progress"


class LockLost(SeparatorError):
    code = "lock_lost"


class WorkerCrashed(SeparatorError):
    code = "worker_crashed"
    may_pass = True


class LossNotFinite(SeparatorError):
    code = "loss_not_finite"


def tell_install(extra: str = "") -> str:
    """Tell how to install a missing package; `extra` names the extra that contains it."""
    made, what = ("dev", f"'.[{extra}]'") if extra else ("env", ".")
    return (
        f"`make {made}` in the checkout, or `uv pip install --python .venv/bin/python {what}` there"
    )


def check_installed(module: str, extra: str, name: str = "") -> None:
    """Refuse to begin without a package of an extra."""
    if find_spec(module) is None:
        raise RequestError(f"{name or module} is not installed: {tell_install(extra)}")


def find_error(code: str, root: type[SeparatorError] = SeparatorError) -> type[SeparatorError]:
    """Find the topmost class with a code; SeparatorError if there is none."""
    if root.code == code:
        return root
    below = (find_error(code, child) for child in root.__subclasses__())
    return next((found for found in below if found.code == code), SeparatorError)


def list_passing_codes(root: type[SeparatorError] = SeparatorError) -> set[str]:
    """Collect the codes of all errors that may pass."""
    below = (list_passing_codes(child) for child in root.__subclasses__())
    return set().union({root.code} if root.may_pass else set(), *below)
