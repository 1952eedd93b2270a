# All measurements, one object a line, into one object: medians, and what is to be reached beside what was.

include "lib";

. as $all
| def part($name): [$all[] | select(.part == $name)];
def of($target): [part("limiter")[] | select(.target == $target)];
def middle($runs; $field): [$runs[][$field]] | median;

def row($what; $unit; $value; $sense; $bound):
    select($value != null)
    | {what: $what, unit: $unit, value: ($value | round_to(4)), sense: $sense, bound: $bound,
       ok: (if $bound == null then null elif $sense == "at least" then $value >= $bound else $value < $bound end)};

[
    row("calls per second, limits in the process"; "/s"; middle(of("local"); "requests_per_second"); null; null),
    row("calls per second, limits in Redis"; "/s"; middle(of("redis"); "requests_per_second"); null; null),
    row("limits in Redis / in the process"; "x"; ratio(of("redis"); of("local")); "at least"; 0.5),
    row("p99, limits in the process"; "ms"; middle(of("local"); "p99_ms"); null; null),
    row("p99, limits in Redis"; "ms"; middle(of("redis"); "p99_ms"); null; null),
    row("scripts of Redis per admitted call"; "x"; middle(part("scripts"); "per_call"); "below"; 1.001),
    row("tenants in PostgreSQL"; ""; middle(part("idle"); "tenants"); null; null),
    row("memory of an idle replica with them"; "MB"; middle(part("idle"); "rss_mb"); "below"; 20)
] as $rows
| {rows: $rows, missed: ([$rows[] | select(.ok == false)] | length)}
