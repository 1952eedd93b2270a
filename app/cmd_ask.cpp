#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "agent/agent.h"
#include "app/command.h"
#include "app/workspace.h"
#include "pipeline/pipeline.h"
#include "tenant/data_servers.h"
#include "tenant/equipment.h"
#include "tenant/tenant.h"

namespace mt::app {
namespace {

struct Flags {
    std::string tenant;
    Question question;
};

// The reply is printed in one piece.
class Silent final : public Sink {
  public:
    bool on_event(const ModelEvent& /*event*/) override { return true; }
};

// The tenant, which the file may declare and no server has made yet.
Result<TenantRecord> find_tenant(Workspace& workspace, const std::string& id) {
    Config asked = workspace.config;
    std::erase_if(asked.tenants, [&](const TenantSpec& spec) { return spec.id != id; });
    Result<std::vector<std::string>> seeded = seed_tenants(*workspace.catalog, asked, system_user());
    if (!seeded) {
        return std::move(seeded).error();
    }
    Result<TenantRecord> record = workspace.catalog->tenant(id);
    if (record && record->status != TenantStatus::active) {
        return Error{Code::forbidden, fmt::format("tenant '{}' is {}", id, to_string(record->status))};
    }
    return record;
}

Result<Answer> answer(Workspace& workspace, const TenantRecord& record, const Question& question) {
    const TenantConfig config = workspace.config.resolve(record.id, record.own);
    if (!config.has_feature("basic-chat")) {
        return Error{Code::feature_required, "the feature 'basic-chat' is not part of this plan", "basic-chat"};
    }
    Result<std::unique_ptr<Store>> store = open_tenant_store(record, config, workspace.places());
    if (!store) {
        return std::move(store).error();
    }
    Log log(LogLevel::warning);
    Result<std::shared_ptr<const Equipment>> equipment = Equipment::make(
        workspace.config, {environment, [&workspace] { return workspace.secret_box(); }, workspace.clock, log});
    if (!equipment) {
        return std::move(equipment).error();
    }
    const AgentProfile profile = agent_profile(config);
    Agent agent(profile, (*equipment)->models_of(record, config, profile), (*equipment)->tools(), **store,
                workspace.clock);
    Silent nobody;
    Answer answer;
    Context context;
    context.tenant = record.id;
    Result<void> answered = agent.ask(question, nobody, answer, context);
    return answered ? Result<Answer>(std::move(answer)) : Result<Answer>(std::move(answered).error());
}

Result<void> ask(const Console& console, const Flags& flags) {
    if (Result<void> checked = check_question(flags.question); !checked) {
        return checked;
    }
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, true);
    if (!workspace) {
        return std::move(workspace).error();
    }
    Result<TenantRecord> record = find_tenant(**workspace, flags.tenant);
    if (!record) {
        return std::move(record).error();
    }
    Result<Answer> answered = answer(**workspace, *record, flags.question);
    if (!answered) {
        return std::move(answered).error();
    }
    if (console.json()) {
        console.print_json({{"tenant", record->id},
                            {"answer", answered->choice.text},
                            {"tools", answered->tools_used},
                            {"usage",
                             {{"tokens_in", answered->usage.tokens_in},
                              {"tokens_out", answered->usage.tokens_out},
                              {"estimated", answered->usage.estimated}}}});
    } else {
        console.print(answered->choice.text);
    }
    return {};
}

}  // namespace

Run declare_ask(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("TENANT", flags->tenant, "whose agent")->required();
    app.add_option("TEXT", flags->question.text, "the question")->required();
    app.add_option("--session", flags->question.session, "keep the conversation under this name")->type_name("NAME");
    return [flags](Console& console) { return ask(console, *flags); };
}

}  // namespace mt::app
