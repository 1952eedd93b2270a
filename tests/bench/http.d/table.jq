# The report as text.
include "lib";

def names: {nginx: "nginx", go: "Go net/http", bare: "mtagent, bare route", full: "mtagent, full chain, cache off",
            cached: "mtagent, full chain, cache on"};

"\(.machine.cpus) processors (\(.machine.cpu)), \(.machine.kernel)",
"\(.machine.mtagent); \(.machine.nginx); \(.machine.go); wrk \(.machine.wrk)",
"medians of \(.repetitions) interleaved measurements of \(.seconds) s",
"",
("TARGET" | left(32)) + ("CONNECTIONS" | right(11)) + ("IDLE" | right(8)) + ("REQUESTS/S" | right(12))
    + ("P99 MS" | right(10)) + ("CPU US/REQUEST" | right(16)),
(.measured[] | (names[.target] | left(32)) + (.connections | right(11)) + (.idle_connections | right(8))
    + (.requests_per_second | right(12)) + (.p99_ms | fixed(2) | right(10))
    + (.cpu_us_per_request | fixed(2) | right(16))),
"",
("ROW  " + ("COMPARISON" | left(46)) + ("CONNECTIONS" | right(11)) + ("VALUE" | right(10)) + "  "
    + ("BOUND" | left(14)) + ("WANTED" | left(8)) + "VERDICT"),
(.comparisons[] | ("\(.row)" | left(5)) + (.what | left(46)) + (.connections | right(11))
    + ((.value | fixed(3)) + " " + .unit | right(10)) + "  "
    + (if .bound then "\(.sense) \(.bound)" else "-" end | left(14)) + (.wanted // "-" | left(8))
    + (if .ok == null then (if .bound then "unknown" else "-" end) elif .ok then "ok" else "MISSED" end)),
(.memory | values | "", "RSS \(.rss_before_bytes / 1e6 | fixed(1)) MB and \(.threads_before) threads without, "
    + "\(.rss_bytes / 1e6 | fixed(1)) MB and \(.threads) threads with \(.idle_connections) idle connections"),
"",
(if .missed > 0 then "\(.missed) bound(s) MISSED"
 else "\([.comparisons[] | select(.ok)] | length) bound(s) measured, none missed" end)
