#include "agent/data_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <optional>

#include "agent/numbers.h"
#include "base/text.h"

namespace mt {
namespace {

struct Line {
    std::size_t number = 0;  ///< from 1
    std::string_view text;
};

struct Row {
    std::size_t line = 0;
    std::vector<std::string> cells;
};

bool is_number(std::string_view cell) {
    return parse_number(cell).has_value();
}

// The lines that hold something.
std::vector<Line> split_lines(std::string_view data) {
    std::vector<Line> lines;
    std::size_t number = 0;
    while (!data.empty()) {
        const std::size_t end = std::min(data.find('\n'), data.size());
        ++number;
        if (!trim(data.substr(0, end)).empty()) {
            lines.push_back({number, data.substr(0, end)});
        }
        data.remove_prefix(std::min(end + 1, data.size()));
    }
    return lines;
}

char separator_of(std::string_view header) {
    for (const char separator : {'\t', ';', ','}) {
        if (header.find(separator) != std::string_view::npos) {
            return separator;
        }
    }
    return ',';
}

std::vector<std::string> split_cells(std::string_view line, char separator) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
            cells.back() += line[i++];
        } else if (c == '"' && (quoted || trim(cells.back()).empty())) {
            quoted = !quoted;
        } else if (c == separator && !quoted) {
            cells.emplace_back();
        } else {
            cells.back() += c;
        }
    }
    for (std::string& cell : cells) {
        cell = std::string(trim(cell));
    }
    return cells;
}

bool is_header(const std::vector<std::string>& cells) {
    return std::none_of(cells.begin(), cells.end(),
                        [](const std::string& cell) { return cell.find_first_of("+-.0123456789") == 0; });
}

Result<std::vector<DataColumn>> read_numbers(const std::vector<Line>& lines) {
    constexpr std::string_view k_between = ", ;\t\r";
    DataColumn numbers;
    for (const Line& line : lines) {
        std::size_t place = 0;
        for (std::size_t at = line.text.find_first_not_of(k_between); at != std::string_view::npos;) {
            const std::size_t end = std::min(line.text.find_first_of(k_between, at), line.text.size());
            const std::string_view word = line.text.substr(at, end - at);
            const std::optional<double> value = parse_number(word);
            ++place;
            if (!value) {
                return Error{Code::invalid,
                             fmt::format("line {}, value {}: {} is no number", line.number, place, quote(word))};
            }
            numbers.values.push_back(*value);
            at = line.text.find_first_not_of(k_between, end);
        }
    }
    return std::vector<DataColumn>{std::move(numbers)};
}

Result<std::vector<Row>> read_rows(const std::vector<Line>& lines, std::size_t width, char separator) {
    std::vector<Row> rows;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        rows.push_back({lines[i].number, split_cells(lines[i].text, separator)});
        if (rows.back().cells.size() != width) {
            return Error{Code::invalid, fmt::format("line {} has {} cells where the header has {}", lines[i].number,
                                                    rows.back().cells.size(), width)};
        }
    }
    return rows;
}

Result<DataColumn> read_column(const std::string& name, const std::vector<Row>& rows, std::size_t index) {
    DataColumn column{name, {}};
    for (const Row& row : rows) {
        const std::optional<double> value = parse_number(row.cells[index]);
        if (!value) {
            return Error{Code::invalid, fmt::format("line {}, column {}: {} is no number", row.line, quote(name),
                                                    quote(row.cells[index]))};
        }
        column.values.push_back(*value);
    }
    return column;
}

Result<std::vector<DataColumn>> read_named(const std::vector<std::string>& header, const std::vector<Row>& rows,
                                           std::string_view column) {
    const std::string wanted = to_lower(trim(column));
    for (std::size_t i = 0; i < header.size(); ++i) {
        if (to_lower(header[i]) == wanted) {
            Result<DataColumn> values = read_column(header[i], rows, i);
            if (!values) {
                return values.error();
            }
            return std::vector<DataColumn>{std::move(*values)};
        }
    }
    return Error{Code::invalid,
                 fmt::format("there is no column {}; the columns are {}", quote(column), quote(join(header, ", ")))};
}

Result<std::vector<DataColumn>> read_csv(const std::vector<Line>& lines, std::string_view column) {
    const char separator = separator_of(lines[0].text);
    const std::vector<std::string> header = split_cells(lines[0].text, separator);
    const Result<std::vector<Row>> rows = read_rows(lines, header.size(), separator);
    if (!rows) {
        return rows.error();
    }
    if (!trim(column).empty()) {
        return read_named(header, *rows, column);
    }
    std::vector<DataColumn> columns;
    for (std::size_t i = 0; i < header.size(); ++i) {
        if (std::any_of(rows->begin(), rows->end(), [i](const Row& row) { return is_number(row.cells[i]); })) {
            Result<DataColumn> values = read_column(header[i], *rows, i);
            if (!values) {
                return values.error();
            }
            columns.push_back(std::move(*values));
        }
    }
    if (columns.empty()) {
        return Error{Code::invalid, fmt::format("no column of {} holds numbers", quote(join(header, ", ")))};
    }
    return columns;
}

}  // namespace

Result<std::vector<DataColumn>> read_data_table(std::string_view data, std::string_view column) {
    const std::vector<Line> lines = split_lines(data);
    if (lines.empty()) {
        return Error{Code::invalid, "there is no data"};
    }
    if (lines.size() > 1 && is_header(split_cells(lines[0].text, separator_of(lines[0].text)))) {
        return read_csv(lines, column);
    }
    if (!trim(column).empty()) {
        return Error{Code::invalid, fmt::format("there is no column {}: the data has no header line", quote(column))};
    }
    return read_numbers(lines);
}

bool has_csv_shape(std::string_view data) {
    const std::vector<Line> lines = split_lines(data);
    if (lines.size() < 2) {
        return false;
    }
    const char separator = separator_of(lines[0].text);
    const std::vector<std::string> header = split_cells(lines[0].text, separator);
    const std::vector<std::string> row = split_cells(lines[1].text, separator);
    return is_header(header) && row.size() == header.size() && std::any_of(row.begin(), row.end(), is_number);
}

}  // namespace mt
