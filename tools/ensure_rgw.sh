#!/usr/bin/env bash
# Ceph's object gateway for the tests marked `gateway`: a store that refuses wrong keys.
set -u
for program in ceph-mon ceph-osd radosgw; do
  command -v $program >/dev/null || exec bash "$(dirname "$0")/apt_install.sh" \
    "Ceph's gateway" ceph-mon ceph-osd ceph-common radosgw
done
