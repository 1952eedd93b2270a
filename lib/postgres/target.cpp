#include "postgres/target.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

namespace mt::postgres {
namespace {

struct OptionsDeleter {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};

std::string* find(Target& target, std::string_view name) {
    const auto at = std::find_if(target.begin(), target.end(), [&](const auto& pair) { return pair.first == name; });
    return at == target.end() ? nullptr : &at->second;
}

void set(Target& target, std::string_view name, std::string value) {
    if (std::string* there = find(target, name)) {
        *there = std::move(value);
    } else {
        target.emplace_back(name, std::move(value));
    }
}

void set_default(Target& target, std::string_view name, std::string value) {
    if (find(target, name) == nullptr) {
        target.emplace_back(name, std::move(value));
    }
}

// Seconds for a peer that is gone without a word: a connection at rest is found dead after idle + interval * count.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> k_defaults{{
    {"application_name", "mtagent"},
    {"keepalives", "1"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "3"},
    {"keepalives_count", "3"},
}};

// After the url's own, so that ours hold. A client that stops in a transaction must not keep its locks.
std::string settings_of(const PoolOptions& options, const std::string* own) {
    return fmt::format("{}{}-c statement_timeout={} -c idle_in_transaction_session_timeout=10000 -c bytea_output=hex",
                       own != nullptr ? *own : "", own != nullptr ? " " : "", options.statement_timeout.count());
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> pieces;
    while (true) {
        const std::size_t comma = list.find(',');
        pieces.emplace_back(list.substr(0, comma));
        if (comma == std::string_view::npos) {
            return pieces;
        }
        list.remove_prefix(comma + 1);
    }
}

// host=a,b port=1,2 becomes two targets. A list of one value holds for all.
std::vector<Target> one_for_each_host(const Target& all) {
    constexpr std::array<std::string_view, 3> k_lists{"host", "hostaddr", "port"};
    std::vector<Target> targets{all};
    for (const std::string_view name : k_lists) {
        std::string* list = find(targets[0], name);
        const std::vector<std::string> pieces = list == nullptr ? std::vector<std::string>{} : split(*list);
        if (pieces.size() > 1) {
            targets.resize(std::max(targets.size(), pieces.size()), all);
            for (std::size_t i = 0; i < targets.size() && i < pieces.size(); ++i) {
                set(targets[i], name, pieces[i]);
            }
        }
    }
    return targets;
}

}  // namespace

Result<std::vector<Target>> targets_of(const PoolOptions& options, bool settings) {
    char* words = nullptr;
    const std::unique_ptr<PQconninfoOption, OptionsDeleter> parsed(PQconninfoParse(options.url.c_str(), &words));
    PQfreemem(words);  // not shown: it may repeat a part of the url, and so the password
    if (!parsed || options.url.empty()) {
        return Error{Code::config, "the url of PostgreSQL is malformed: use postgres://user@host:5432/database"};
    }
    Target target;
    for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
        if (option->val != nullptr) {
            target.emplace_back(option->keyword, option->val);
        }
    }
    for (const auto& [name, value] : k_defaults) {
        set_default(target, name, std::string(value));
    }
    set_default(target, "tcp_user_timeout", std::to_string(options.statement_timeout.count() + 1000));
    set(target, "client_encoding", "UTF8");
    if (!options.password.empty()) {
        set(target, "password", options.password);
    }
    if (settings) {
        set(target, "options", settings_of(options, find(target, "options")));
    }
    return one_for_each_host(target);
}

}  // namespace mt::postgres
