#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mt {

/// A numeric column of a table; `name` is "" for numbers without a header.
struct DataColumn {
    std::string name;
    std::vector<double> values;
};

/// Reads numbers separated by commas, semicolons, blanks or line ends, or CSV (RFC 4180, without line ends inside
/// quotes; comma, semicolon or tab): the first line is a header when more lines follow and none of its cells begins
/// like a number. `column`: the one to read, any case; "": all that hold numbers, at least one; columns of text alone
/// are left out. Errors: invalid, naming line and column (a cell that is no number, a row of the wrong width, an
/// unknown column).
Result<std::vector<DataColumn>> read_data_table(std::string_view data, std::string_view column);

/// True when `data` has a header and at least one row of the same width with a number in it.
bool has_csv_shape(std::string_view data);

}  // namespace mt
