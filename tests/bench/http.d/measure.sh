# Sourced by tests/bench/http: what a target answers, how fast, and what that costs its server.

# reply TARGET: status, Content-Type, X-Cache and body.
reply() {
    local key=${key_of[$1]:-}
    curl -s --max-time 10 ${key:+-H "Authorization: Bearer $key"} -D "$folder/head" -o "$folder/body" "${url_of[$1]}" ||
        fail "$1 does not answer at ${url_of[$1]}"
    tr -d '\r' <"$folder/head" | sed -n -e '1s/^[^ ]* \([0-9]*\).*/\1/p' -e 's/^content-type: */type: /Ip' \
        -e 's/^x-cache: */cache: /Ip'
    cat "$folder/body"
}

# All three say the same on the bare route, and the full chain is the whole one.
check_replies() {
    local expected target
    expected=$(reply bare)
    [[ $expected == 200$'\n'* ]] || fail "mtagent answers on the bare route: $expected"
    for target in nginx go; do
        [ -z "${pid_of[$target]:-}" ] || [ "$(reply $target)" = "$expected" ] ||
            fail "$target does not answer as mtagent does: '$(reply $target)', not '$expected'"
    done
    for target in full cached; do
        [[ $(reply $target) == 200$'\n'*"Received: Hello"* ]] || fail "$target: the agent answers: $(reply $target)"
    done
    [[ $(reply cached) == *"cache: HIT"* ]] || fail "the cache is on and does not answer: $(reply cached)"
    [[ $(reply full) != *"cache: HIT"* ]] || fail "the cache is off and answers: $(reply full)"
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
    local key=${key_of[$1]:-} threads=$((2 - $2 % 2))
    wrk -t"$threads" -c"$2" -d"$3" --latency -s "$http_d/result.lua" ${key:+-H "Authorization: Bearer $key"} \
        "${url_of[$1]}" >"$folder/wrk" 2>&1 &
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
        jq -r '"http: \(.repetition): \(.target), \(.connections) connections, \(.idle_connections) idle: "
            + "\(.requests_per_second | round) requests/s\(if .timeouts > 0 then ", \(.timeouts) over 2 s" else "" end)"' >&2
}
