#include "app/commands.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/command.h"
#include "base/text.h"

namespace mt::app {
namespace {

struct CommandRow {
    std::string_view group;  // "" or the words before the name
    std::string_view name;
    std::string_view help;
    std::string_view examples;  // two
    Declare declare;
};

// All commands of the program.
constexpr std::array k_commands{
    CommandRow{"", "serve", "Serve all tenants over HTTP.",
               "  mtagent serve\n  mtagent serve --listen 127.0.0.1:0 --port-file port.txt", declare_serve},
    CommandRow{"tenant", "add", "Register a tenant and print its first API key, once.",
               "  mtagent tenant add acme --plan professional --name \"Acme Inc\"\n"
               "  mtagent tenant add acme --if-missing --rate-limit 50 --json",
               declare_tenant_add},
    CommandRow{"tenant", "list", "List all tenants.", "  mtagent tenant list\n  mtagent tenant list --json",
               declare_tenant_list},
    CommandRow{"tenant", "config", "Show or change a tenant's settings.",
               "  mtagent tenant config acme\n  mtagent tenant config acme rate_limit=200 --unset burst",
               declare_tenant_config},
    CommandRow{"tenant", "suspend", "Refuse all calls of a tenant; its data stays.",
               "  mtagent tenant suspend acme\n  mtagent tenant suspend acme --json", declare_tenant_suspend},
    CommandRow{"tenant", "resume", "Serve a suspended tenant again.",
               "  mtagent tenant resume acme\n  mtagent tenant resume acme --json", declare_tenant_resume},
    CommandRow{"tenant", "remove", "Erase a tenant with its keys, data and numbers.",
               "  mtagent tenant remove acme --confirm acme\n  mtagent tenant remove acme --confirm acme --json",
               declare_tenant_remove},
    CommandRow{"tenant", "apply", "Bring the tenants in line with tenants.toml.",
               "  mtagent tenant apply --dry-run\n  mtagent tenant apply tenants.toml --prune --confirm",
               declare_tenant_apply},
    CommandRow{"tenant", "history", "Show who changed what of a tenant, or of all, newest first.",
               "  mtagent tenant history acme\n  mtagent tenant history --json", declare_tenant_history},
    CommandRow{
        "tenant model", "add", "Give a tenant a language model of its own, its key kept sealed.",
        "  mtagent tenant model add acme gpt --base-url https://llm.example.com/v1 --model gpt-4o --key-file key.txt\n"
        "  pass show acme/llm | mtagent tenant model add acme gpt --base-url https://llm.example.com/v1 "
        "--model gpt-4o --key-file - --replace",
        declare_tenant_model_add},
    CommandRow{"tenant model", "list", "List a tenant's own language models; never their keys.",
               "  mtagent tenant model list acme\n  mtagent tenant model list acme --json", declare_tenant_model_list},
    CommandRow{"tenant model", "remove", "Take a language model of its own away from a tenant.",
               "  mtagent tenant model remove acme gpt\n  mtagent tenant model remove acme gpt --json",
               declare_tenant_model_remove},
    CommandRow{"key", "create", "Make an API key for a tenant or an operator and print it, once.",
               "  mtagent key create acme --name laptop --expires 90d\n"
               "  mtagent key create --operator ci --read-only",
               declare_key_create},
    CommandRow{"key", "list", "List the API keys of a tenant, or of the operators.",
               "  mtagent key list acme\n  mtagent key list --json", declare_key_list},
    CommandRow{"key", "revoke", "End an API key at once; one of key_hashes ends when it is taken out there.",
               "  mtagent key revoke k2x7abcdefgh\n  mtagent key revoke k2x7abcdefgh --json", declare_key_revoke},
    CommandRow{"key", "rotate", "Replace an API key; the old one ends after a time of grace.",
               "  mtagent key rotate k2x7abcdefgh\n  mtagent key rotate k2x7abcdefgh --grace 24h", declare_key_rotate},
    CommandRow{"", "ask", "Ask a tenant's agent one question, in process; neither limited nor counted.",
               "  mtagent ask tenant-basic \"Hello\"\n  mtagent ask tenant-pro \"analyze 3, 5, 8\" --session demo",
               declare_ask},
    CommandRow{"", "stats", "Show the numbers of all tenants or of some.",
               "  mtagent stats\n  mtagent stats tenant-pro --since 24h --json", declare_stats},
    CommandRow{"stats", "export", "Write a month's numbers of each tenant, for invoices.",
               "  mtagent stats export --month 2026-11 > november.csv\n"
               "  mtagent stats export --month 2026-11 --format jsonl acme",
               declare_stats_export},
    CommandRow{"", "bench", "Measure a server under load; without a URL, one in this process.",
               "  mtagent bench http://127.0.0.1:8080/tenant-pro?q=test --connections 10 --duration 5s\n"
               "  mtagent bench --duration 2s --max-p99 50ms --max-error-rate 0.1%",
               declare_bench},
    CommandRow{"", "ping", "Tell whether a server is ready.",
               "  mtagent ping\n  mtagent ping http://127.0.0.1:8080 --wait 5s", declare_ping},
    CommandRow{"", "check", "Check tenants.toml and the data folder.", "  mtagent check\n  mtagent check --json",
               declare_check},
};

// A group stands behind the one that it is part of.
constexpr std::pair<std::string_view, std::string_view> k_groups[] = {
    {"tenant", "Register, configure and remove tenants."},
    {"tenant model", "Give a tenant language models of its own."},
    {"key", "Make and revoke API keys."}};

class Program {
  public:
    Program() : m_app("One agent for every customer, from one binary.", "mtagent") {
        m_app.set_version_flag("--version", "mtagent " MTAGENT_VERSION);
        m_app.footer(
            "Examples:\n  mtagent serve\n  curl \"http://localhost:8080/tenant-basic?q=Hello\"\n\n"
            "Environment: MTAGENT_CONFIG and MTAGENT_DATA for --config and --data; with POSTGRES_URL tenants, keys "
            "and\n"
            "numbers are there instead of in the data folder.\n\n"
            "Every command: mtagent COMMAND --help, or man mtagent.");
        m_app.add_option("--config", m_globals.config, "tenants.toml to use")->type_name("FILE")->check(not_empty());
        m_app.add_option("--data", m_globals.data, "data folder")->type_name("FOLDER")->check(not_empty());
        m_app.add_flag("--json", m_globals.json, "print JSON");
        m_app.add_flag("--quiet,-q", m_globals.quiet, "no messages but errors");
        m_app.add_flag("--no-color", m_globals.no_color, "neither colour nor animation");
        prepare(m_app);
        for (const auto& [name, help] : k_groups) {
            const std::size_t blank = name.rfind(' ');
            const bool nested = blank != std::string_view::npos;
            CLI::App& parent = group_of(nested ? name.substr(0, blank) : "");
            CLI::App& group =
                *parent.add_subcommand(std::string(nested ? name.substr(blank + 1) : name), std::string(help));
            prepare(group);
        }
        for (const CommandRow& row : k_commands) {
            CLI::App& command = *group_of(row.group).add_subcommand(
                std::string(row.name), fmt::format("{}\n\nExamples:\n{}\n", row.help, row.examples));
            prepare(command);
            command.footer(
                "Global options, before or after the command: --config FILE, --data FOLDER, --json, --quiet, "
                "--no-color");
            m_runs.emplace_back(&command, row.declare(command));
        }
    }

    int run(int argc, char** argv) {
        const bool json = std::any_of(argv, argv + argc, [](std::string_view word) { return word == "--json"; });
        try {
            m_app.parse(argc, argv);
        } catch (const CLI::Success& help) {
            return m_app.exit(help);
        } catch (const CLI::ParseError& fault) {
            const std::optional<Error> unknown = unknown_word(what_was_typed());
            return report(unknown ? *unknown : Error{Code::invalid, fault.what()}, json);
        }
        const Typed typed = what_was_typed();
        if (const std::optional<Error> unknown = unknown_word(typed)) {
            return report(*unknown, json);
        }
        if (const Run* work = work_of(*typed.app)) {
            return perform(*work);
        }
        return report({Code::invalid, "a command is needed: see mtagent --help"}, json);
    }

  private:
    // By its words.
    CLI::App& group_of(std::string_view words) {
        CLI::App* group = &m_app;
        for (const std::string& word : split_list(words, ' ')) {
            group = group->get_subcommand(word);
        }
        return *group;
    }

    static void prepare(CLI::App& app) {
        app.fallthrough();
        app.allow_extras();
        app.require_subcommand(0, 1);  // so that an argument may have the name of a command
    }

    int perform(const Run& work) {
        Console console(m_globals);
        try {
            const Result<void> outcome = work(console);
            if (outcome && std::ferror(stdout) != 0) {
                return report({Code::failed, "the output could not be written to standard output"}, m_globals.json);
            }
            return outcome ? 0 : report(outcome.error(), m_globals.json);
        } catch (const std::exception& fault) {
            return report({Code::internal, fmt::format("a bug in mtagent: {}", fault.what())}, m_globals.json);
        }
    }

    // The innermost command that was typed.
    struct Typed {
        const CLI::App* app = nullptr;
        std::string words{};                            // that lead to it
        std::vector<std::string> rest{};                // what nobody has taken
        std::optional<Error> misplaced = std::nullopt;  // what a command around it has taken
    };

    Typed what_was_typed() const {
        Typed typed{&m_app, "", m_app.remaining()};
        while (!typed.app->get_subcommands().empty()) {
            const CLI::App* outer = typed.app;
            const std::string outer_words = typed.words;
            typed.app = outer->get_subcommands().front();
            typed.words += (typed.words.empty() ? "" : " ") + typed.app->get_name();
            const std::vector<std::string> more = typed.app->remaining();
            typed.rest.insert(typed.rest.end(), more.begin(), more.end());
            for (const CLI::Option* option : outer->get_options()) {
                if (outer != &m_app && option->count() > 0) {
                    typed.misplaced = Error{Code::invalid, fmt::format("{} belongs to '{}', not to '{}'",
                                                                       option->get_name(), outer_words, typed.words)};
                }
            }
        }
        std::erase(typed.rest, "--");  // what follows it is an argument, whatever it looks like
        return typed;
    }

    // Null for a group that does nothing by itself.
    [[nodiscard]] const Run* work_of(const CLI::App& app) const {
        const auto found =
            std::find_if(m_runs.begin(), m_runs.end(), [&](const auto& entry) { return entry.first == &app; });
        return found == m_runs.end() ? nullptr : &found->second;
    }

    // What was typed and means nothing, with the nearest word that would.
    std::optional<Error> unknown_word(const Typed& typed) const {
        const bool runs = work_of(*typed.app) != nullptr;
        if (typed.rest.empty()) {
            return runs || typed.app == &m_app
                       ? typed.misplaced
                       : std::optional(Error{Code::invalid, fmt::format("a command is needed after '{0}': see "
                                                                        "mtagent {0} --help",
                                                                        typed.words)});
        }
        const bool option = typed.rest.front().starts_with('-');
        const std::vector<std::string> names = option ? options_of(*typed.app) : commands_of(*typed.app);
        const std::vector<std::string_view> candidates(names.begin(), names.end());
        const std::string word =
            typed.rest.front().substr(0, option ? typed.rest.front().find('=') : std::string::npos);
        const std::string_view kind = option ? "option" : runs ? "argument" : "command";
        return Error{Code::invalid, fmt::format("unknown {} {}{}", kind, quote(word), suggestion(word, candidates))};
    }

    std::vector<std::string> options_of(const CLI::App& app) const {
        std::vector<std::string> names;
        for (const CLI::App* from : {&app, &m_app}) {
            for (const CLI::Option* option : from->get_options()) {
                for (const std::string& name : option->get_lnames()) {
                    names.push_back("--" + name);
                }
            }
        }
        return names;
    }

    static std::vector<std::string> commands_of(const CLI::App& app) {
        std::vector<std::string> names;
        for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
            names.push_back(command->get_name());
        }
        return names;
    }

    Globals m_globals;
    CLI::App m_app;
    std::vector<std::pair<CLI::App*, Run>> m_runs;
};

}  // namespace

int run(int argc, char** argv) {
    return Program().run(argc, argv);
}

}  // namespace mt::app
