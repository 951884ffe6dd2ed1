#!/bin/sh
# Programs that tests hold konsil against: age opens our payloads, Ceph's radosgw is the strict S3 server,
# dciodvfy judges DICOM segmentations, PostgreSQL is the database of a hospital's Airflow.
set -eu
missing=""
command -v age >/dev/null 2>&1 || missing="age"
command -v radosgw >/dev/null 2>&1 || missing="$missing radosgw ceph-mon ceph-osd ceph-common"
command -v dciodvfy >/dev/null 2>&1 || missing="$missing dicom3tools"
set -- /usr/lib/postgresql/*/bin/initdb
if [ ! -x "$1" ] && ! command -v initdb >/dev/null 2>&1; then missing="$missing postgresql"; fi
[ -n "$missing" ] || exit 0
echo "== Installing $missing for the tests"
case "$missing" in *postgresql*) # the tests make clusters of their own; a server beside them would only be left running
    run=""; [ "$(id -u)" = 0 ] || run="sudo"
    $run mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" | $run tee /etc/postgresql-common/createcluster.conf >/dev/null ;;
esac
sh "$(dirname "$0")/apt_install.sh" $missing
