#!/usr/bin/env bash
# Install ffmpeg and ffprobe with the system's package manager, or print how to install them.
set -u
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null; then
  install="apt-get install -y --no-install-recommends ffmpeg"
  attempt="$sudo apt-get update -qq && $sudo $install -qq"
elif command -v dnf >/dev/null; then install="dnf install -y ffmpeg-free"; attempt="$sudo $install"
elif command -v pacman >/dev/null; then install="pacman -S --noconfirm ffmpeg"; attempt="$sudo $install"
elif command -v apk >/dev/null; then install="apk add ffmpeg"; attempt="$sudo $install"
elif command -v brew >/dev/null; then install="brew install ffmpeg"; attempt="$install"
else echo "ffmpeg is missing: install ffmpeg 5 or newer with ffprobe, then run this again" >&2; exit 1
fi
echo "ffmpeg is missing, installing: $install"
if DEBIAN_FRONTEND=noninteractive bash -c "$attempt" >/tmp/ensure_ffmpeg.log 2>&1; then exit 0; fi
tail -n 3 /tmp/ensure_ffmpeg.log >&2
echo "could not install ffmpeg; run as root: $install" >&2
exit 1
