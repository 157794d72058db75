"""Put a rendition back under its picture: copy the asset with the rendition as its sound.

Knows storage and containers, not how the rendition was made.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from separator.errors import LayoutUnsupported
from separator.media.decoder import close_probed_files
from separator.media.formats import FORMATS, Format, choose_layout
from separator.media.groups import find_track
from separator.media.mux import MUXERS, SOUND_FORMATS, MuxSettings, NewTrack, put_tracks
from separator.media.mxf import holds_mxf
from separator.media.probe import Media, Track, probe
from separator.results.paths import Layout, find_file_name
from separator.rows import NO_TRACK, REMUX, RENDITION, Failed, Remuxed, Seconds, fail
from separator.stages.collect import Remux
from separator.stages.extract import ASSET_ERRORS, make_entry
from separator.storage import Storage
from separator.storage.temporary import temporary_folder

PICTURES = ("video", "subtitle")
WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis", "webvtt"}
# libav's name of a container, where its muxer has another name.
CONTAINERS = {"ipod": "mov"}
# Codecs that ffmpeg writes into mov and not into mp4, by the beginnings of their names.
MOV_ALONE = ("pcm_", "adpcm_", "amr_", "h263", "prores", "dnxhd", "eia_608")


@dataclass(frozen=True)
class Remuxer:
    """The stage as a value, which travels to each worker once. `how`: replace or add the tracks."""

    storage: Storage
    layout: Layout
    how: str
    settings: MuxSettings

    def __call__(self, command: Remux) -> Remuxed | Failed:
        started = time.monotonic()
        try:
            done = Remuxed(command.asset, command.name, self._remux(command))
        except ASSET_ERRORS as error:
            of = (command.asset, NO_TRACK, len(command.tracks))
            done = fail(of, error, "remux", kind=REMUX, name=command.name)
        finally:
            close_probed_files()  # decoders close the local copies, which are deleted by now
        return replace(done, seconds=Seconds(publish=time.monotonic() - started))

    def _remux(self, command: Remux) -> str:
        asset, name = command.asset, command.name
        with (
            temporary_folder() as folder,
            self.storage.on_disk(make_entry(asset), folder) as path,
        ):
            media = probe(path)
            # Take the suffix from the URI: `asset.path` loses the end of a long name.
            own = Path(find_file_name(asset.uri)).suffix.lower()
            named = [at for info in command.tracks for at in info.streams or (info.index,)]
            replaced = [] if self.how == "add" else named
            suffix = choose_suffix(own, media, replaced, self.settings.codec)
            tracks: list[NewTrack] = []
            for info in command.tracks:
                mix_path = folder / f"mix-{info.index}.{self.layout.extension}"
                uri = self.layout.stem(asset.path, info.index, RENDITION, name)
                self.storage.fetch(uri, mix_path)
                old = find_track(path, media, info.index, info.streams)
                tracks += self._make_tracks(old, mix_path, name)
            output_path = folder / f"whole{suffix}"
            put_tracks(path, media, tracks, output_path, self.settings)
            uri = self.layout.remux(asset.path, name, suffix)
            self.storage.upload(output_path, uri)
        return uri

    def _make_tracks(self, old: Track, mix_path: Path, name: str) -> list[NewTrack]:
        """List the new tracks for a mix: one, or one for each stream of a group to replace."""
        if self.how == "add":
            return [NewTrack(mix_path, old.language, name)]
        if not old.streams:
            return [NewTrack(mix_path, replaces=old)]
        return [
            NewTrack(mix_path, replaces=stream, channel=channel)
            for channel, stream in enumerate(old.streams)
        ]


def choose_suffix(
    suffix: str, media: Media, replaced: Sequence[int], codec: str | None = None
) -> str:
    """Keep the container of the asset if it can hold the new sound and the copied streams; else
    choose one that can: Matroska, mov or mp4.

    Asset names may have a wrong ending. `replaced`: indexes of the tracks that are replaced;
    `codec`: of the new sound, if it is set.
    """
    containers = media.container.split(",")
    has_picture = any(kind in PICTURES for kind in media.stream_kinds)
    if "mxf" in containers and has_picture:
        return ".mxf" if holds_mxf(media) else ".mov"
    muxer, _ = MUXERS.get(suffix, ("", ""))
    copied = {track.codec for track in media.tracks if track.index not in replaced}
    if media.video is not None:
        copied.add(media.video.codec)
    subtitles = {
        codec
        for kind, codec in zip(media.stream_kinds, media.codecs, strict=True)
        if kind == "subtitle"
    }
    copied |= subtitles
    if muxer in containers and muxer != "mxf" and suffix not in SOUND_FORMATS:
        if muxer == "mp4" and not fits_mp4(copied):
            return ".mov"
        if muxer == "mpegts" and "pcm_bluray" in copied:  # ffmpeg would write it as data
            return ".mkv" if has_picture else ".mka"
        if muxer != "webm" or is_webm(media):
            return suffix
    if "mpegts" in containers and "" in subtitles:  # teletext, which libav does not decode
        return ".ts"
    if "mov" in containers and has_picture:
        # Matroska does not take mov's subtitles. A master keeps PCM, which mp4 does not take.
        is_master = any(track.codec.startswith("pcm_") for track in media.tracks)
        return ".mov" if is_master or not fits_mp4(copied) else ".mp4"
    (track, *more) = media.tracks
    if replaced and not more and not has_picture and not codec:
        for own in (suffix, f".{containers[0]}"):  # the ending that the file has, or should have
            form = FORMATS.get(SOUND_FORMATS.get(own, ""))
            if form and CONTAINERS.get(form.muxer, form.muxer) in containers and fits(form, track):
                return own
    return ".mkv" if has_picture else ".mka"


def fits(form: Format, track: Track) -> bool:
    """Tell whether a format holds the channels of a track."""
    try:
        choose_layout(form, track.num_channels, track.layout)
    except LayoutUnsupported:
        return False
    return True


def fits_mp4(codecs: Iterable[str]) -> bool:
    """Tell whether ffmpeg writes streams of these codecs into mp4, and not into mov alone."""
    return not any(codec.startswith(MOV_ALONE) for codec in codecs)


def is_webm(media: Media) -> bool:
    """Tell whether a file that libav calls "matroska,webm" is WebM, which allows few codecs."""
    return set(media.codecs) <= WEBM_CODECS and "attachment" not in media.stream_kinds
