#!/bin/sh
# Usage: base_image.sh NAME FOLDER. The base image NAME: pulled, or made with debootstrap where no registry answers.
#        base_image.sh --pinned NAME. Print NAME@sha256:…, by which a registry gave it; one made here has no digest: NAME.
set -eu
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
if [ "$1" = --pinned ]; then
    "$docker" image inspect "$2" >/dev/null 2>&1 || timeout 60 "$docker" pull --quiet "$2" >/dev/null 2>&1 || true
    pinned=$("$docker" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$2" 2>/dev/null | head -n 1)
    echo "${pinned:-$2}"
    exit 0
fi
name=$1 folder=$2
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
