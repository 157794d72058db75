#!/usr/bin/env bash
# Install Ceph's object gateway for the tests marked `gateway`: an S3 store that refuses wrong keys.
set -u
for program in ceph-mon ceph-osd radosgw; do
  command -v $program >/dev/null || exec bash "$(dirname "$0")/apt_install.sh" \
    "Ceph's gateway" ceph-mon ceph-osd ceph-common radosgw
done
