#!/usr/bin/env bash
# Install Chromium, fonts for many scripts, and axe-core (npm), for the tests marked `browser`.
set -u
install="$(dirname "$0")/apt_install.sh"
if ! command -v chromium >/dev/null; then
  bash "$install" Chromium chromium fonts-dejavu-core fonts-noto-color-emoji || exit 1
fi
command -v npm >/dev/null || bash "$install" npm npm || exit 1
axe="$(dirname "$0")/../.axe"
[ -e "$axe/node_modules/axe-core/axe.min.js" ] && exit 0
mkdir -p "$axe"
npm install --silent --no-audit --no-fund --no-save --prefix "$axe" axe-core@4
