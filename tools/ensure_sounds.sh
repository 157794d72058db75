#!/usr/bin/env bash
# Install espeak-ng, fluidsynth and a General MIDI soundfont for synthetic sounds and for tests marked
# `espeak`, and npm for recordings, which come from packages of npm and Debian.
set -u
install="$(dirname "$0")/apt_install.sh"
command -v npm >/dev/null || bash "$install" npm npm || exit 1
if ! command -v espeak-ng >/dev/null || ! command -v fluidsynth >/dev/null ||
  ! compgen -G '/usr/share/sounds/sf2/*.sf2' >/dev/null; then
  exec bash "$install" \
    "espeak-ng or fluidsynth" espeak-ng fluidsynth fluid-soundfont-gm
fi
