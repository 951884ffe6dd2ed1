#!/bin/sh
# Usage: stack_test.sh FOLDER. Engine, images, the tests of the containers, and an end that leaves nothing but, where the
# engine was started here, FOLDER's absence. What it took is written to build/stack-test.json.
# KONSIL_KEEP_ENGINE=1 keeps engine and images for another run; KONSIL_STACK_SLOTS=a,b and KONSIL_STACK_SIZE=small run a
# smaller trial; KONSIL_STACK_CELERY=1 also builds images with Celery and lets two workers prepare a cohort.
set -eu
folder=$1
here=$(cd "$(dirname "$0")/.." && pwd)
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
export KONSIL_STACK_FIGURES="${KONSIL_STACK_FIGURES:-$here/build/stack-test.json}"
mkdir -p "$folder" "$(dirname "$KONSIL_STACK_FIGURES")"
rm -f "$KONSIL_STACK_FIGURES"
sh "$here/scripts/need_engine.sh"
[ -n "${KONSIL_KEEP_ENGINE:-}" ] || trap 'sh "$here/scripts/engine.sh" stop "$folder/engine"; rm -rf "$folder"' EXIT
sh "$here/scripts/engine.sh" start "$folder/engine"
[ -n "${KONSIL_BASE:-}" ] || sh "$here/scripts/base_image.sh" debian:bookworm-slim "$folder"
begun=$(date +%s)
sh "$here/scripts/build_images.sh" "$folder"
[ -z "${KONSIL_STACK_CELERY:-}" ] ||
    SCALE=,celery KONSIL_TAG=celery sh "$here/scripts/build_images.sh" "$folder" airflow worker
"$here/.venv/bin/python" "$here/scripts/stack_figures.py" images --seconds $(($(date +%s) - begun)) --docker "$docker"
"$here/.venv/bin/python" -m pytest -m containers "$here/tests/containers" --basetemp "$folder/pytest"
"$here/.venv/bin/python" "$here/scripts/stack_figures.py" table
