#!/usr/bin/env bash
# espeak-ng, fluidsynth and a General MIDI soundfont for made sounds and the tests marked `espeak`;
# npm for recordings, which come from its packages and from Debian's.
set -u
install="$(dirname "$0")/apt_install.sh"
command -v npm >/dev/null || bash "$install" npm npm || exit 1
if ! command -v espeak-ng >/dev/null || ! command -v fluidsynth >/dev/null ||
  ! compgen -G '/usr/share/sounds/sf2/*.sf2' >/dev/null; then
  exec bash "$install" \
    "espeak-ng or fluidsynth" espeak-ng fluidsynth fluid-soundfont-gm
fi
