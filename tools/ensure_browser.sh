#!/usr/bin/env bash
# Chromium, fonts for names in many scripts, and npm for the tests marked `browser`.
set -u
install="$(dirname "$0")/apt_install.sh"
if ! command -v chromium >/dev/null; then
  bash "$install" Chromium chromium fonts-dejavu-core fonts-noto-color-emoji || exit 1
fi
command -v npm >/dev/null || exec bash "$install" npm npm
