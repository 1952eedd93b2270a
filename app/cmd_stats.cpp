#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <ctime>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/workspace.h"
#include "base/units.h"
#include "stats/ledger.h"
#include "tenant/stats_reader.h"

namespace mt::app {
namespace {

struct Flags {
    std::vector<std::string> tenants;
    std::string since;
    bool watch = false;
};

Result<std::vector<TenantSample>> read_samples(const Console& console, Workspace& workspace, const Flags& flags) {
    StatsReader reader(*workspace.catalog, *workspace.files, workspace.slots.get(), nullptr);
    if (flags.tenants.empty()) {
        std::vector<std::string> faults;
        Result<std::vector<TenantSample>> all = reader.all(faults);
        for (const std::string& fault : faults) {
            console.note("left out: " + fault);
        }
        return all;
    }
    std::vector<TenantSample> samples;
    for (const std::string& id : flags.tenants) {
        Result<TenantSample> sample = reader.one(id);
        if (!sample) {
            return std::move(sample).error();
        }
        samples.push_back(*std::move(sample));
    }
    return samples;
}

Result<std::vector<TenantSample>> gather(const Console& console, const Flags& flags) {
    std::optional<std::chrono::milliseconds> period;
    if (!flags.since.empty()) {
        Result<std::chrono::milliseconds> parsed = parse_duration(flags.since);
        if (!parsed) {
            return Error{Code::invalid, "--since: " + parsed.error().message};
        }
        period = *parsed;
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<std::vector<TenantSample>> samples = read_samples(console, **workspace, flags);
    if (samples && period) {
        const WallTime now = (*workspace)->clock.wall();
        for (TenantSample& sample : *samples) {
            Result<TenantRecord> record = (*workspace)->catalog->row(sample.tenant);
            if (!record) {
                return std::move(record).error();
            }
            Books books(*(*workspace)->files, (*workspace)->slots.get(), record->id, record->uid);
            Result<Totals> recent = books.counted_in({now - *period}, now);
            if (!recent) {
                return std::move(recent).error();
            }
            sample.totals = *recent;
        }
    }
    return samples;
}

void show(const Console& console, const std::vector<TenantSample>& samples) {
    if (console.json()) {
        return console.print_json(api::all_stats_json(samples));
    }
    std::vector<std::vector<std::string>> rows{{"TENANT", "REQUESTS", "ALLOWED", "DENIED", "ERRORS", "AVG MS",
                                                "CACHE HITS", "TOKENS IN", "TOKENS OUT", "STORED"}};
    for (const TenantSample& sample : samples) {
        const Totals& totals = sample.totals;
        const auto number = [](std::int64_t value) { return fmt::format("{}", value); };
        rows.push_back({sample.tenant, number(totals.requests()), number(totals.allowed()), number(totals.denied()),
                        number(totals.of(Counter::failed)), fmt::format("{:.3f}", totals.average_latency_ms()),
                        number(totals.of(Counter::cache_hits)), number(totals.of(Counter::tokens_in)),
                        number(totals.of(Counter::tokens_out)), format_size(sample.gauges.storage_bytes)});
    }
    console.print(table(rows));
}

// Shows again every second until interrupted. True while there is more to show.
bool next_round(const sigset_t& ends) {
    const timespec second{1, 0};
    return sigtimedwait(&ends, nullptr, &second) < 0;
}

Result<void> stats(const Console& console, const Flags& flags) {
    sigset_t ends{};
    sigemptyset(&ends);
    if (flags.watch) {
        sigaddset(&ends, SIGINT);
        sigaddset(&ends, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    }
    do {
        Result<std::vector<TenantSample>> samples = gather(console, flags);
        if (!samples) {
            return std::move(samples).error();
        }
        if (flags.watch && console.animated() && !console.json()) {
            console.print("\x1b[H\x1b[2J");
        }
        show(console, *samples);
    } while (flags.watch && next_round(ends));
    return {};
}

}  // namespace

Run declare_stats(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("TENANT", flags->tenants, "only these");
    app.add_option("--since", flags->since, "only the last while, such as 24h")->type_name("DURATION");
    app.add_flag("--watch", flags->watch, "again every second, until interrupted");
    return [flags](Console& console) { return stats(console, *flags); };
}

}  // namespace mt::app
