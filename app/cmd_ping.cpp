#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <thread>
#include <utility>

#include "app/command.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/units.h"
#include "http/client.h"
#include "sqlite/data_folder.h"

namespace mt::app {
namespace {

struct Flags {
    std::string url;
    std::string wait = "0s";
    bool insecure = false;
};

constexpr std::chrono::seconds k_timeout{5};
constexpr std::chrono::milliseconds k_poll{50};

// The server on the data folder says where it listens; without one, and with no folder named, where it would.
Result<std::string> default_url(const Console& console) {
    Result<Config> config = console.load();
    if (!config) {
        return std::move(config).error();
    }
    const Result<DataFolder> folder = DataFolder::open(config->data, false);
    const std::optional<std::string> holder = folder ? folder->holder() : std::nullopt;
    const std::size_t comma = holder ? holder->find(", ") : std::string::npos;
    if (comma != std::string::npos) {
        return holder->substr(comma + 2);
    }
    if (holder) {
        return Error{Code::unavailable,
                     fmt::format("the server on {} ({}) does not listen yet", config->data.string(), *holder)};
    }
    if (!console.globals().data.empty() || environment("MTAGENT_DATA")) {
        return Error{Code::unavailable, fmt::format("no server runs on data folder {}", config->data.string())};
    }
    return config->server.listen;
}

Result<void> ping_once(const http::Url& url, const http::ClientOptions& options) {
    Result<http::Response> reply = http::Client(url, options).send("GET", "/readyz");
    if (!reply) {
        return Error{Code::unavailable, std::move(reply).error().message};
    }
    if (reply->status != 200) {
        return Error{Code::unavailable,
                     fmt::format("the server is not ready: {} {}", reply->status, trim(reply->body))};
    }
    return {};
}

Result<void> ping(const Console& console, const Flags& flags) {
    Result<std::chrono::milliseconds> wait = parse_duration(flags.wait);
    if (!wait) {
        return Error{Code::invalid, "--wait: " + wait.error().message};
    }
    // Without a URL it is this machine's own server.
    http::ClientOptions options{k_timeout, !flags.insecure && !flags.url.empty()};
    const SystemClock clock;
    const std::int64_t deadline = clock.boot_ns() + std::chrono::nanoseconds(*wait).count();
    for (;;) {
        Result<std::string> text = flags.url.empty() ? default_url(console) : Result<std::string>(flags.url);
        Result<http::Url> url = text ? http::parse_url(*text) : Result<http::Url>(text.error());
        options = url ? http::with_trust(*url, options) : options;
        const std::int64_t started = clock.boot_ns();
        Result<void> ready = url ? ping_once(*url, options) : Result<void>{url.error()};
        if (ready) {
            const double ms = static_cast<double>(clock.boot_ns() - started) / 1e6;
            console.json() ? console.print_json({{"url", *text}, {"ready", true}, {"latency_ms", ms}})
                           : console.print(fmt::format("{} is ready ({:.1f} ms)", *text, ms));
            return {};
        }
        if (clock.boot_ns() >= deadline || ready.error().code != Code::unavailable) {
            return ready;
        }
        std::this_thread::sleep_for(k_poll);  // another process starts; asking again is the only way to know
    }
}

}  // namespace

Run declare_ping(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("URL", flags->url, "server; default: the one on the data folder");
    app.add_option("--wait", flags->wait, "how long to try, such as 5s")->type_name("DURATION");
    app.add_flag("--insecure", flags->insecure, "over https, speak to a server whose certificate is not trusted");
    return [flags](Console& console) { return ping(console, *flags); };
}

}  // namespace mt::app
