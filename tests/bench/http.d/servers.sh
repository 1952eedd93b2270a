# Sourced by tests/bench/http: the three servers, their start and their end.

declare -A pid_of=()  # target -> process; the three targets of mtagent share one
declare -A url_of=()  # target -> what wrk asks for
declare -A key_of=()  # target -> API key
running=()            # processes to end, in the order of their start

# eventually SECONDS COMMAND...: tries the command again and again, for so long at most.
eventually() {
    local tries=$(($1 * 20))
    shift
    until "$@"; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }

# stop PID: asks the process to end, and makes it.
stop() {
    kill "$1" 2>/dev/null || true
    eventually 10 gone "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

stop_all() {
    local i
    for ((i = ${#running[@]} - 1; i >= 0; i--)); do
        stop "${running[i]}"
    done
    running=()
}

# Ends the process that was started last.
stop_last() {
    stop "${running[-1]}"
    unset 'running[-1]'
}

answers() { curl -s -o /dev/null --max-time 2 "$1"; }

# ready PID URL: true when the address answers or the process has ended.
ready() { gone "$1" || answers "$2"; }

# await TARGET PID URL LOG
await() {
    eventually 20 ready "$2" "$3" || fail "$1 does not answer at $3: $(tail -n 5 "$4")"
    alive "$2" || fail "$1 has ended: $(tail -n 5 "$4")"
}

nginx_config() {
    cat <<END
daemon off;
worker_processes auto;
pid $folder/nginx/pid;
error_log $folder/nginx/error.log crit;
events { worker_connections 16384; }
http {
    access_log off;
    default_type "text/plain; charset=utf-8";
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path $folder/nginx/body;
    proxy_temp_path $folder/nginx/proxy;
    fastcgi_temp_path $folder/nginx/fastcgi;
    uwsgi_temp_path $folder/nginx/uwsgi;
    scgi_temp_path $folder/nginx/scgi;
    server {
        listen 127.0.0.1:$1 backlog=511;
        location / { return 200 "OK\n"; }
    }
}
END
}

# nginx cannot be told to take any free port: tries some, as another may be quicker.
start_nginx() {
    local port pid tries
    mkdir "$folder/nginx"
    for tries in 1 2 3 4 5; do
        port=$("$folder/peer" port)
        nginx_config "$port" >"$folder/nginx/conf"
        nginx -e "$folder/nginx/error.log" -p "$folder/nginx" -c "$folder/nginx/conf" >"$folder/nginx.log" 2>&1 &
        pid=$!
        running+=("$pid")
        eventually 20 ready "$pid" "http://127.0.0.1:$port/" || break
        if alive "$pid"; then
            pid_of[nginx]=$pid
            url_of[nginx]=http://127.0.0.1:$port/
            return
        fi
        stop_last
    done
    fail "nginx does not start ($tries tries): $(cat "$folder/nginx.log" "$folder/nginx/error.log")"
}

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
    local pid address target tenant
    local -A tenant_of=([full]=bench [cached]=bench-cached)
    tenant_config >"$folder/tenants.toml"
    "$mtagent" serve --config "$folder/tenants.toml" --data "$folder/data" --listen 127.0.0.1:0 \
        --port-file "$folder/mtagent.port" >"$folder/mtagent.log" 2>&1 &
    pid=$!
    running+=("$pid")
    eventually 20 test -s "$folder/mtagent.port" || fail "mtagent does not start: $(cat "$folder/mtagent.log")"
    address=http://127.0.0.1:$(cat "$folder/mtagent.port")
    await mtagent "$pid" "$address/readyz" "$folder/mtagent.log"
    pid_of[bare]=$pid
    url_of[bare]=$address/livez
    for target in full cached; do
        tenant=${tenant_of[$target]}
        pid_of[$target]=$pid
        url_of[$target]="$address/$tenant?q=Hello"
        key_of[$target]=$("$mtagent" --json --config "$folder/tenants.toml" --data "$folder/data" \
            key create "$tenant" | jq -er .api_key)
    done
}
