#!/bin/sh
# Usage: base_image.sh NAME FOLDER. The base image NAME: pulled, or made with debootstrap where no registry answers.
set -eu
name=$1 folder=$2
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
"$docker" image inspect "$name" >/dev/null 2>&1 && exit 0
if timeout 60 "$docker" pull --quiet "$name" >/dev/null 2>&1; then exit 0; fi
case "$name" in
debian:bookworm-slim) ;;
*)  echo "konsil: $name cannot be pulled, and only debian:bookworm-slim can be made here. Is a registry reachable?" >&2
    exit 1 ;;
esac
echo "== No registry answers: making $name with debootstrap"
root=$(mktemp -d "$folder/base.XXXXXX")
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" >/dev/null
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*
tar -C "$root" -c . | "$docker" import - "$name" >/dev/null
