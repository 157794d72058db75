#!/usr/bin/env bash
# Install Debian packages, or print how to install them and fail: apt_install.sh NAME PACKAGE...
set -u
name=$1; shift
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
options="-qq -o DPkg::Lock::Timeout=600"
if command -v apt-get >/dev/null; then
  echo "$name is missing, installing: $*"
  log=$(mktemp)
  if DEBIAN_FRONTEND=noninteractive bash -c "$sudo apt-get $options update &&
    $sudo apt-get $options install -y --no-install-recommends $*" >"$log" 2>&1
  then rm "$log"; exit 0; fi
  tail -n 3 "$log" >&2
fi
echo "$name is missing; install Debian's $* or what your system calls them, then run this again" >&2
exit 1
