# Sourced by tests/bench/replicas: a Redis and a PostgreSQL of its own. Sets $redis_port, and what the program is told
# through REDIS_URL and POSTGRES_URL.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

redis_answers() { [ "$(redis-cli -p "$redis_port" ping 2>/dev/null)" = PONG ]; }

start_redis() {
    redis_port=$(free_port)
    redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" >"$folder/redis.log" 2>&1 &
    running+=($!)
    eventually 10 redis_answers || fail "redis-server does not start: $(tail -n 3 "$folder/redis.log")"
    export REDIS_URL=redis://127.0.0.1:$redis_port
}

# PostgreSQL refuses root: its own user runs it then.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

postgres_sql() { as_postgres "$postgres_bin/psql" -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U mtagent mtagent; }
postgres_answers() { as_postgres "$postgres_bin/psql" -h 127.0.0.1 -p "$postgres_port" -U mtagent postgres -c 'select 1' >/dev/null 2>&1; }

start_postgres() {
    postgres_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
    [ -x "$postgres_bin/initdb" ] || status=69 fail "PostgreSQL is not installed"
    postgres_port=$(free_port)
    chmod 755 "$folder"
    mkdir "$folder/postgres"
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder/postgres"; fi
    chmod 700 "$folder/postgres"
    (cd / && as_postgres "$postgres_bin/initdb" -D "$folder/postgres" -A trust -U mtagent -E UTF8 --locale=C --no-sync) \
        >"$folder/initdb.log" 2>&1 || fail "initdb: $(tail -n 3 "$folder/initdb.log")"
    # setpriv becomes the server, so that its process is the one to be ended.
    local become=()
    if [ "$(id -u)" -eq 0 ]; then become=(setpriv --reuid postgres --regid postgres --clear-groups); fi
    "${become[@]}" "$postgres_bin/postgres" -D "$folder/postgres" -p "$postgres_port" -h 127.0.0.1 -k "$folder/postgres" \
        -c fsync=off >"$folder/postgres.log" 2>&1 &
    running+=($!)
    eventually 20 postgres_answers || fail "PostgreSQL does not start: $(tail -n 3 "$folder/postgres.log")"
    as_postgres "$postgres_bin/createdb" -h 127.0.0.1 -p "$postgres_port" -U mtagent mtagent
    export POSTGRES_URL=postgres://mtagent@127.0.0.1:$postgres_port/mtagent
}
