#!/bin/sh
# Usage: engine.sh start|stop FOLDER. A Docker engine of our own below FOLDER, where none answers; stop ends it.
# An engine that runs already is used and never stopped: FOLDER/dockerd.pid tells whether we started one.
set -eu
action=$1 folder=$2
docker=/usr/bin/docker; [ -x "$docker" ] || docker=docker

# An engine changes its host outside FOLDER too, and leaves it so when it ends: a bridge, firewall rules, forwarding.
# Where another engine's bridge is there already, these are not ours to take back.
note_host() {
    ! ip link show docker0 >/dev/null 2>&1 || return 0
    { cat /proc/sys/net/ipv4/ip_forward; iptables -S FORWARD | sed -n 's/^-P FORWARD //p'; } > "$folder/host"
}

restore_host() {
    [ -e "$folder/host" ] || return 0
    { read -r forward; read -r policy; } < "$folder/host"
    iptables-save | grep -v -i docker > "$folder/rules"
    iptables-restore "$folder/rules"
    iptables --policy FORWARD "$policy"
    echo "$forward" > /proc/sys/net/ipv4/ip_forward
    ! ip link show docker0 >/dev/null 2>&1 || ip link delete docker0 # an engine that did not start has none
    rm "$folder/host" "$folder/rules"
}

case "$action" in
start)
    if "$docker" info >/dev/null 2>&1; then exit 0; fi
    mkdir -p "$folder"
    note_host
    # Docker's own pools hold 31 networks; three stacks beside one another, as the tests of upkeep need them, have 33.
    nohup dockerd --data-root "$folder/data" --exec-root "$folder/run" --pidfile "$folder/dockerd.pid" \
        --default-address-pool base=172.16.0.0/12,size=24 \
        >"$folder/dockerd.log" 2>&1 &
    for _ in $(seq 120); do
        if "$docker" info >/dev/null 2>&1; then exit 0; fi
        sleep 0.5
    done
    echo "konsil: the container engine did not start; its last line: $(tail -n 1 "$folder/dockerd.log")" >&2
    exit 1 ;;
stop)
    [ -e "$folder/dockerd.pid" ] || { restore_host; exit 0; } # Ctrl-C ends the engine before us
    pid=$(cat "$folder/dockerd.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 120); do
        if ! kill -0 "$pid" 2>/dev/null; then restore_host; exit 0; fi
        sleep 0.5
    done
    echo "konsil: the container engine (process $pid) did not end" >&2
    exit 1 ;;
*)  echo "usage: engine.sh start|stop FOLDER" >&2; exit 1 ;;
esac
