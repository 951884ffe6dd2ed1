#!/bin/sh
# Usage: apt_install.sh PACKAGE... Installs Debian/Ubuntu packages, as root or through sudo; says what to do otherwise.
set -eu
if [ "$(id -u)" = 0 ]; then run=""
elif command -v sudo >/dev/null 2>&1; then run="sudo"
else
    echo "konsil: please install as root: apt-get install $*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
$run apt-get install -y -qq --no-install-recommends "$@" >/dev/null
