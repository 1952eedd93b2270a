# Sourced by tests/bench/http: what a target answers.

# reply TARGET: status, Content-Type, X-Cache and body.
reply() {
    local header_options
    find_headers "$1"
    curl -s --max-time 10 "${header_options[@]}" -D "$folder/head" -o "$folder/body" "${url_of[$1]}" ||
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
