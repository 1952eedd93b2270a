# The report for a person.

include "lib";

.rows[]
| (.what | left(42)) + (.value | fixed(3) | right(12)) + " " + (.unit | left(4))
  + (if .bound == null then "" else "\(.sense) \(.bound): \(if .ok then "ok" else "MISSED" end)" end)
