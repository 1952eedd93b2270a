# Sourced by tests/bench/http: the idle connections, and what is measured beside them.

descriptors() {
    local all=("/proc/$1/fd/"*)
    echo "${#all[@]}"
}
fewer_descriptors() { (($(descriptors "$1") < $2)); }
says() { gone "$holder" || grep -q "$1" "$folder/holder"; }

# Opens the idle connections.
hold_idle() {
    local address=${url_of[bare]#http://}
    mkfifo "$folder/hold"
    "$folder/peer" hold "${address%/livez}" "$idle" <"$folder/hold" >"$folder/holder" 2>&1 &
    holder=$!
    running+=("$holder")
    exec {hold_input}>"$folder/hold"
    rm "$folder/hold"
    eventually 60 says ready && alive "$holder" || fail "$idle idle connections are not possible: $(cat "$folder/holder")"
}

# release_idle FILES: sees that all were held, closes them, and waits until mtagent has fewer open files than that.
release_idle() {
    exec {hold_input}>&-
    eventually 60 gone "$holder" || true
    grep -q alive "$folder/holder" || fail "idle connections were lost: $(cat "$folder/holder")"
    stop_last
    eventually 30 fewer_descriptors "${pid_of[bare]}" "$1" || fail "mtagent keeps connections that were closed"
}

most_rss=0 most_threads=0

# Keeps the most of RSS (kiB) and threads.
look_at_memory() {
    local rss threads
    rss=$(field "${pid_of[bare]}" VmRSS)
    threads=$(field "${pid_of[bare]}" Threads)
    most_rss=$((rss > most_rss ? rss : most_rss))
    most_threads=$((threads > most_threads ? threads : most_threads))
}

measure_beside() {
    local target
    for target in $(rotated "$1" bare full cached); do
        measure idle "$1" "$target" "$bound_connections" "$2"
        look_at_memory
    done
}

# Row 3 with the idle connections.
measure_with_idle() {
    local pid=${pid_of[bare]} rss_before threads_before files_before
    rss_before=$(field "$pid" VmRSS)
    threads_before=$(field "$pid" Threads)
    files_before=$(descriptors "$pid")
    most_rss=0 most_threads=0
    hold_idle
    look_at_memory
    measure_beside "$1" "$idle"
    release_idle $((files_before + 64))
    jq -nc '{part: "memory", idle_connections: $ARGS.positional[0], rss_before_bytes: ($ARGS.positional[1] * 1024),
        threads_before: $ARGS.positional[2], rss_bytes: ($ARGS.positional[3] * 1024),
        threads: $ARGS.positional[4]}' \
        --jsonargs "$idle" "$rss_before" "$threads_before" "$most_rss" "$most_threads" >>"$folder/results"
}

# Row 3, one repetition: with and without the idle connections, by turns first.
measure_idle() {
    if (($1 % 2)); then
        measure_beside "$1" 0
        measure_with_idle "$1"
    else
        measure_with_idle "$1"
        measure_beside "$1" 0
    fi
}
