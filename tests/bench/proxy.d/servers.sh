# Sourced by tests/bench/proxy: what has to be built and installed, the servers and their start.

export BENCH_BODY=$proxy_d/request.json

nginx_workers=2

# The upstream and the clients, on the rooms of the release.
make_peer() {
    build_release mt_bench
    local libraries=("$top"/build/release/lib/libmt_{bench,http,base}.a)
    # shellcheck disable=SC2046  # pkg-config gives lists of words
    g++ -std=c++20 -O2 -I "$top/lib" -o "$folder/peer" "$proxy_d"/*.cpp "${libraries[@]}" \
        $(pkg-config --cflags --libs cpp-httplib fmt openssl) -pthread || fail "the peer does not compile"
    cat "$bench_d/result.lua" "$proxy_d/chat.lua" >"$folder/chat.lua"
    wrk_script=$folder/chat.lua
}

# Into build/proxy, as the lock file says; that file is copied last.
install_gateway() {
    local place=$top/build/proxy
    need_tools node npm
    mkdir -p "$place"
    gateway=$place/node_modules/@portkey-ai/gateway/build/start-server.js
    cmp -s "$proxy_d/package-lock.json" "$place/installed.json" && return
    cp "$proxy_d/package.json" "$proxy_d/package-lock.json" "$place"
    (cd "$place" && npm ci --no-audit --no-fund --ignore-scripts --engine-strict=false >npm.log 2>&1) ||
        status=69 fail "npm could not install the gateway: $(tail -n 5 "$place/npm.log")"
    cp "$proxy_d/package-lock.json" "$place/installed.json"
}

start_upstream() {
    "$folder/peer" serve "$deltas" "$interval_us" >"$folder/upstream.port" 2>"$folder/upstream.log" &
    pid_of[direct]=$!
    running+=("$!")
    eventually 20 written "${pid_of[direct]}" "$folder/upstream.port" || true
    upstream=127.0.0.1:$(cat "$folder/upstream.port")
    url_of[direct]=http://$upstream/v1/chat/completions
    await "the upstream" "${pid_of[direct]}" "${url_of[direct]}" "$folder/upstream.log"
    nginx_http="upstream model { server $upstream; keepalive 256; keepalive_requests 1000000000; }"
    nginx_location='proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";'
}

gateway_on() {
    (cd "$folder" && exec env -i PATH="$PATH" HOME="$folder" NODE_ENV=production \
        node --require "$proxy_d/loopback.cjs" "$gateway" --headless --port="$1") >"$folder/portkey.log" 2>&1 &
}

start_gateway() {
    start_on_free_port portkey /v1/chat/completions gateway_on
    fields_of[portkey]="x-portkey-provider: openai
x-portkey-custom-host: http://$upstream/v1
Authorization: Bearer bench"
}

# Limits as high as the settings allow, and every kind of them: every call runs through them, and none is denied.
tenant_config() {
    cat <<END
[server]
log_level = "info"
access_log = true
drain_timeout = "2s"

[models.bench]
base_url = "http://$upstream/v1"
timeout = "30s"

[plans.enterprise]
rate_limit = 1000000000
burst = 1000000000
tokens_per_minute = 1000000000000
max_concurrency = 1000000
budget = "1000000000000/day"
model = "bench"

[[tenants]]
id = "bench"
plan = "enterprise"
tools = []

[[tenants]]
id = "bench-tools"
plan = "enterprise"
END
}

start_mtagent() {
    local target
    local -A tenant_of=([mtagent]=bench [tools]=bench-tools)
    serve_mtagent
    for target in mtagent tools; do
        pid_of[$target]=$mtagent_pid
        url_of[$target]=$mtagent_address/v1/chat/completions
        key_of[$target]=$(new_key "${tenant_of[$target]}")
    done
}
