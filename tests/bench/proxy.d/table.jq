# The report as text.

include "lib";

def names: {direct: "straight to the upstream", nginx: "nginx proxy_pass", portkey: "Portkey gateway",
            mtagent: "mtagent, tools = []", tools: "mtagent, all built-in tools"};
def parts: {latency: "request", first: "first piece", all: "every piece"};

"\(.machine.cpus) processors (\(.machine.cpu)), \(.machine.kernel)",
"\(.machine.mtagent); \(.machine.nginx); Portkey gateway \(.machine.gateway), node \(.machine.node); wrk \(.machine.wrk)",
"medians of \(.repetitions) interleaved measurements of \(.seconds) s; \(.connections) connections,"
    + " \(.per_second) requests/s, \(.streams) streams",
(select(.loads != []) | "",
    ("LOAD" | left(30)) + ("REQUESTS/S" | right(12)) + ("P99 MS" | right(10)) + ("CPU US/REQUEST" | right(16))
        + ("OVER 2 S" | right(10)),
    (.loads[] | (names[.target] | left(30)) + (.requests_per_second | right(12)) + (.p99_ms | fixed(2) | right(10))
        + (.cpu_us_per_request | fixed(2) | right(16)) + (.timeouts | right(10)))),
(select(.latencies != []) | "",
    ("LATENCY" | left(14)) + ("TARGET" | left(28)) + ("P50 MS" | right(10)) + ("P99 MS" | right(10))
        + ("MAX MS" | right(10)) + ("COUNT" | right(10)),
    (.latencies[] | (parts[.of] | left(14)) + (names[.target] | left(28)) + (.p50_ms | fixed(3) | right(10))
        + (.p99_ms | fixed(3) | right(10)) + (.max_ms | fixed(3) | right(10)) + (.count | right(10)))),
"",
("ROW" | left(8)) + ("COMPARISON" | left(40)) + ("VALUE" | right(12)) + "  " + ("BOUND" | left(14))
    + ("WANTED" | left(8)) + "VERDICT",
(.comparisons[] | (.row | left(8)) + (.what | left(40)) + ((.value | fixed(3)) + " " + .unit | right(12)) + "  "
    + (if .bound then "\(.sense) \(.bound)" else "-" end | left(14)) + (.wanted // "-" | left(8))
    + (if .ok == null then (if .bound then "unknown" else "-" end) elif .ok then "ok" else "MISSED" end)),
"",
(if .missed > 0 then "\(.missed) bound(s) MISSED"
 else "\([.comparisons[] | select(.ok)] | length) bound(s) measured, none missed" end)
