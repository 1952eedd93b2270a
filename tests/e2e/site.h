#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>

#include "support/program.h"
#include "support/temp_folder.h"

namespace mt::test {

using Json = nlohmann::json;

inline std::string read_text(const std::filesystem::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

/// Value of a header field, "" when it is absent.
inline std::string field(const http::Response& reply, std::string_view name) {
    for (const auto& [given, value] : reply.fields) {
        if (given.size() == name.size() && strncasecmp(given.data(), name.data(), name.size()) == 0) {
            return value;
        }
    }
    return "";
}

/// The JSON of a text; a text that is none fails the test and becomes null.
inline Json parse_json(const std::string& text) {
    Json json = Json::parse(text, nullptr, false);
    CHECK_MESSAGE(!json.is_discarded(), "no JSON: ", text);
    return json.is_discarded() ? Json() : json;
}

/// The fields that prove who asks.
inline http::Fields bearer(const std::string& key) {
    return {{"Authorization", "Bearer " + key}};
}

/// The r of `RateLimit: "requests";r=9;t=6`, -1 when there is none.
inline int remaining(const http::Response& reply) {
    const std::string value = field(reply, "RateLimit");
    const std::size_t at = value.find(";r=");
    return at == std::string::npos ? -1 : std::stoi(value.substr(at + 3));
}

/// A folder of its own with a tenants.toml, by default the demo's, and mtagent at work in it.
class Site {
  public:
    Site() : Site(read_text(std::filesystem::path(MT_SOURCE_DIR) / "tenants.toml")) {}
    explicit Site(const std::string& toml) : m_launch{m_folder.path()} { write("tenants.toml", toml); }

    [[nodiscard]] std::filesystem::path path(std::string_view name = {}) const { return m_folder.path() / name; }
    /// How the next processes are started.
    [[nodiscard]] Launch& launch() { return m_launch; }

    void write(std::string_view name, std::string_view text) const {
        std::ofstream(path(name), std::ios::binary | std::ios::trunc) << text;
    }

    [[nodiscard]] Process start(const Words& words) const { return {m_launch, words}; }
    [[nodiscard]] Outcome run(const Words& words) const { return start(words).wait(); }
    [[nodiscard]] Server serve(const Words& more = {}) const { return Server(m_launch, more); }

    /// Standard output of a command that has to succeed.
    std::string out(const Words& words) const {
        const Outcome done = run(words);
        CHECK_MESSAGE(done.exit == 0, words[0], " ", words.size() > 1 ? words[1] : "", ": ", done.err);
        return done.out;
    }
    /// The same with --json.
    Json json(Words words) const {
        words.emplace_back("--json");
        return parse_json(out(words));
    }

    /// Registers a tenant; its first key.
    std::string add(const std::string& id, const Words& settings = {}) const {
        Words words{"tenant", "add", id};
        words.insert(words.end(), settings.begin(), settings.end());
        return without_line_end(out(words));
    }
    std::string create_key(Words words) const {
        words.insert(words.begin(), {"key", "create"});
        return without_line_end(out(words));
    }
    [[nodiscard]] std::string operator_token() const {
        return without_line_end(read_text(path("data") / "operator.token"));
    }

  private:
    static std::string without_line_end(std::string text) {
        text.erase(text.find_last_not_of('\n') + 1);
        return text;
    }

    TempFolder m_folder;
    Launch m_launch;
};

/// The id inside "mta_<id>_<secret>".
inline std::string key_id(const std::string& key) {
    return key.substr(4, 12);
}

}  // namespace mt::test
