#!/usr/bin/env bash
# Install Ceph's object gateway for the tests marked `gateway`, by apt-get.
set -u
command -v radosgw >/dev/null && command -v ceph-mon >/dev/null && command -v ceph-osd >/dev/null && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
install="apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-common radosgw"
if command -v apt-get >/dev/null && [ "$(uname -s)" = Linux ]; then
  echo "Ceph's gateway is missing, installing: $install"
  if DEBIAN_FRONTEND=noninteractive bash -c "$sudo apt-get update -qq && $sudo $install -qq" >/tmp/ensure_rgw.log 2>&1
  then exit 0; fi
  tail -n 3 /tmp/ensure_rgw.log >&2
fi
echo "Ceph's gateway is missing, so tests marked gateway cannot run (strict S3: wrong keys, racing writers, restarts); $install" >&2
exit 1
