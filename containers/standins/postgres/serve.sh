#!/bin/sh
# A cluster at the first start, with one user, one database and its password from a file; then the server.
set -eu
data=/var/lib/postgresql/data/cluster
if [ ! -s "$data/PG_VERSION" ]; then
    rm -rf "$data"
    initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" \
        --auth-host scram-sha-256 --auth-local trust --encoding UTF8 >/dev/null
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
    echo "create database \"$POSTGRES_DB\";" | postgres --single -D "$data" postgres >/dev/null
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
