"""Define the manifest's columns: names, Arrow types and what each says."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = "1"

Record = dict[str, Any]  # one manifest row, see COLUMNS

# name -> (Arrow type, what it says)
COLUMNS = {
    "run_id": ("string", "the run that made it"),
    "asset_uri": ("string", "where the asset lies"),
    "asset_etag": ("string", "its version"),
    "asset_bytes": ("int64", "its size"),
    "track_index": ("int32", "among its audio streams; -1 where none was reached"),
    "track_language": ("string", "as the file says it"),
    "kind": ("string", "stem or rendition"),
    "query_name": ("string", "the stem's file name, or the rendition's"),
    "query_text": ("string", "what was asked for; of a rendition its gains; empty for sounds"),
    "status": (
        "string",
        "ok, absent (its score stays below half of the threshold: no stem) or failed",
    ),
    "error_code": ("string", "stable, see docs/errors.md; empty when ok"),
    "error_stage": ("string", "extract, detect, separate, publish or remux"),
    "error_detail": ("string", "one line"),
    "stem_uri": ("string", "where the stem lies; of a rendition also where only its remux failed"),
    "residual_uri": ("string", "where the track without it lies (joint: without all stems)"),
    "remux_uri": ("string", "of a rendition: the asset with this sound"),
    "null_error": (
        "float32",
        "0: stem + residual is the decoded track, to the bit; else how far off",
    ),
    "rate_hz": ("int32", "of the track and its stem; ogg, mp3 and m4a may have to store another"),
    "num_channels": ("int32", "of the stem"),
    "num_samples": ("int64", "per channel"),
    "duration_s": ("float64", "num_samples / rate_hz"),
    "rms_db": ("float32", "of the stem, against full scale; -200 is silence"),
    "peak_db": ("float32", "its largest sample"),
    "loudness_lufs": ("float32", "integrated, EBU R128; -70 is silence"),
    "true_peak_dbtp": ("float32", "between samples too"),
    "active_share": ("float32", "of its 0.1 s stretches, those near its own loudness: where it is"),
    "energy_share": ("float32", "of the stem in the track"),
    "similarity": (
        "float32",
        "to the query, of its loudest seconds, -1 to 1: see docs/job.md",
    ),
    "residual_similarity": ("float32", "the same of the residual: low where nothing was left"),
    "num_clipped": ("int64", "samples that were over full scale"),
    "warning": ("string", "what to know of a stem that is ok"),
    "decode_warnings": (
        "string",
        "what the decoder did to the samples: gaps filled, resampled ...",
    ),
    "carried": ("string", "JSON: the columns of the list named by input.carry"),
    "model_name": ("string", "as in the config"),
    "checkpoint_sha256": ("string", "of its weights"),
    "request": (
        "string",
        "id of its work item: a hash of asset version, query, tracks, checkpoint and settings",
    ),
    "fingerprint": ("string", "the same with the track: what changes a stem changes it"),
    "query_kind": ("string", "of a stem: text, audio, image or video; null in older rows: text"),
    "query_source": ("string", "of example sounds, JSON: files and folders, as in the config"),
    "presence": (
        "list<struct<start_s: double, stop_s: double, score: float>>",
        "of a stem: where its query sounds in the track; null: not measured",
    ),
    "presence_score": ("float32", "the highest score anywhere in the track, 0 to 1"),
    "presence_share": ("float32", "of the track's length that the stretches of `presence` cover"),
    "presence_by": ("string", "what measured it: classes (of a detector), similarity or stem"),
    "track_streams": (
        "list<int32>",
        "of a track that joins mono streams (input.group): these, one a channel; else null",
    ),
    "frame_rate": ("string", "of the asset's picture, such as 30000/1001; empty without one"),
    "timecode": ("string", "of its first frame; empty where it has none"),
    "gain_db": ("float32", "of the file, by clip=scale or loudness_lufs; without it: as separated"),
    "created_at": ("timestamp[us, tz=UTC]", "when it was committed"),
}


def make_schema() -> "pa.Schema":
    """Make the manifest's Arrow schema."""
    import pyarrow as pa  # imported here: it costs 0.2 s

    stretch = pa.struct(
        [("start_s", pa.float64()), ("stop_s", pa.float64()), ("score", pa.float32())]
    )
    types = {
        "timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"),
        "list<int32>": pa.list_(pa.field("element", pa.int32())),
        "list<struct<start_s: double, stop_s: double, score: float>>": pa.list_(
            pa.field("element", stretch)  # as Parquet names it
        ),
    }
    fields = [
        pa.field(name, types.get(kind) or pa.type_for_alias(kind), metadata={"about": about})
        for name, (kind, about) in COLUMNS.items()
    ]
    return pa.schema(fields, metadata={"manifest_version": MANIFEST_VERSION})
