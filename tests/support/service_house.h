#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/tool.h"
#include "base/log.h"
#include "pipeline/pipeline.h"
#include "stats/ledger.h"
#include "stats/slot_file.h"
#include "support/house.h"
#include "tenant/factory.h"
#include "tenant/manager.h"
#include "tenant/stats_reader.h"

namespace mt::test {

/// Takes an answer.
class TextSink final : public Sink {
  public:
    bool on_event(const ModelEvent& event) override {
        text += event.kind == ModelEvent::Kind::text ? event.text : "";
        return true;
    }
    std::string text;
};

/// Everything below the wire: catalog, ledger, tenants and pipeline, on one fake clock.
struct ServiceHouse : CatalogHouse {
    ServiceHouse()
        : log(LogLevel::off),
          slots(*SlotFile::open(folder.slots(), clock)),
          ledger(*slots, files, clock, log),
          gate(GateSettings{}, clock),
          factory({ledger, files, gate, clock, log}, equipment_of(*parse_config("", ""))),
          tenants(*catalog, factory, ledger, std::make_shared<const Config>(*parse_config("", "")), log),
          stats(*catalog, files, slots.get(), &tenants),
          pipeline{tenants, clock, log} {
        pipeline.access_log = false;
        slots->set_complete_since({});
    }

    /// Models and tools of a configuration. Upstreams have real sockets, so they go by the real clock.
    std::shared_ptr<const Equipment> equipment_of(const Config& config, const Environment& environment = {}) {
        return *Equipment::make(config, {environment, [] { return SecretBox(SecretBox::Key{}); }, real_clock, log});
    }

    /// Serves by this configuration from now on.
    void configure(const std::string& toml, const Environment& environment = {}) {
        const auto config = std::make_shared<const Config>(*parse_config(toml, "", environment));
        factory.equip(equipment_of(*config, environment));
        static_cast<void>(tenants.reconfigure(config).has_value());
    }

    /// A tenant that needs no key.
    Result<TenantRecord> add_open(const std::string& id, Settings own = {}) {
        own["auth"] = std::string("open");
        return add(id, own);
    }

    /// What became of one call.
    struct Asked {
        Result<void> outcome;
        std::string text;
        CacheUse cache = CacheUse::bypass;
        std::optional<LimitStatus> limit;
        [[nodiscard]] Code code() const { return outcome.error().code; }
    };

    Asked ask(const std::string& tenant, const std::string& text, const std::string& session = {},
              const std::optional<std::string>& key = std::nullopt) {
        TextSink sink;
        Call call(sink);
        call.tenant_id = tenant;
        call.presented_key = key;
        call.question = Question{text, session};
        call.route = "test";
        Result<void> outcome = run_pipeline(call, pipeline);
        return {std::move(outcome), sink.text, call.cache, call.limit};
    }

    [[nodiscard]] Totals totals(const std::string& id) { return stats.one(id)->totals; }

    Log log;
    SystemClock real_clock;
    std::unique_ptr<SlotFile> slots;
    Ledger ledger;
    FairGate gate;
    TenantFactory factory;
    TenantManager tenants;
    StatsReader stats;
    PipelineServices pipeline;
};

}  // namespace mt::test
