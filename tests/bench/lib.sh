# Sourced by tests/bench/http and tests/bench/proxy: processes, nginx, load by wrk, and what it costs a server.
# A benchmark sets $bench (its name), $folder (a temporary folder), $seconds, and $wrk_script when it has one of its own.

bench_d=$top/tests/bench
wrk_script=$bench_d/result.lua

declare -A pid_of=()    # target -> process; targets of one program share it
declare -A url_of=()    # target -> what wrk asks for
declare -A key_of=()    # target -> API key
declare -A fields_of=() # target -> further header fields, a line each
running=()              # processes to end, in the order of their start

fail() {
    echo "$bench: $*" >&2
    exit "${status:-1}"
}
misused() { status=64 fail "$* (see tests/bench/$bench --help)"; }

# number WHAT TEXT: a whole number from 1, without leading zeros.
number() { [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || misused "$1: '$2' is no number from 1 to 999999"; }

# On EXIT: nothing of the benchmark is left.
finish() {
    trap '' INT TERM HUP
    stop_all
    [ -z "$folder" ] || rm -rf "$folder"
}

make_folder() {
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    folder=$(mktemp -d)
}

# Said, not refused: what else runs takes its share from one target and not from the next.
warn_when_busy() {
    local load
    read -r load _ </proc/loadavg
    awk -v load="$load" -v cpus="$(nproc)" 'BEGIN { exit !(load > cpus / 4) }' || return 0
    echo "$bench: the machine is busy (load $load on $(nproc) processors): do not rely on the numbers" >&2
}

# need_tools COMMAND...: those that must be there once packages are installed.
need_tools() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || status=69 fail "$tool is not installed"
    done
}

# build_release TARGET. In a shell of its own: build() puts the build's folder into $folder, which finish() removes.
build_release() { (build release "$1"); }

# The program to measure: $MTAGENT, or the release. Its own settings come from the benchmark alone.
find_mtagent() {
    [ -n "${MTAGENT:-}" ] || build_release mtagent
    mtagent=$(realpath "${MTAGENT:-$top/build/release/app/mtagent}")
    [ -x "$mtagent" ] || status=69 fail "$mtagent is no program"
    unset MTAGENT_CONFIG MTAGENT_DATA MTAGENT_LISTEN
}

# rotated N WORDS...: the words, beginning with the N-th.
rotated() {
    local words=("${@:2}")
    local first=$(($1 % ${#words[@]}))
    echo "${words[@]:first}" "${words[@]:0:first}"
}

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

# written PID FILE: true when the file has something in it or the process has ended.
written() { gone "$1" || [ -s "$2" ]; }

answers() { curl -s -o /dev/null --max-time 2 "$1"; }

# ready PID URL: true when the address answers or the process has ended.
ready() { gone "$1" || answers "$2"; }

# await TARGET PID URL LOG
await() {
    eventually 20 ready "$2" "$3" || fail "$1 does not answer at $3: $(tail -n 5 "$4")"
    alive "$2" || fail "$1 has ended: $(tail -n 5 "$4")"
}

# The parts that differ: $nginx_workers, $nginx_http (lines beside the server), $nginx_location.
nginx_config() {
    cat <<END
daemon off;
worker_processes ${nginx_workers:-auto};
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
    ${nginx_http:-}
    server {
        listen 127.0.0.1:$1 backlog=511;
        location / { $nginx_location }
    }
}
END
}

# start_on_free_port TARGET PATH COMMAND...: COMMAND is called with a port and puts its process into $!. For servers that
# cannot be told to take any free port: tries some, as another may be quicker.
start_on_free_port() {
    local target=$1 path=$2 port pid tries
    shift 2
    for tries in 1 2 3 4 5; do
        port=$("$folder/peer" port)
        "$@" "$port"
        pid=$!
        running+=("$pid")
        eventually 20 ready "$pid" "http://127.0.0.1:$port/" || break
        if alive "$pid"; then
            pid_of[$target]=$pid
            url_of[$target]=http://127.0.0.1:$port$path
            return
        fi
        stop_last
    done
    fail "$target does not start ($tries tries): $(cat "$folder/$target.log")"
}

nginx_on() {
    mkdir -p "$folder/nginx"
    nginx_config "$1" >"$folder/nginx/conf"
    nginx -e "$folder/nginx.log" -p "$folder/nginx" -c "$folder/nginx/conf" >"$folder/nginx.log" 2>&1 &
}

# start_nginx PATH: PATH is what wrk asks for.
start_nginx() { start_on_free_port nginx "$1" nginx_on; }

# Writes $folder/tenants.toml (by the benchmark's tenant_config), starts the program, sets $mtagent_pid and
# $mtagent_address.
serve_mtagent() {
    tenant_config >"$folder/tenants.toml"
    "$mtagent" serve --config "$folder/tenants.toml" --data "$folder/data" --listen 127.0.0.1:0 \
        --port-file "$folder/mtagent.port" >"$folder/mtagent.log" 2>&1 &
    mtagent_pid=$!
    running+=("$mtagent_pid")
    eventually 20 written "$mtagent_pid" "$folder/mtagent.port" ||
        fail "mtagent does not start: $(tail -n 5 "$folder/mtagent.log")"
    mtagent_address=http://127.0.0.1:$(cat "$folder/mtagent.port")
    await mtagent "$mtagent_pid" "$mtagent_address/readyz" "$folder/mtagent.log"
}

# new_key TENANT
new_key() {
    "$mtagent" --json --config "$folder/tenants.toml" --data "$folder/data" key create "$1" | jq -er .api_key
}

# Puts the options with which wrk and curl send a target's header fields into $header_options.
find_headers() {
    local field
    header_options=()
    if [ -n "${key_of[$1]:-}" ]; then header_options+=(-H "Authorization: Bearer ${key_of[$1]}"); fi
    while read -r field; do
        if [ -n "$field" ]; then header_options+=(-H "$field"); fi
    done <<<"${fields_of[$1]:-}"
}

# cpu_ticks PID: user and system time of a process and its children (nginx's workers).
cpu_ticks() {
    local process all=0 user system
    for process in "$1" $(pgrep -P "$1"); do
        # The name, in brackets, may hold blanks.
        read -r _ _ _ _ _ _ _ _ _ _ _ user system _ < <(sed 's/.*) //' "/proc/$process/stat")
        all=$((all + user + system))
    done
    echo "$all"
}

# field PID NAME: a number of /proc/PID/status.
field() { sed -n "s/^$2:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$1/status"; }

# load TARGET CONNECTIONS SECONDS: wrk's result in $folder/wrk. In the background, so that a signal need not wait.
load() {
    local threads=$((2 - $2 % 2)) header_options
    find_headers "$1"
    wrk -t"$threads" -c"$2" -d"$3" --latency -s "$wrk_script" "${header_options[@]}" "${url_of[$1]}" \
        >"$folder/wrk" 2>&1 &
    running+=($!)
    wait $! || fail "wrk has failed on $1: $(tail -n 3 "$folder/wrk")"
    unset 'running[-1]'
    tail -n 1 "$folder/wrk" | jq -e '.requests > 0' >/dev/null || fail "$1 answered nothing: $(cat "$folder/wrk")"
    tail -n 1 "$folder/wrk" | jq -e '.refused == 0 and .broken == 0' >/dev/null ||
        fail "$1 with $2 connections: replies from 400 on (limits denied?), or broken connections: $(cat "$folder/wrk")"
}

# measure PART REPETITION TARGET CONNECTIONS IDLE: one line more in $folder/results.
measure() {
    local pid=${pid_of[$3]} before ticks
    before=$(cpu_ticks "$pid")
    load "$3" "$4" "$seconds"
    ticks=$(($(cpu_ticks "$pid") - before))
    tail -n 1 "$folder/wrk" | jq -c --arg part "$1" --argjson repetition "$2" --arg target "$3" \
        --argjson connections "$4" --argjson idle "$5" --argjson cpu_us "$((ticks * 1000000 / $(getconf CLK_TCK)))" \
        '{part: $part, repetition: $repetition, target: $target, connections: $connections, idle_connections: $idle,
          requests_per_second: (.requests / .seconds), p99_ms: .p99_ms, cpu_us_per_request: ($cpu_us / .requests),
          timeouts: .timeouts}' | tee -a "$folder/results" |
        jq -r --arg bench "$bench" '"\($bench): \(.repetition): \(.target), \(.connections) connections, \(.idle_connections) idle: "
            + "\(.requests_per_second | round) requests/s\(if .timeouts > 0 then ", \(.timeouts) over 2 s" else "" end)"' >&2
}
