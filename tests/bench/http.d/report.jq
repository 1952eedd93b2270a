# All measurements, one object a line, into one object: medians, and what is to be reached beside what was.
# Arguments: $setup (machine, seconds, repetitions, idle_connections, idle_connections_asked).

include "lib";

def labels: {nginx: "nginx", go: "Go net/http", bare: "bare route", full: "full chain, cache off",
             cached: "full chain, cache on"};
def bound_connections: 64;

. as $all
| def runs($part; $target; $connections; $idle): [$all[] | select(.part == $part and .target == $target
        and .connections == $connections and (.idle_connections > 0) == $idle)];

def compared($row; $what; $connections; $unit; $value; $sense; $bound; $wanted):
    select($value != null)
    | {row: $row, what: $what, connections: $connections, unit: $unit, value: ($value | round_to(3)),
       bound: $bound, sense: $sense, wanted: $wanted,
       ok: (if $bound == null then null
            elif (if $sense == "at least" then $value >= $bound else $value < $bound end) | not then false
            # With fewer idle connections than asked for nothing is proved.
            elif $row == 3 and $setup.idle_connections < $setup.idle_connections_asked then null
            else true end)};

# Bounds hold at one number of connections; elsewhere the ratio is only shown.
def bare_against($other; $connections; $bound; $wanted):
    ratio(runs("load"; "bare"; $connections; false); runs("load"; $other; $connections; false)) as $value
    | if $connections == bound_connections
      then compared(1; "bare route / " + labels[$other]; $connections; "x"; $value; "at least"; $bound; $wanted)
      else compared(1; "bare route / " + labels[$other]; $connections; "x"; $value; null; null; null) end;

def full_against_bare($target):
    ratio(runs("load"; $target; bound_connections; false); runs("load"; "bare"; bound_connections; false)) as $value
    | compared(2; labels[$target] + " / bare route"; bound_connections; "x"; $value; "at least"; 0.85; 0.95);

def beside_idle($target):
    ratio(runs("idle"; $target; bound_connections; true); runs("idle"; $target; bound_connections; false)) as $value
    | compared(3; labels[$target] + " beside idle ones / itself"; bound_connections; "x"; $value; "at least"; 0.9; 0.98);

def measured: [group_by([.part, .idle_connections > 0, .connections, .target])[] | select(.[0].part != "memory")
    | {part: .[0].part, target: .[0].target, connections: .[0].connections, idle_connections: .[0].idle_connections,
       requests_per_second: (map(.requests_per_second) | median | round_to(0)),
       p99_ms: (map(.p99_ms) | median | round_to(3)),
       cpu_us_per_request: (map(.cpu_us_per_request) | median | round_to(2)),
       timeouts: (map(.timeouts) | add)}]
    | sort_by([.part != "load", .connections, .idle_connections,
               (.target as $t | ["nginx", "go", "bare", "full", "cached"] | index($t))]);

# Memory and threads have no median: the most that was seen counts.
def memory: [.[] | select(.part == "memory")] | if length == 0 then null else
    {idle_connections: .[0].idle_connections, rss_before_bytes: (map(.rss_before_bytes) | min),
     rss_bytes: (map(.rss_bytes) | max), threads_before: (map(.threads_before) | max),
     threads: (map(.threads) | max)} end;

def comparisons: memory as $memory | (map(.connections | numbers) | unique) as $counts | [
    ($counts[] as $c | bare_against("nginx"; $c; 0.6; 0.85), bare_against("go"; $c; 1.0; null)),
    compared(1; "bare route, p99"; bound_connections; "ms";
        ([runs("load"; "bare"; bound_connections; false)[]
          # Without its peers the bare route was measured for the second row alone.
          | .repetition as $r | select(runs("load"; "nginx"; bound_connections; false) | any(.repetition == $r))
          | .p99_ms] | median); "below"; 5; null),
    full_against_bare("full", "cached"),
    beside_idle("bare", "full", "cached"),
    compared(3; "RSS with the idle ones"; $memory.idle_connections; "MB";
        ($memory | if . then .rss_bytes / 1e6 else null end); "below"; 64; null)];

$setup + {measured: measured, memory: memory, comparisons: comparisons}
| .missed = ([.comparisons[] | select(.ok == false)] | length)
