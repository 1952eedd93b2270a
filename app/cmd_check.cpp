#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "app/command.h"
#include "app/workspace.h"
#include "base/text.h"
#include "config/secrets.h"
#include "stats/books.h"
#include "tenant/own_model.h"

namespace mt::app {
namespace {

constexpr SchemaPart k_no_part{"", {}};

struct Findings {
    std::vector<std::string> faults;
    std::vector<std::string> warnings;
    std::int64_t tenants = 0;
    std::int64_t proven_books = 0;
    std::int64_t unwritten_calls = 0;  // in slots and not yet in files
};

// The keys of a tenant's own models can be opened, and its models may still be what they are.
void check_own_models(Workspace& workspace, const TenantRecord& record, Findings& findings) {
    const auto fault = [&](const std::string& message) {
        findings.faults.push_back(fmt::format("tenant '{}': {}", record.id, message));
    };
    const bool sealed = std::any_of(record.models.begin(), record.models.end(),
                                    [](const TenantModel& model) { return !model.sealed_key.empty(); });
    const std::optional<Result<SecretBox>> box = sealed ? std::optional(workspace.secret_box()) : std::nullopt;
    if (box && !*box) {
        return fault(box->error().message);
    }
    for (const TenantModel& model : record.models) {
        const Result<std::string> key = box ? open_own_key(record, model, **box) : Result<std::string>(std::string{});
        if (!key) {
            fault(key.error().message);
        }
        const Result<void> valid =
            check_own_model(record, {model.name, model.base_url, model.model, ""}, workspace.config);
        if (!valid) {  // the file changed after it was added
            findings.warnings.push_back(
                fmt::format("tenant '{}': model {}: {}", record.id, quote(model.name), valid.error().message));
        }
    }
}

// The total in the file is the sum of its history, and the slot is not behind it.
void check_books(Workspace& workspace, const TenantRecord& record, Findings& findings) {
    Result<Books::Verdict> books = Books(*workspace.ledger, workspace.slots.get(), {record.id, record.uid}).verify();
    if (!books) {
        findings.faults.push_back(fmt::format("tenant '{}': {}", record.id, books.error().message));
        return;
    }
    findings.faults.insert(findings.faults.end(), books->faults.begin(), books->faults.end());
    if (!books->faults.empty()) {
        return;
    }
    ++findings.proven_books;
    findings.unwritten_calls += books->unwritten.requests();
    if (!workspace.served && books->unwritten != Totals{}) {
        findings.warnings.push_back(
            fmt::format("tenant '{}': {} calls of a server that was killed are in its slot and not yet in its file",
                        record.id, books->unwritten.requests()));
    }
}

// Everything that must hold for one tenant. A fault of one does not hide those of the others.
void check_tenant(Workspace& workspace, const TenantRecord& row, Findings& findings) {
    ++findings.tenants;
    const auto fault = [&](const std::string& message) {
        findings.faults.push_back(fmt::format("tenant '{}': {}", row.id, message));
    };
    Result<TenantRecord> record = workspace.catalog->tenant(row.id);
    if (!record) {
        return fault(record.error().message);
    }
    if (Result<void> valid = workspace.config.check(row.id, record->own, own_model_names(*record)); !valid) {
        fault(valid.error().message);
    }
    check_own_models(workspace, *record, findings);
    Result<void> intact = workspace.files->read(row.id, k_no_part, [&](Database& database) -> Result<void> {
        Result<std::string> verdict = database.integrity();
        if (!verdict) {
            return std::move(verdict).error();
        }
        return *verdict == "ok" ? Result<void>{}
                                : Result<void>{Error{Code::failed, "its file is damaged: " + *verdict}};
    });
    // With a shared catalog only those have a file here whose data lies in it.
    if (!intact && !(workspace.catalog->shared() && intact.error().code == Code::not_found)) {
        return fault(intact.error().message);
    }
    check_books(workspace, *record, findings);
}

// Tenant files that no row of the registry knows: what is left when the registry is lost.
void check_orphans(Workspace& workspace, Findings& findings) {
    std::error_code fault;
    const std::filesystem::directory_iterator end;
    for (auto entry = std::filesystem::directory_iterator(workspace.folder.tenants(), fault); !fault && entry != end;
         entry.increment(fault)) {
        const std::filesystem::path& path = entry->path();
        if (path.extension() != ".db") {
            continue;
        }
        const Result<TenantRecord> row = workspace.catalog->row(path.stem().string());
        if (!row && row.error().code == Code::not_found) {
            findings.faults.push_back(fmt::format("{} belongs to no tenant of the registry", path.string()));
        }
    }
    if (fault) {
        findings.faults.push_back(fmt::format("{}: {}", workspace.folder.tenants().string(), fault.message()));
    }
}

Result<void> check_folder(Workspace& workspace, Findings& findings) {
    Result<std::string> registry = workspace.catalog->integrity();
    if (!registry || *registry != "ok") {
        findings.faults.push_back(fmt::format("{} is damaged: {}",
                                              workspace.catalog->shared() ? "the catalog" : "registry.db",
                                              registry ? *registry : registry.error().message));
    }
    check_orphans(workspace, findings);
    return for_each_tenant(*workspace.catalog, [&](const TenantRecord& row) -> Result<void> {
        if (row.status == TenantStatus::removing) {
            findings.warnings.push_back(fmt::format("tenant '{}' is still being removed", row.id));
        } else {
            check_tenant(workspace, row, findings);
        }
        return {};
    });
}

// What `serve` would refuse, and which servers do not answer now.
void check_servers(Workspace& workspace, Findings& findings) {
    if (!workspace.shards) {
        findings.faults.push_back(workspace.shards.error().message);
    } else if (Result<void> stored = workspace.backends->check_storage(workspace.config); !stored) {
        findings.faults.push_back(stored.error().message);
    }
    for (redis::Pool* pool : workspace.backends->all_redis()) {
        if (Result<void> there = pool->ping(); !there) {
            findings.warnings.push_back(there.error().detail);
        }
    }
    for (postgres::Pool* pool : workspace.backends->all_postgres()) {
        if (Result<void> there = pool->ping(); !there) {
            findings.warnings.push_back(there.error().detail);
        }
    }
}

void check_drift(Workspace& workspace, Findings& findings) {
    for (const TenantSpec& spec : workspace.config.tenants) {
        Result<TenantRecord> present = workspace.catalog->tenant(spec.id);
        if (!present) {
            continue;  // not created yet, or removed: the next start or apply tells
        }
        if (const std::string line = drift_line(spec, *present, workspace.config); !line.empty()) {
            findings.warnings.push_back(line);
        }
    }
}

void show(const Console& console, const Config& config, const Findings& findings) {
    const std::string file = config.file.empty() ? "(none)" : config.file.string();
    if (console.json()) {
        return console.print_json(
            {{"config", file},
             {"data", config.data.string()},
             {"tenants", findings.tenants},
             {"faults", findings.faults},
             {"warnings", findings.warnings},
             {"books", {{"tenants", findings.proven_books}, {"unwritten_calls", findings.unwritten_calls}}}});
    }
    for (const std::string& warning : findings.warnings) {
        console.print("warning: " + warning);
    }
    for (const std::string& fault : findings.faults) {
        console.print("fault: " + fault);
    }
    if (findings.proven_books > 0) {
        console.print(fmt::format("books of {} {} add up", findings.proven_books,
                                  findings.proven_books == 1 ? "tenant" : "tenants"));
    }
    console.print(fmt::format("{}: {} tenants in {}, {} faults, {} warnings", file, findings.tenants,
                              config.data.string(), findings.faults.size(), findings.warnings.size()));
}

Result<void> check(const Console& console) {
    Result<Config> config = console.load();
    if (!config) {
        return std::move(config).error();
    }
    Findings findings;
    findings.warnings = missing_secrets(*config, environment);
    Result<std::unique_ptr<Workspace>> workspace = open_workspace(console, false);
    if (workspace) {
        if (Result<void> checked = check_folder(**workspace, findings); !checked) {
            return checked;
        }
        check_drift(**workspace, findings);
        check_servers(**workspace, findings);
    } else if (workspace.error().code != Code::not_found || !console.globals().data.empty()) {
        return std::move(workspace).error();
    } else {
        findings.warnings.push_back(workspace.error().message);
    }
    show(console, *config, findings);
    return findings.faults.empty()
               ? Result<void>{}
               : Result<void>{Error{Code::failed, fmt::format("{} faults were found", findings.faults.size())}};
}

}  // namespace

Run declare_check(CLI::App& /*app*/) {
    return [](Console& console) { return check(console); };
}

}  // namespace mt::app
