#!/bin/bash
# reference.sh MTAGENT: the commands of the reference example, word for word, against `mtagent serve` on its own port.
set -euo pipefail
mtagent=$(realpath "$1")
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=$(mktemp -d)
server=""

finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" || true
    rm -rf "$folder"
}
trap finish EXIT

fail() {
    echo "reference: $*" >&2
    exit 1
}

# same WHAT GOT WANTED
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"
    echo "ok: $1"
}

for tool in curl hey jq watch script timeout; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
for address in 127.0.0.1 ::1; do
    # shellcheck disable=SC2188  # opening the connection is all that is wanted
    if (: <"/dev/tcp/$address/8080") 2>/dev/null; then
        fail "port 8080 of $address is taken: this test needs it, stop whoever listens there"
    fi
done

cp "$top/tenants.toml" "$folder"
cd "$folder"
"$mtagent" serve 2>serve.log &
server=$!
"$mtagent" ping --wait 20s >/dev/null || fail "mtagent serve does not answer: $(cat serve.log)"

same "basic tier" "$(curl "http://localhost:8080/tenant-basic?q=Hello" 2>/dev/null)" \
    "[Basic Corp] Received: Hello
Available features: [basic-chat]
Processing with Basic tier configuration"
same "professional tier" "$(curl "http://localhost:8080/tenant-pro?q=Analyze+data" 2>/dev/null)" \
    "[Pro Enterprise] Received: Analyze data
Available features: [basic-chat advanced-analytics priority-support]
Processing with Professional tier configuration"
same "enterprise tier" "$(curl "http://localhost:8080/tenant-enterprise?q=Custom+model+query" 2>/dev/null)" \
    "[Enterprise Solutions] Received: Custom model query
Available features: [basic-chat advanced-analytics priority-support custom-models dedicated-resources]
Processing with Enterprise tier configuration"

# Every tenant has the example's four numbers.
shape='[.[] | [.requests, .allowed, .denied, .avg_latency_ms] | map(numbers) | length] | tostring'
curl http://localhost:8080/stats >stats.json 2>/dev/null
same "fields of /stats" "$(jq -r "$shape" stats.json)" "[4,4,4]"
same "tenants of /stats" "$(jq -r 'keys_unsorted | sort | join(" ")' stats.json)" \
    "tenant-basic tenant-enterprise tenant-pro"

hey -n 1000 -c 10 -q 20 "http://localhost:8080/tenant-pro?q=test" >hey.txt
served=$(awk '$1 == "[200]" { print $2 }' hey.txt)
refused=$(awk '$1 == "[429]" { print $2 }' hey.txt)
same "replies to hey" "$((served + refused))" 1000
# The burst of 100, less the call above, and what ran in while hey ran: 100 a minute.
if [ "$served" -lt 99 ] || [ "$served" -gt 150 ]; then
    fail "hey had $served calls allowed: $(cat hey.txt)"
fi
echo "ok: hey had $served calls allowed"
curl -s http://localhost:8080/stats >stats.json
same "allowed in /stats" "$(jq '."tenant-pro".allowed' stats.json)" "$((served + 1))"
same "denied in /stats" "$(jq '."tenant-pro".denied' stats.json)" "$refused"

# watch wants a terminal and never ends by itself.
cat >watch.sh <<'WATCH'
watch -n 1 'curl -s http://localhost:8080/stats | jq'
WATCH
TERM=xterm timeout 3 script -qec "stty rows 60 cols 100; sh watch.sh" /dev/null >watch.txt 2>/dev/null || true
for word in Every tenant-basic requests allowed denied avg_latency_ms; do
    grep -q -- "$word" watch.txt || fail "watch does not show $word: $(cat -v watch.txt)"
done
echo "ok: watch shows the numbers"

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=""
same "exit status of serve" "$status" 0
