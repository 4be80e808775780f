#!/bin/sh
# What the official image does before its server starts: in an empty directory it makes a database,
# which who is in the container enters without a password and everybody else with one.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    fi
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD is empty: a new database needs one" >&2
        exit 1
    fi
    user=${POSTGRES_USER:-postgres}
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    file=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$file"
    initdb --pgdata "$PGDATA" --username "$user" --pwfile "$file"
    rm "$file"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    # Nobody reaches it before it has its database.
    pg_ctl start --pgdata "$PGDATA" --wait --silent --options "-c listen_addresses=''"
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        createdb --username "$user" --maintenance-db postgres "${POSTGRES_DB:-$user}"
    fi
    pg_ctl stop --pgdata "$PGDATA" --mode fast --wait --silent
fi
exec "$@"
