#!/bin/sh
# Redis for the test of Celery workers; its service is not started, the test runs a server of its own.
set -eu
command -v redis-server >/dev/null 2>&1 && exit 0
echo "== Installing redis-server for the tests"
run=""; [ "$(id -u)" = 0 ] || run="sudo"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null
    $run chmod 755 "$policy"
    trap '$run rm -f "$policy"' EXIT
fi
sh "$(dirname "$0")/apt_install.sh" redis-server
