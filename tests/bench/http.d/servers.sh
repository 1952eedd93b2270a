# Sourced by tests/bench/http: the servers beside nginx.

start_go() {
    local pid
    "$folder/peer" serve >"$folder/go.port" 2>"$folder/go.log" &
    pid=$!
    running+=("$pid")
    eventually 20 test -s "$folder/go.port" || fail "the Go server does not start: $(cat "$folder/go.log")"
    pid_of[go]=$pid
    url_of[go]=http://127.0.0.1:$(cat "$folder/go.port")/
    await "the Go server" "$pid" "${url_of[go]}" "$folder/go.log"
}

# Limits as high as the settings allow: every call runs through them, and none is denied.
tenant_config() {
    cat <<END
[server]
log_level = "warning"
access_log = false
idle_timeout = "1d"         # the idle connections are to stay
drain_timeout = "2s"

[plans.enterprise]
rate_limit = 1000000000
burst = 1000000000

[[tenants]]
id = "bench"
plan = "enterprise"
cache_size = 0

[[tenants]]
id = "bench-cached"
plan = "enterprise"
cache_size = 10000
END
}

start_mtagent() {
    local target
    local -A tenant_of=([full]=bench [cached]=bench-cached)
    serve_mtagent
    pid_of[bare]=$mtagent_pid
    url_of[bare]=$mtagent_address/livez
    for target in full cached; do
        pid_of[$target]=$mtagent_pid
        url_of[$target]="$mtagent_address/${tenant_of[$target]}?q=Hello"
        key_of[$target]=$(new_key "${tenant_of[$target]}")
    done
}
