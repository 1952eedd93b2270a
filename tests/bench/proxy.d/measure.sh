# Sourced by tests/bench/proxy: what the targets answer, and the three measurements.

# content TARGET: the text of the answer, after some checks of the reply.
content() {
    local header_options
    find_headers "$1"
    curl -s --max-time 10 "${header_options[@]}" -H 'Content-Type: application/json' -d "@$BENCH_BODY" \
        -D "$folder/head" -o "$folder/body" "${url_of[$1]}" || fail "$1 does not answer at ${url_of[$1]}"
    grep -q '^HTTP/[0-9.]* 200' "$folder/head" || fail "$1 answers: $(cat "$folder/head" "$folder/body")"
    ! grep -qi '^x-cache: *hit' "$folder/head" || fail "$1 answers from its cache"
    jq -er '.choices[0].message.content' "$folder/body" || fail "$1 answers: $(cat "$folder/body")"
}

# All ask the same server and say what it says.
check_replies() {
    local expected target
    expected=$(content direct)
    [ "$(wc -c <"$folder/body")" = 1024 ] || fail "the upstream's answer has $(wc -c <"$folder/body") bytes, not 1024"
    for target in "${!pid_of[@]}"; do
        [ "$(content "$target")" = "$expected" ] || fail "$target answers '$(content "$target")', not '$expected'"
    done
}

# The gateway runs at full speed only when its code has been compiled on the way.
warm_up() {
    local target
    for target in "${!pid_of[@]}"; do
        load "$target" "$connections" "$([ "$target" = portkey ] && echo 10 || echo 1)"
    done
}

measure_load() {
    local target
    for target in $(rotated "$1" "${load_targets[@]}"); do
        measure load "$1" "$target" "$connections" 0
    done
}

# peer_measures PART REPETITION TARGET ARGUMENTS...: one line more in $folder/results. In the background, so that a
# signal need not wait.
peer_measures() {
    local part=$1 repetition=$2 target=$3
    shift 3
    MTAGENT_API_KEY=${key_of[$target]:-} "$folder/peer" "$part" "${url_of[$target]}" "$@" \
        >"$folder/measured" 2>"$folder/peer.log" &
    running+=($!)
    wait $! || fail "$part on $target: $(cat "$folder/peer.log")"
    unset 'running[-1]'
    jq -e '(.failures // 0) == 0' "$folder/measured" >/dev/null || fail "$part on $target: $(cat "$folder/measured")"
    jq -c --arg part "$part" --argjson repetition "$repetition" --arg target "$target" \
        '{part: $part, repetition: $repetition, target: $target} + .' "$folder/measured" | tee -a "$folder/results" |
        jq -r --arg bench "$bench" '(.latency // .first) as $shown | "\($bench): \(.repetition): \(.target), \(.part): p50 "
            + "\($shown.p50_us) us, p99 \($shown.p99_us) us"' >&2
}

measure_rate() {
    local target
    for target in $(rotated "$1" direct nginx mtagent); do
        peer_measures rate "$1" "$target" "$per_second" "$seconds" "$connections"
    done
}

measure_streams() {
    local target
    for target in $(rotated "$1" direct mtagent); do
        peer_measures stream "$1" "$target" "$seconds" "$streams" "$deltas"
    done
}
