#!/usr/bin/env bash
# espeak-ng, fluidsynth and a General MIDI soundfont for the tests marked `espeak`.
set -u
if ! command -v espeak-ng >/dev/null || ! command -v fluidsynth >/dev/null ||
  ! compgen -G '/usr/share/sounds/sf2/*.sf2' >/dev/null; then
  exec bash "$(dirname "$0")/apt_install.sh" \
    "espeak-ng or fluidsynth" espeak-ng fluidsynth fluid-soundfont-gm
fi
