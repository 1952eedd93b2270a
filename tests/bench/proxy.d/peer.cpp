// The other side of tests/bench/proxy:
//
//   peer serve DELTAS INTERVAL_US                    the upstream; prints its port
//   peer port                                        prints a port that is free now
//   peer rate URL PER_SECOND SECONDS CONNECTIONS     requests at a fixed rate; prints JSON
//   peer stream URL SECONDS STREAMS DELTAS           streams of the upstream; prints JSON
//
// The last two send the body in the file that BENCH_BODY names, with the key in MTAGENT_API_KEY if there is one.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "base/log.h"
#include "clients.h"
#include "upstream.h"

using namespace mt;
using namespace mt::bench;

namespace {

using Words = std::span<char*>;

Result<int> number(const char* text) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 0 || value > 1'000'000'000) {
        return Error{Code::invalid, "'" + std::string(text) + "' is no number"};
    }
    return static_cast<int>(value);
}

/// The words as numbers. Errors: invalid.
Result<std::vector<int>> numbers(Words words) {
    std::vector<int> all;
    for (const char* word : words) {
        const Result<int> one = number(word);
        if (!one) {
            return one.error();
        }
        all.push_back(*one);
    }
    return all;
}

Result<http::Address> listen(http::Server& server) {
    http::Address address;
    address.port = 0;
    const Result<http::Address> bound = server.start(address);
    if (bound) {
        std::printf("%d\n", bound->port);
        std::fflush(stdout);
    }
    return bound;
}

Result<void> serve(Words words) {
    const Result<std::vector<int>> options = numbers(words);
    if (!options) {
        return options.error();
    }
    // Blocked before there are threads, so that it comes here alone.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    Log log(LogLevel::off);
    const UpstreamScript script{(*options)[0], std::chrono::microseconds((*options)[1])};
    http::Server server({model_server(script), {}}, {}, log);
    const Result<http::Address> bound = listen(server);
    if (!bound) {
        return bound.error();
    }
    int signal = 0;
    sigwait(&ends, &signal);
    server.stop(std::chrono::seconds(1));
    return {};
}

Result<void> port(Words) {
    Log log(LogLevel::off);
    http::Server server({model_server({}), {}}, {}, log);
    const Result<http::Address> bound = listen(server);
    return bound ? Result<void>{} : Result<void>(bound.error());
}

Result<ChatTarget> chat_target(const char* address) {
    const Result<http::Url> url = http::parse_url(address);
    if (!url) {
        return url.error();
    }
    ChatTarget target{*url};
    if (const char* key = std::getenv("MTAGENT_API_KEY"); key != nullptr && *key != '\0') {
        target.fields.emplace_back("Authorization", "Bearer " + std::string(key));
    }
    const char* file = std::getenv("BENCH_BODY");
    std::ifstream input(file != nullptr ? file : "");
    target.body.assign(std::istreambuf_iterator<char>(input), {});
    if (!target.body.starts_with('{')) {
        return Error{Code::invalid, "BENCH_BODY names no file with a JSON object"};
    }
    return target;
}

double us(std::chrono::nanoseconds time) {
    return static_cast<double>(time.count()) / 1e3;
}

void print(const char* name, const LatencyHistogram& of) {
    std::printf(R"("%s":{"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f,"count":%lld})", name, us(of.percentile(0.5)),
                us(of.percentile(0.99)), us(of.max()), static_cast<long long>(of.count()));
}

Result<void> rate(Words words) {
    const Result<ChatTarget> target = chat_target(words[0]);
    const Result<std::vector<int>> options = numbers(words.subspan(1));
    if (!target || !options) {
        return !target ? target.error() : options.error();
    }
    const Result<RateReport> report =
        ask_at_rate(*target, {(*options)[0], std::chrono::seconds((*options)[1]), (*options)[2]});
    if (!report) {
        return report.error();
    }
    std::printf("{");
    print("latency", report->latencies);
    std::printf(",\"failures\":%lld}\n", static_cast<long long>(report->failures));
    return {};
}

Result<void> stream(Words words) {
    const Result<ChatTarget> target = chat_target(words[0]);
    const Result<std::vector<int>> options = numbers(words.subspan(1));
    if (!target || !options) {
        return !target ? target.error() : options.error();
    }
    const Result<StreamReport> report =
        read_streams(*target, {(*options)[1], std::chrono::seconds((*options)[0]), (*options)[2]});
    if (!report) {
        return report.error();
    }
    std::printf("{");
    print("first", report->first);
    std::printf(",");
    print("all", report->all);
    std::printf(",\"streams\":%lld}\n", static_cast<long long>(report->streams));
    return {};
}

struct Command {
    std::string_view name;
    std::size_t words;
    Result<void> (*run)(Words);
};

constexpr Command k_commands[] = {{"serve", 2, serve}, {"port", 0, port}, {"rate", 4, rate}, {"stream", 4, stream}};

}  // namespace

int main(int argc, char** argv) {
    const Words words(argv, static_cast<std::size_t>(argc));
    for (const Command& command : k_commands) {
        if (words.size() == command.words + 2 && command.name == words[1]) {
            const Result<void> done = command.run(words.subspan(2));
            if (!done) {
                std::fprintf(stderr, "peer: %s\n", done.error().message.c_str());
            }
            return done ? 0 : 1;
        }
    }
    std::fprintf(stderr,
                 "usage: peer serve DELTAS INTERVAL_US | port | rate URL PER_SECOND SECONDS CONNECTIONS | "
                 "stream URL SECONDS STREAMS DELTAS\n");
    return 64;
}
