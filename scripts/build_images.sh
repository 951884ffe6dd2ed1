#!/bin/sh
# Usage: build_images.sh FOLDER [NAME...]. Build konsil's images (all, or those named).
# KONSIL_BASE is the Debian they stand on, such as debian@sha256:…. Not set: debian:bookworm-slim by the digest under which
# a registry gave it to this engine; one made by scripts/base_image.sh has none. Every image says which (base.name).
# SCALE=,celery (or ,kubernetes) adds what work on several machines needs (docs/scale-out.md). The images are
# tagged konsil/NAME:$KONSIL_TAG, without it latest. KONSIL_BUILD holds more words for the build, such as --no-cache.
# How this machine reaches its package index (authorities, a folder of wheels) goes in as build secrets and stays out.
set -eu
folder=$1; shift
[ $# -gt 0 ] || set -- aggregator store proxy postgres orthanc redis airflow imaging worker learner
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker
here=$(cd "$(dirname "$0")/.." && pwd)
base=${KONSIL_BASE:-}
[ -n "$base" ] || base=$(sh "$here/scripts/base_image.sh" --pinned debian:bookworm-slim)
mkdir -p "$folder"
ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}; [ -e "$ca" ] || ca=/dev/null
index=$folder/index.sh
: > "$index"
server=""
trap '[ -z "$server" ] || kill "$server"; rm -f "$index"' EXIT
wheels=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}
if [ -n "$wheels" ] && [ -d "$wheels" ]; then # a folder of this machine, shown to the build on its loopback
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    python3 -m http.server --bind 127.0.0.1 --directory "$wheels" "$port" >/dev/null 2>&1 &
    server=$!
    echo "unset UV_TORCH_BACKEND; export UV_FIND_LINKS=http://127.0.0.1:$port/ no_proxy=127.0.0.1" > "$index"
fi
[ -z "${UV_INDEX_URL:-}" ] || echo "export UV_INDEX_URL='$UV_INDEX_URL'" >> "$index"
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$here/src/konsil/__init__.py")
revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)
for name in "$@"; do
    case "$name" in
    store|aggregator) file=aggregator target="--target $name" ;;
    learner|worker) file=learner target="--target $name" ;;
    postgres|orthanc|redis) file=standins/$name target="" ;;
    *) file=$name target="" ;;
    esac
    echo "== Image konsil/$name"
    DOCKER_BUILDKIT=1 "$docker" build --quiet --network host $target \
        --build-arg BASE="$base" --build-arg VERSION="$version" --build-arg REVISION="$revision" \
        ${TORCH:+--build-arg TORCH="$TORCH"} ${SCALE:+--build-arg SCALE="$SCALE"} \
        --secret id=ca,src="$ca" --secret id=index,src="$index" \
        ${KONSIL_BUILD:-} --file "$here/containers/$file/Dockerfile" --tag "konsil/$name:${KONSIL_TAG:-latest}" "$here"
done
