# Included by the reports of tests/bench: figures and columns of text.

def median: sort | length as $n
    | if $n == 0 then null elif $n % 2 == 1 then .[($n - 1) / 2] else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
def round_to($digits): if . == null then null else . * pow(10; $digits) | round / pow(10; $digits) end;

# Ratio of two lists of runs: per repetition, then the median.
def ratio($ours; $theirs):
    [$ours[] | . as $run | $theirs[] | select(.repetition == $run.repetition)
        | $run.requests_per_second / .requests_per_second] | median;

def blanks($n): [range($n) | " "] | join("");
def left($n): tostring | . + blanks($n - length);
def right($n): tostring | blanks($n - length) + .;
def fixed($digits): if . < 0 then "-" + (-. | fixed($digits)) else (. * pow(10; $digits) | round | tostring)
    | [range($digits + 1 - length) | "0"] + [.] | join("") | .[:-$digits] + "." + .[-$digits:] end;
