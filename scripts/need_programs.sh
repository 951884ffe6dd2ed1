#!/bin/sh
# Programs that tests hold konsil against: age opens our payloads, Ceph's radosgw is the strict S3 server,
# dciodvfy judges DICOM segmentations.
set -eu
missing=""
command -v age >/dev/null 2>&1 || missing="age"
command -v radosgw >/dev/null 2>&1 || missing="$missing radosgw ceph-mon ceph-osd ceph-common"
command -v dciodvfy >/dev/null 2>&1 || missing="$missing dicom3tools"
[ -n "$missing" ] || exit 0
echo "== Installing $missing for the tests"
sh "$(dirname "$0")/apt_install.sh" $missing
