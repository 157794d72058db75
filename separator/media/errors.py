"""What can be wrong with a media file or with the work on it. Each class has a stable `code`.

    MediaError                bad_media
    ├── MediaUnreadable       media_unreadable     not media, not a format we open, or not a file
    ├── MediaTruncated        media_truncated      ends before its own header says it does
    ├── MediaDamaged          media_damaged        too much of it cannot be decoded
    ├── NoAudio               no_audio             readable, without an audio stream
    ├── TrackMissing          track_missing        has audio, but none of the tracks asked for
    ├── LayoutUnsupported     layout_unsupported   a rate or channel count that cannot be handled
    ├── MediaTooLarge         media_too_large      over the limit of length, memory or output
    ├── DecoderCrashed        decoder_crashed      ffmpeg died of a signal
    ├── DecoderHung           decoder_hung         no progress, or over the time limit
    ├── ClippedError          clipped              over full scale, and the policy says error
    └── EncoderFailed         encoder_failed       the stem or the file could not be written

A caller turns these into failure rows; anything else is a bug.
"""

from separator.errors import SeparatorError


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


class ClippedError(MediaError):
    code = "clipped"


class EncoderFailed(MediaError):
    code = "encoder_failed"
