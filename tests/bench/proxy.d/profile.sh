# Sourced by tests/bench/proxy: where mtagent spends its time, in a load of its own, as looking on costs time too.

# The clock's interrupt instead of the processor's counters, which a virtual machine seldom shows.
record_profile() {
    perf record -q -e cpu-clock -F 997 -g -p "$mtagent_pid" -o "$folder/perf" -- sleep "$seconds" \
        >"$folder/perf.log" 2>&1 &
    running+=($!)
    load mtagent "$connections" "$seconds"
    eventually 30 gone "${running[-1]}" || fail "perf does not end: $(cat "$folder/perf.log")"
    stop_last
    [ -s "$folder/perf" ] || fail "perf has recorded nothing: $(cat "$folder/perf.log")"
}

# perf_report OPTIONS...: the 40 first lines that are no comment.
perf_report() {
    perf report --stdio -i "$folder/perf" -g none --percent-limit 0.4 "$@" 2>/dev/null |
        awk '/^ *[0-9]/ && ++lines <= 40 { line = substr($0, 1, 140); sub(/ +$/, "", line); print line }'
}

show_profile() {
    if ! command -v perf >/dev/null; then
        echo "proxy: perf is not installed (Debian's package linux-perf): no profile" >&2
        return
    fi
    record_profile
    printf '\nmtagent under load, by program or library:\n'
    perf_report --no-children --sort dso
    printf '\nby function, of its own:\n'
    perf_report --no-children --sort dso,symbol
    printf '\nby function, with all that it calls (as far as frames can be told apart):\n'
    perf_report --children --sort symbol
}
