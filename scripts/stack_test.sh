#!/bin/sh
# Usage: stack_test.sh FOLDER. Engine, images, the tests of the containers, and an end that leaves nothing but, where the
# engine was started here, FOLDER's absence. KONSIL_KEEP_ENGINE=1 keeps engine and images for another run.
set -eu
folder=$1
here=$(cd "$(dirname "$0")/.." && pwd)
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
sh "$here/scripts/need_engine.sh"
mkdir -p "$folder"
[ -n "${KONSIL_KEEP_ENGINE:-}" ] || trap 'sh "$here/scripts/engine.sh" stop "$folder/engine"; rm -rf "$folder"' EXIT
sh "$here/scripts/engine.sh" start "$folder/engine"
[ -n "${KONSIL_BASE:-}" ] || sh "$here/scripts/base_image.sh" debian:bookworm-slim "$folder"
begun=$(date +%s)
sh "$here/scripts/build_images.sh" "$folder"
echo "== Images built in $(($(date +%s) - begun)) s"
"$docker" images --format '{{.Repository}} {{.Size}}' | grep '^konsil/' | sort
"$here/.venv/bin/python" -m pytest -m containers "$here/tests/containers" --basetemp "$folder/pytest"
