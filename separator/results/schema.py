"""Define the manifest's columns: names, Arrow types and what each says."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST_VERSION = "1"

Record = dict[str, Any]  # one manifest row, see COLUMNS

# name -> (Arrow type, what it says)
COLUMNS = {
    "run_id": ("string", "id of the run that made this row"),
    "asset_uri": ("string", "URI of the asset"),
    "asset_etag": ("string", "version of the asset: its etag, or its size and time in a folder"),
    "asset_bytes": ("int64", "size of the asset"),
    "track_index": (
        "int32",
        "number of the track among the audio streams of its asset; -1 if no track was reached",
    ),
    "track_language": ("string", "language tag of the track in the file"),
    "kind": ("string", "stem or rendition"),
    "query_name": ("string", "name of the query or of the rendition; its file has this name"),
    "query_text": ("string", "text of the query, empty for example sounds; gains of a rendition"),
    "status": (
        "string",
        "ok, failed, or absent: the score stays below half of the threshold, so there is no stem",
    ),
    "error_code": ("string", "stable code of the failure, see docs/errors.md; empty when ok"),
    "error_stage": ("string", "stage that failed: extract, detect, separate, publish or remux"),
    "error_detail": ("string", "one line that explains the failure"),
    "stem_uri": (
        "string",
        "URI of the stem or of the rendition; kept if only the remux of a rendition failed",
    ),
    "residual_uri": ("string", "URI of the track without this stem (joint: without all stems)"),
    "remux_uri": ("string", "URI of the copy of the asset that has this rendition as its sound"),
    "null_error": (
        "float32",
        "largest difference between stem + residual and the decoded track; 0: none in any bit",
    ),
    "rate_hz": (
        "int32",
        "sample rate of the track and its stem; ogg, mp3 and m4a may have to store another rate",
    ),
    "num_channels": ("int32", "channels of the stem"),
    "num_samples": ("int64", "samples of the stem in each channel"),
    "duration_s": ("float64", "num_samples / rate_hz"),
    "rms_db": ("float32", "RMS level of the stem in dB against full scale; -200 is silence"),
    "peak_db": ("float32", "largest sample of the stem in dB against full scale"),
    "loudness_lufs": ("float32", "integrated loudness of the stem (EBU R128); -70 is silence"),
    "true_peak_dbtp": ("float32", "true peak of the stem: the largest value, also between samples"),
    "active_share": (
        "float32",
        "share of the stem's 0.1 s stretches that are within 20 LU of its loudness",
    ),
    "energy_share": ("float32", "energy of the stem divided by the energy of the track"),
    "similarity": (
        "float32",
        "how much the loudest seconds of the stem sound like the query, -1 to 1: see docs/job.md",
    ),
    "residual_similarity": (
        "float32",
        "the same measure for the residual: low if nothing of the sound was left in it",
    ),
    "num_clipped": ("int64", "number of samples that were over full scale"),
    "warning": ("string", "what a user should know about a stem that is ok"),
    "decode_warnings": (
        "string",
        "what the decoder did to the samples: gaps filled, resampled ...",
    ),
    "carried": ("string", "JSON: the columns of the list that input.carry names"),
    "model_name": ("string", "model.name of the config"),
    "checkpoint_sha256": ("string", "sha256 of the model's weights"),
    "request": (
        "string",
        "id of the work item: a hash of asset version, query, tracks, checkpoint and settings",
    ),
    "fingerprint": (
        "string",
        "hash of request and track: it changes whenever the stem would change",
    ),
    "query_kind": (
        "string",
        "kind of the query: text, audio, image or video; null in older rows: text",
    ),
    "query_source": (
        "string",
        "JSON: files and folders of the query's example sounds, as in the config",
    ),
    "presence": (
        "list<struct<start_s: double, stop_s: double, score: float>>",
        "stretches of the track in which the query sounds; null: not measured",
    ),
    "presence_score": ("float32", "highest score of the query anywhere in the track, 0 to 1"),
    "presence_share": (
        "float32",
        "share of the track's length that the stretches of `presence` cover",
    ),
    "presence_by": (
        "string",
        "what measured presence: classes (of a detector), similarity or stem",
    ),
    "track_streams": (
        "list<int32>",
        "mono streams that were joined to this track (input.group), one a channel; else null",
    ),
    "frame_rate": (
        "string",
        "frame rate of the asset's picture, such as 30000/1001; empty without a picture",
    ),
    "timecode": ("string", "time code of the asset's first frame; empty if it has none"),
    "gain_db": (
        "float32",
        "gain that clip=scale or loudness_lufs gave the file; minus it: the level before",
    ),
    "created_at": ("timestamp[us, tz=UTC]", "time of the commit"),
}


def make_schema() -> "pa.Schema":
    """Make the manifest's Arrow schema."""
    import pyarrow as pa  # imported here, because the import takes 0.2 s

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
