#!/bin/sh
# A container engine and its compose, from Debian, where there is none; debootstrap, where no registry can be reached.
set -eu
missing=""
command -v dockerd >/dev/null 2>&1 || missing="docker.io iptables"
command -v docker-compose >/dev/null 2>&1 || docker compose version >/dev/null 2>&1 || missing="$missing docker-compose"
command -v debootstrap >/dev/null 2>&1 || missing="$missing debootstrap"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
[ -n "$missing" ] || exit 0
echo "== Installing $missing for the containers"
# Debian starts the engine of a fresh package at once: ours is started by scripts/engine.sh, so that it can be ended too.
policy=/usr/sbin/policy-rc.d
if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
sh "$(dirname "$0")/apt_install.sh" $missing
