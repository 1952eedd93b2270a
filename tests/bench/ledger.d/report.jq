# All measurements, one object a line, into one object: medians, and what is to be reached beside what was.

include "lib";

. as $all
| def part($name): [$all[] | select(.part == $name)];
def of($part; $target): [part($part)[] | select(.target == $target)];
def middle($runs; $field): [$runs[][$field]] | median;

def row($what; $unit; $value; $sense; $bound):
    select($value != null)
    | {what: $what, unit: $unit, value: ($value | round_to(3)), sense: $sense, bound: $bound,
       ok: (if $bound == null then null elif $sense == "at least" then $value >= $bound else $value < $bound end)};

middle(of("load"; "off"); "cpu_us_per_request") as $cpu_us
| middle(part("cost"); "difference_ns") as $cost_ns
| [
    row("a call in process, whole chain"; "ns"; middle(part("cost"); "whole_ns"); null; null),
    row("without statistics, metrics and gate"; "ns"; middle(part("cost"); "without_ns"); null; null),
    row("processor time of a call over HTTP"; "us"; $cpu_us; null; null),
    (if $cost_ns != null and $cpu_us != null
     then row("statistics, metrics and gate / a call"; "%"; $cost_ns / 10 / $cpu_us; "below"; 5) else empty end),
    row("calls per second, access log off"; "/s"; middle(of("load"; "off"); "requests_per_second"); null; null),
    row("access log on / off"; "x"; ratio(of("load"; "on"); of("load"; "off")); "at least"; 0.8),
    row("a scrape of 1,000 tenants"; "ms"; middle(part("scrape"); "ms"); "below"; 20),
    row("calls beside 10 scrapes a second / alone"; "x"; ratio(part("scraped"); part("quiet")); null; null),
    row("their p99, alone"; "ms"; middle(part("quiet"); "p99_ms"); null; null),
    row("their p99, beside the scrapes"; "ms"; middle(part("scraped"); "p99_ms"); null; null)
  ] as $rows
| {rows: $rows, missed: ([$rows[] | select(.ok == false)] | length)}
