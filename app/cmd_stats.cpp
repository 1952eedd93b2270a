#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <utility>

#include "api/json_views.h"
#include "app/command.h"
#include "app/live_text.h"
#include "app/sparkline.h"
#include "app/workspace.h"
#include "base/text.h"
#include "base/units.h"
#include "tenant/stats_reader.h"

namespace mt::app {
namespace {

constexpr std::chrono::milliseconds k_spark_period = std::chrono::minutes{30};
constexpr std::size_t k_most_sparks = 200;  // tenants: each line costs a look into a file
constexpr std::string_view k_total = "TOTAL";

struct Flags {
    std::vector<std::string> tenants;
    std::string since;
    bool watch = false;
};

// What is to be shown, and to whom.
struct Wanted {
    std::vector<std::string> tenants;  // none: all
    std::optional<std::chrono::milliseconds> since;
    bool person = false;
    bool sparks = false;
};

// What is there to show.
struct Numbers {
    std::vector<TenantSample> samples;
    std::vector<std::string> sparks;  // one for each sample, or none at all
    std::vector<std::string> faults;
};

Result<Wanted> wanted_by(const Console& console, const Flags& flags) {
    Wanted wanted;
    for (const std::string& id : flags.tenants) {
        if (std::find(wanted.tenants.begin(), wanted.tenants.end(), id) == wanted.tenants.end()) {
            wanted.tenants.push_back(id);
        }
    }
    if (!flags.since.empty()) {
        Result<std::chrono::milliseconds> parsed = parse_duration(flags.since);
        if (!parsed) {
            return Error{Code::invalid, "--since: " + parsed.error().message};
        }
        wanted.since = *parsed;
    }
    wanted.person = !console.json() && Console::to_person();
    wanted.sparks = wanted.person && console.drawn();
    return wanted;
}

Result<void> read_samples(StatsReader& reader, const Wanted& wanted, Numbers& numbers) {
    if (wanted.tenants.empty()) {
        Result<std::vector<TenantSample>> all = reader.all(numbers.faults);
        if (!all) {
            return std::move(all).error();
        }
        numbers.samples = *std::move(all);
        return {};
    }
    for (const std::string& id : wanted.tenants) {
        Result<TenantSample> sample = reader.one(id);
        if (!sample) {
            return std::move(sample).error();
        }
        numbers.samples.push_back(*std::move(sample));
    }
    return {};
}

// Takes the numbers of the span alone, and draws its course into `spark`.
Result<void> look_back(Workspace& workspace, const StatsReader& reader, const Wanted& wanted, TenantSample& sample,
                       std::string* spark) {
    if (sample.totals == Totals{}) {
        return {};  // the history of those who have never been asked stays closed
    }
    Result<TenantRecord> record = workspace.catalog->row(sample.tenant);
    if (!record) {
        return std::move(record).error();
    }
    Books books = reader.books(*record);
    const WallTime now = workspace.clock.wall();
    if (wanted.since) {
        Result<Totals> recent = books.counted_in({now - *wanted.since}, now);
        if (!recent) {
            return std::move(recent).error();
        }
        sample.totals = *recent;
    }
    if (spark != nullptr && sample.totals.requests() > 0) {
        const SparkSteps steps(wanted.since.value_or(k_spark_period), now);
        Result<std::vector<Period>> periods = books.series({steps.first}, steps.width, now);
        if (!periods) {
            return std::move(periods).error();
        }
        *spark = sparkline(steps.requests(*periods));
    }
    return {};
}

Result<Numbers> gather(const Console& console, const Wanted& wanted) {
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (!workspace) {
        return std::move(workspace).error();
    }
    StatsReader reader(*(*workspace)->catalog, *(*workspace)->ledger, (*workspace)->slots.get(), nullptr);
    Numbers read;
    if (Result<void> done = read_samples(reader, wanted, read); !done) {
        return std::move(done).error();
    }
    const bool sparks = wanted.sparks && read.samples.size() <= k_most_sparks;
    if (!wanted.since && !sparks) {
        return read;
    }
    Numbers numbers{{}, {}, std::move(read.faults)};
    for (TenantSample& sample : read.samples) {
        std::string spark;
        Result<void> done = look_back(**workspace, reader, wanted, sample, sparks ? &spark : nullptr);
        if (done) {
            numbers.samples.push_back(std::move(sample));
            if (sparks) {
                numbers.sparks.push_back(std::move(spark));
            }
        } else if (!wanted.tenants.empty()) {
            return std::move(done).error();
        } else {
            numbers.faults.push_back(fmt::format("tenant '{}': {}", sample.tenant, done.error().message));
        }
    }
    return numbers;
}

// "1234567.5" as "1,234,567.5".
std::string grouped(std::string digits) {
    constexpr std::size_t k_group = 3;
    for (std::size_t at = std::min(digits.find('.'), digits.size()); at > k_group + (digits[0] == '-' ? 1 : 0);) {
        at -= k_group;
        digits.insert(at, 1, ',');
    }
    return digits;
}

std::vector<std::string> row_of(std::string_view name, const Totals& totals, const Gauges& gauges, bool person) {
    const auto number = [&](std::int64_t value) {
        return person ? grouped(std::to_string(value)) : std::to_string(value);
    };
    const std::string average = fmt::format("{:.3f}", totals.average_latency_ms());
    return {std::string(name),
            number(totals.requests()),
            number(totals.allowed()),
            number(totals.denied()),
            number(totals.of(Counter::failed)),
            person ? grouped(average) : average,
            number(totals.of(Counter::cache_hits)),
            number(totals.of(Counter::tokens_in)),
            number(totals.of(Counter::tokens_out)),
            person ? format_size(gauges.storage_bytes) : number(gauges.storage_bytes)};
}

std::string text_of(const Numbers& numbers, const Wanted& wanted) {
    std::vector<std::vector<std::string>> rows{{"TENANT", "REQUESTS", "ALLOWED", "DENIED", "ERRORS", "AVG MS",
                                                "CACHE HITS", "TOKENS IN", "TOKENS OUT", "STORED"}};
    const std::size_t counts = rows[0].size() - 1;
    if (!numbers.sparks.empty()) {
        rows[0].push_back("LAST " + format_duration(wanted.since.value_or(k_spark_period)));
    }
    Totals totals;
    Gauges gauges;
    for (std::size_t i = 0; i < numbers.samples.size(); ++i) {
        const TenantSample& sample = numbers.samples[i];
        rows.push_back(row_of(sample.tenant, sample.totals, sample.gauges, wanted.person));
        if (!numbers.sparks.empty()) {
            rows.back().push_back(numbers.sparks[i]);
        }
        totals += sample.totals;
        gauges.storage_bytes += sample.gauges.storage_bytes;
    }
    if (wanted.person && numbers.samples.size() >= 2) {
        rows.push_back(row_of(k_total, totals, gauges, true));
    }
    return table(rows, {1, counts});
}

void note_faults(const Console& console, const Numbers& numbers) {
    for (const std::string& fault : numbers.faults) {
        console.note("left out: " + fault);
    }
}

void show(const Console& console, const Numbers& numbers, const Wanted& wanted) {
    note_faults(console, numbers);
    if (console.json()) {
        console.print_json(api::all_stats_json(numbers.samples));
    } else {
        console.print(text_of(numbers, wanted));
    }
}

// One document after the other, or on a terminal one in the place of the other.
void show_again(const Console& console, const Numbers& numbers, const Wanted& wanted, LiveText& live) {
    if (console.json()) {
        note_faults(console, numbers);
        return console.print_json_line(api::all_stats_json(numbers.samples));
    }
    if (!console.drawn()) {
        note_faults(console, numbers);
        return console.print(text_of(numbers, wanted) + "\n");
    }
    std::vector<std::string> lines;
    for (const std::string& fault : numbers.faults) {
        lines.push_back("left out: " + fault);
    }
    const std::string text = text_of(numbers, wanted);
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
        lines.push_back(text.substr(at, text.find('\n', at) - at));
    }
    console.print(live.next(std::move(lines), terminal_height()));
}

// Until it is interrupted, or nobody reads any more.
Result<void> watch(const Console& console, const Wanted& wanted) {
    sigset_t ends{};
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    const timespec second{1, 0};
    LiveText live;
    do {
        Result<Numbers> numbers = gather(console, wanted);
        if (!numbers) {
            return std::move(numbers).error();
        }
        show_again(console, *numbers, wanted, live);
    } while (std::ferror(stdout) == 0 && sigtimedwait(&ends, nullptr, &second) < 0);
    return {};
}

Result<void> stats(const Console& console, const Flags& flags) {
    Result<Wanted> wanted = wanted_by(console, flags);
    if (!wanted) {
        return std::move(wanted).error();
    }
    if (flags.watch) {
        return watch(console, *wanted);
    }
    Result<Numbers> numbers = gather(console, *wanted);
    if (!numbers) {
        return std::move(numbers).error();
    }
    show(console, *numbers, *wanted);
    return numbers->faults.empty() ? Result<void>{}
                                   : Result<void>{Error{Code::failed, fmt::format("tenants that could not be read: {}",
                                                                                  numbers->faults.size())}};
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
