// stats export

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/workspace.h"
#include "base/text.h"
#include "base/units.h"
#include "tenant/stats_reader.h"

namespace mt::app {
namespace {

using api::Json;

struct Flags {
    std::vector<std::string> tenants;
    std::string month;
    std::string format;
};

struct Month {
    std::string text;  // YYYY-MM
    TimeSpan span;     // in UTC
};

// Fields of an invoice's row: columns of CSV and members of JSON.
constexpr std::array<std::string_view, 18> k_columns{
    "month",        "tenant",    "name",       "plan",           "status",        "requests",
    "allowed",      "served",    "denied",     "errors",         "unauthorized",  "cache_hits",
    "cache_misses", "tokens_in", "tokens_out", "avg_latency_ms", "storage_bytes", "complete"};

Result<Month> parse_month(const std::string& text, WallTime now) {
    if (text.empty()) {
        return Error{Code::invalid, "--month is needed: YYYY-MM, such as --month 2026-11"};
    }
    const bool shaped = text.size() == 7 && text[4] == '-';
    Result<std::int64_t> year = parse_integer(std::string_view(text).substr(0, 4));
    Result<std::int64_t> month = parse_integer(shaped ? std::string_view(text).substr(5) : "");
    if (!year || !month || *year < 1970 || *month < 1 || *month > 12) {
        return Error{Code::invalid,
                     fmt::format("--month: {} is no month: expected YYYY-MM, such as 2026-11", quote(text))};
    }
    const auto begin_of = [](std::chrono::year_month ym) { return WallTime{std::chrono::sys_days{ym / 1}}; };
    const std::chrono::year_month wanted{std::chrono::year{static_cast<int>(*year)},
                                         std::chrono::month{static_cast<unsigned>(*month)}};
    const Month found{text, {begin_of(wanted), begin_of(wanted + std::chrono::months{1})}};
    if (found.span.from > now) {
        return Error{Code::invalid, fmt::format("--month: {} has not begun yet", text)};
    }
    return found;
}

// RFC 4180. A spreadsheet takes a text for a formula when it begins like one; an apostrophe keeps it a text.
std::string csv_text(std::string text) {
    if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) {
        text.insert(0, 1, '\'');
    }
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted.append(c == '"' ? 2 : 1, c);
    }
    return quoted + "\"";
}

void print_csv(const Console& console, const Json& row) {
    std::vector<std::string> fields;
    for (const Json& value : row) {
        fields.push_back(value.is_string() ? csv_text(value.get<std::string>()) : value.dump());
    }
    console.print(join(fields, ",") + "\r\n");
}

Result<Json> row_of(Workspace& workspace, const TenantRecord& record, const Month& month) {
    const WallTime now = workspace.clock.wall();
    Result<Totals> totals =
        Books(*workspace.ledger, workspace.slots.get(), {record.id, record.uid}).counted_in(month.span, now);
    if (!totals) {
        return std::move(totals).error();
    }
    const Slot* slot = workspace.slots == nullptr ? nullptr : workspace.slots->find(record.uid);
    Json all = api::stats_json({record.id, *totals, slot == nullptr ? Gauges{} : slot->gauges()});
    all.update({{"month", month.text},
                {"tenant", record.id},
                {"name", record.name},
                {"plan", record.plan},
                {"status", to_string(record.status)},
                {"complete", month.span.to <= now}});
    Json row = Json::object();
    for (const std::string_view column : k_columns) {
        row[std::string(column)] = all.at(std::string(column));
    }
    return row;
}

bool is_gone(TenantStatus status) {
    return status == TenantStatus::removing || status == TenantStatus::removed;
}

// Those that were named, each once, or all.
Result<std::vector<TenantRecord>> records_of(Catalog& catalog, const std::vector<std::string>& names) {
    std::vector<TenantRecord> records;
    if (names.empty()) {
        Result<void> listed = for_each_tenant(catalog, [&](const TenantRecord& record) -> Result<void> {
            if (!is_gone(record.status)) {
                records.push_back(record);
            }
            return {};
        });
        return listed ? Result<std::vector<TenantRecord>>(std::move(records))
                      : Result<std::vector<TenantRecord>>(std::move(listed).error());
    }
    for (const std::string& id : names) {
        Result<TenantRecord> record = catalog.row(id);
        if (!record || is_gone(record->status)) {
            return record ? Error{Code::not_found, fmt::format("there is no tenant {}", quote(id))}
                          : std::move(record).error();
        }
        const bool twice = std::any_of(records.begin(), records.end(),
                                       [&](const TenantRecord& other) { return other.id == record->id; });
        if (!twice) {
            records.push_back(*std::move(record));
        }
    }
    return records;
}

Result<void> write_rows(const Console& console, Workspace& workspace, const std::vector<TenantRecord>& records,
                        const Month& month, bool csv) {
    if (csv) {
        print_csv(console, Json(k_columns));
    }
    std::int64_t unread = 0;
    for (const TenantRecord& record : records) {
        const Result<Json> row = row_of(workspace, record, month);
        if (row) {
            csv ? print_csv(console, *row) : console.print_json_line(*row);
            continue;
        }
        const Result<TenantRecord> present = workspace.catalog->row(record.id);
        if (!present || present->uid != record.uid || is_gone(present->status)) {
            continue;  // removed in the meantime
        }
        ++unread;
        report({row.error().code, fmt::format("tenant '{}': {}", record.id, row.error().message)}, console.json());
    }
    return unread == 0
               ? Result<void>{}
               : Result<void>{Error{Code::failed, fmt::format("{} of {} tenants could not be read and are not there",
                                                              unread, records.size())}};
}

Result<void> export_month(const Console& console, const Flags& flags) {
    Result<Month> month = parse_month(flags.month, SystemClock().wall());
    if (!month) {
        return std::move(month).error();
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<std::vector<TenantRecord>> records = records_of(*(*workspace)->catalog, flags.tenants);
    if (!records) {
        return std::move(records).error();
    }
    const bool csv = flags.format.empty() ? !console.json() : flags.format == "csv";
    return write_rows(console, **workspace, *records, *month, csv);
}

}  // namespace

Run declare_stats_export(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("TENANT", flags->tenants, "only these");
    app.add_option("--month", flags->month, "which month, in UTC")->type_name("YYYY-MM");
    app.add_option("--format", flags->format, "csv or jsonl; default: csv, with --json jsonl")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"csv", "jsonl"}));
    return [flags](Console& console) { return export_month(console, *flags); };
}

}  // namespace mt::app
