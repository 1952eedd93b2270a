# All measurements, one object a line, into one object: medians, and what is to be reached beside what was.
# Arguments: $setup (machine, connections, per_second, streams, seconds, repetitions).

include "lib";

def bound_connections: 32;

. as $all
| def runs($part; $target): [$all[] | select(.part == $part and .target == $target)];

def compared($row; $what; $unit; $value; $sense; $bound; $wanted):
    select($value != null)
    # The bounds hold at one number of connections; elsewhere the value is only shown.
    | (if $row == "stream" or $setup.connections == bound_connections then $bound else null end) as $bound
    | {row: $row, what: $what, unit: $unit, value: ($value | round_to(3)), sense: $sense, bound: $bound,
       wanted: (if $bound then $wanted else null end),
       # Less than nothing cannot be added: then noise has decided, and nothing is proved.
       ok: (if $bound == null or $value < 0 then null elif $sense == "at least" then $value >= $bound else $value < $bound end)};

def through($target; $other): ratio(runs("load"; $target); runs("load"; $other));

# What is added to the direct way, in milliseconds, the median of the repetitions. The quietest direct run counts, so that
# noise there cannot hide what is added.
def added($part; $target; $field; $percentile):
    ([runs($part; "direct")[] | .[$field][$percentile]] | min) as $direct
    | [runs($part; $target)[] | (.[$field][$percentile] - $direct) / 1e3] | median;

def loads: [runs("load"; "direct", "nginx", "portkey", "mtagent", "tools") | select(length > 0)
    | {target: .[0].target, requests_per_second: (map(.requests_per_second) | median | round_to(0)),
       p99_ms: (map(.p99_ms) | median | round_to(3)),
       cpu_us_per_request: (map(.cpu_us_per_request) | median | round_to(2)), timeouts: (map(.timeouts) | add)}];

def latencies: [("rate", "stream") as $part | (if $part == "rate" then "latency" else "first", "all" end) as $field
    | runs($part; "direct", "nginx", "mtagent") | select(length > 0)
    | {part: $part, of: $field, target: .[0].target, p50_ms: (map(.[$field].p50_us / 1e3) | median | round_to(3)),
       p99_ms: (map(.[$field].p99_us / 1e3) | median | round_to(3)),
       # The greatest has no median: the most that was seen counts.
       max_ms: (map(.[$field].max_us / 1e3) | max | round_to(3)), count: (map(.[$field].count) | add)}];

def comparisons: [
    compared("load"; "mtagent / nginx"; "x"; through("mtagent"; "nginx"); "at least"; 0.4; 0.6),
    compared("load"; "mtagent / Portkey gateway"; "x"; through("mtagent"; "portkey"); "at least"; 6; 10),
    compared("load"; "mtagent, all tools / nginx"; "x"; through("tools"; "nginx"); null; null; null),
    compared("load"; "mtagent, all tools / Portkey gateway"; "x"; through("tools"; "portkey"); null; null; null),
    compared("rate"; "added by mtagent, p50"; "ms"; added("rate"; "mtagent"; "latency"; "p50_us"); null; null; null),
    compared("rate"; "added by mtagent, p99"; "ms"; added("rate"; "mtagent"; "latency"; "p99_us"); "below"; 1; 0.3),
    compared("rate"; "added by nginx, p50"; "ms"; added("rate"; "nginx"; "latency"; "p50_us"); null; null; null),
    compared("rate"; "added by nginx, p99"; "ms"; added("rate"; "nginx"; "latency"; "p99_us"); null; null; null),
    compared("stream"; "added to the first piece, p50"; "ms"; added("stream"; "mtagent"; "first"; "p50_us"); null; null;
        null),
    compared("stream"; "added to the first piece, p99"; "ms"; added("stream"; "mtagent"; "first"; "p99_us"); "below"; 1;
        null),
    compared("stream"; "added to every piece, p99"; "ms"; added("stream"; "mtagent"; "all"; "p99_us"); null; null; null),
    compared("stream"; "added to every piece, max"; "ms"; added("stream"; "mtagent"; "all"; "max_us"); null; null; null)];

$setup + {loads: loads, latencies: latencies, comparisons: comparisons}
| .missed = ([.comparisons[] | select(.ok == false)] | length)
