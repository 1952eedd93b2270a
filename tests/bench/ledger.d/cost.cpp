// What counting, measuring and the fair gate cost a call: nanoseconds of a call through the whole chain, and through
// one without the stages `observe` and `slot`, in turns. One line of JSON. Takes the number of calls of a turn, and of
// turns.

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pipeline/stages.h"
#include "sqlite/data_folder.h"
#include "stats/ledger.h"
#include "stats/slot_file.h"
#include "support/temp_folder.h"
#include "tenant/factory.h"

namespace mt {
namespace {

class Silent final : public Sink {
  public:
    bool on_event(const ModelEvent& /*event*/) override { return true; }
};

// Everything below the wire, on real clocks.
struct House {
    House()
        : folder(*DataFolder::open(temp.path() / "data", true)),
          files(folder.tenants(), {64, true}),
          log(LogLevel::off),
          catalog(*open_sqlite_catalog(folder, files, clock, {})),
          slots(*SlotFile::open(folder.slots(), clock)),
          ledger(*slots, files, clock, log),
          gate(GateSettings{}, clock),
          config(std::make_shared<const Config>(*parse_config("", ""))),
          factory({ledger, files, gate, clock, log},
                  *Equipment::make(*config, {{}, [] { return SecretBox(SecretBox::Key{}); }, clock, log})),
          tenants(*catalog, factory, ledger, config, log),
          pipeline{tenants, clock, log} {
        pipeline.access_log = false;
        const Settings own{{"auth", std::string("open")},
                           {"rate_limit", std::int64_t{1'000'000'000}},
                           {"cache_size", std::int64_t{0}}};
        if (!catalog->create_tenant(
                "bench", own, [](const Settings&) { return Result<void>{}; }, "bench")) {
            std::exit(1);
        }
        ledger.start();  // it writes once a second, as it does beside calls
    }

    test::TempFolder temp;
    SystemClock clock;
    DataFolder folder;
    TenantFiles files;
    Log log;
    std::unique_ptr<Catalog> catalog;
    std::unique_ptr<SlotFile> slots;
    Ledger ledger;
    FairGate gate;
    std::shared_ptr<const Config> config;
    TenantFactory factory;
    TenantManager tenants;
    PipelineServices pipeline;
};

constexpr std::array<Stage, 6> k_without{stages::authenticate, stages::validate, stages::authorize,
                                         stages::admit,        stages::cache,    stages::agent};

double ns_per_call(House& house, std::span<const Stage> chain, int calls) {
    const std::int64_t began = house.clock.boot_ns();
    for (int i = 0; i < calls; ++i) {
        Silent nobody;
        Call call(nobody);
        call.tenant_id = "bench";
        call.question = Question{"Hello"};
        call.route = "/{tenant}";
        call.method = "GET";
        call.context.request_id = "00112233445566778899aabbccddeeff";
        if (!Next(chain, house.pipeline)(call)) {
            std::exit(1);
        }
    }
    return static_cast<double>(house.clock.boot_ns() - began) / calls;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace
}  // namespace mt

int main(int argc, char** argv) {
    const int calls = argc > 1 ? std::atoi(argv[1]) : 20'000;
    const int turns = argc > 2 ? std::atoi(argv[2]) : 21;
    mt::House house;
    std::vector<double> whole;
    std::vector<double> without;
    std::vector<double> differences;
    for (int turn = 0; turn <= turns; ++turn) {
        const double with_all = mt::ns_per_call(house, mt::pipeline_stages(), calls);
        const double with_less = mt::ns_per_call(house, mt::k_without, calls);
        if (turn > 0) {  // the first warms up
            whole.push_back(with_all);
            without.push_back(with_less);
            differences.push_back(with_all - with_less);
        }
    }
    fmt::print("{{\"whole_ns\":{:.0f},\"without_ns\":{:.0f},\"difference_ns\":{:.0f}}}\n", mt::median(whole),
               mt::median(without), mt::median(differences));
}
