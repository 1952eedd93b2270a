#include <fmt/core.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "app/command.h"
#include "app/service.h"
#include "base/units.h"
#include "bench/load.h"

namespace mt::app {
namespace {

struct Flags {
    std::string url;
    int connections = 10;
    std::string duration = "10s";
    std::string timeout = "10s";
    std::string max_p99;
    std::string max_error_rate;
    bool insecure = false;
};

struct Thresholds {
    std::optional<std::chrono::nanoseconds> max_p99;
    std::optional<double> max_error_rate;
};

// SIGINT and SIGTERM end the load early instead of the program: the report is shown, the demo's folder goes.
class Interrupt {
  public:
    Interrupt() {
        sigemptyset(&m_set);
        sigaddset(&m_set, SIGINT);
        sigaddset(&m_set, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &m_set, nullptr);
        m_watcher = std::jthread([this](const std::stop_token& end) {
            const timespec tick{0, 50'000'000};
            while (!end.stop_requested()) {
                if (sigtimedwait(&m_set, nullptr, &tick) > 0) {
                    m_source.request_stop();
                    return;
                }
            }
        });
    }
    [[nodiscard]] std::stop_token token() const { return m_source.get_token(); }

  private:
    sigset_t m_set{};
    std::stop_source m_source;
    std::jthread m_watcher;
};

// The demo tenants in this process, in a data folder of their own that goes with it.
class DemoServer {
  public:
    static Result<std::unique_ptr<DemoServer>> start(const Console& console) {
        std::unique_ptr<DemoServer> demo(new DemoServer());
        std::string name = (std::filesystem::temp_directory_path() / "mtagent-bench-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) {
            return Error{Code::unavailable, fmt::format("cannot make a folder {}", name)};
        }
        demo->m_folder = name;
        Result<Config> config = console.load("127.0.0.1:0");
        if (!config) {
            return std::move(config).error();
        }
        config->data = demo->m_folder / "data";
        config->server.access_log = false;
        config->server.tls_cert.clear();  // the load generator speaks plain HTTP
        // Without a file there is one tenant to put under load; its limits shall not be what is measured.
        constexpr std::int64_t k_no_limit = 1'000'000'000;
        config->tenants.push_back(
            {"bench", {{"name", "Bench"}, {"auth", "open"}, {"rate_limit", k_no_limit}, {"model", "builtin"}}});
        ServiceOptions options;
        options.log_level = LogLevel::error;
        Result<std::unique_ptr<Service>> service = Service::open(*std::move(config), options);
        if (!service) {
            return std::move(service).error();
        }
        demo->m_service = *std::move(service);
        Result<http::Address> address = demo->m_service->start();
        if (!address) {
            return std::move(address).error();
        }
        demo->m_url = fmt::format("http://{}/bench?q=test", address->to_string());
        return demo;
    }

    ~DemoServer() {
        if (m_service) {
            const Result<void> stopped = m_service->stop();
            static_cast<void>(stopped);  // its numbers go with the folder
        }
        m_service.reset();
        std::error_code ignored;  // a temporary folder that stays is no failure of the measurement
        std::filesystem::remove_all(m_folder, ignored);
    }
    DemoServer(const DemoServer&) = delete;
    DemoServer& operator=(const DemoServer&) = delete;

    [[nodiscard]] const std::string& url() const { return m_url; }

  private:
    DemoServer() = default;

    std::filesystem::path m_folder;
    std::unique_ptr<Service> m_service;
    std::string m_url;
};

Result<LoadOptions> load_options(const Flags& flags, const std::string& url) {
    LoadOptions options;
    Result<http::Url> parsed = http::parse_url(url);
    Result<std::chrono::milliseconds> duration = parse_duration(flags.duration);
    Result<std::chrono::milliseconds> timeout = parse_duration(flags.timeout);
    if (!parsed) {
        return std::move(parsed).error();
    }
    if (!duration || duration->count() == 0 || !timeout || timeout->count() == 0) {
        return Error{Code::invalid, "--duration and --timeout are durations above 0, such as 5s"};
    }
    options.url = *std::move(parsed);
    options.duration = *duration;
    options.client = {*timeout, !flags.insecure};
    options.connections = flags.connections;
    if (const auto key = environment("MTAGENT_API_KEY")) {
        options.fields.emplace_back("Authorization", "Bearer " + *key);
    }
    return options;
}

// A duration that may be short: "800us" too.
Result<std::chrono::nanoseconds> parse_latency(const std::string& text) {
    constexpr std::string_view k_micro = "us";
    Error wrong{Code::invalid, fmt::format("--max-p99: '{}' is no duration above 0: write 800us, 50ms or 1s", text)};
    if (text.ends_with(k_micro)) {
        const Result<std::int64_t> count =
            parse_integer(std::string_view(text).substr(0, text.size() - k_micro.size()));
        const bool usable = count && *count > 0 && *count < 1'000'000'000;
        return usable ? Result<std::chrono::nanoseconds>(std::chrono::microseconds{*count}) : wrong;
    }
    const Result<std::chrono::milliseconds> duration = parse_duration(text);
    return duration && duration->count() > 0 ? Result<std::chrono::nanoseconds>(*duration) : wrong;
}

Result<Thresholds> thresholds(const Flags& flags) {
    Thresholds limits;
    if (!flags.max_p99.empty()) {
        Result<std::chrono::nanoseconds> p99 = parse_latency(flags.max_p99);
        if (!p99) {
            return std::move(p99).error();
        }
        limits.max_p99 = *p99;
    }
    if (!flags.max_error_rate.empty()) {
        Result<double> rate = parse_ratio(flags.max_error_rate);
        if (!rate) {
            return Error{Code::invalid, "--max-error-rate: " + rate.error().message};
        }
        limits.max_error_rate = *rate;
    }
    return limits;
}

double ms(std::chrono::nanoseconds duration) {
    return static_cast<double>(duration.count()) / 1e6;
}

void show(const Console& console, const std::string& url, const LoadOptions& options, const LoadReport& report) {
    const LatencyHistogram& latencies = report.latencies;
    api::Json statuses = api::Json::object();
    std::string status_text;
    for (const auto& [status, count] : report.statuses) {
        statuses[fmt::format("{}", status)] = count;
        status_text += fmt::format("  {}: {}", status, count);
    }
    if (console.json()) {
        return console.print_json({{"url", url},
                                   {"connections", options.connections},
                                   {"duration_s", report.seconds},
                                   {"requests", report.requests},
                                   {"rate_per_s", report.rate()},
                                   {"latency_ms",
                                    {{"p50", ms(latencies.percentile(0.50))},
                                     {"p90", ms(latencies.percentile(0.90))},
                                     {"p99", ms(latencies.percentile(0.99))},
                                     {"max", ms(latencies.max())}}},
                                   {"statuses", statuses},
                                   {"transport_errors", report.transport_errors},
                                   {"error_rate", report.error_rate()}});
    }
    console.print(fmt::format("{} requests in {:.1f} s over {} connections: {:.0f} per second", report.requests,
                              report.seconds, options.connections, report.rate()));
    console.print(fmt::format("latency ms  p50 {:.3f}  p90 {:.3f}  p99 {:.3f}  max {:.3f}",
                              ms(latencies.percentile(0.50)), ms(latencies.percentile(0.90)),
                              ms(latencies.percentile(0.99)), ms(latencies.max())));
    console.print(fmt::format("status    {}  transport errors: {}", status_text, report.transport_errors));
}

Result<void> judge(const LoadReport& report, const Thresholds& limits) {
    const std::chrono::nanoseconds p99 = report.latencies.percentile(0.99);
    if (limits.max_p99 && p99 > *limits.max_p99) {
        return Error{Code::threshold_broken,
                     fmt::format("p99 is {:.3f} ms, more than {:.3f} ms", ms(p99), ms(*limits.max_p99))};
    }
    if (limits.max_error_rate && report.error_rate() > *limits.max_error_rate) {
        return Error{Code::threshold_broken, fmt::format("the error rate is {:.4f}, more than {}", report.error_rate(),
                                                         *limits.max_error_rate)};
    }
    if (report.requests == 0) {
        return Error{Code::failed, "not one reply was complete"};
    }
    return {};
}

Result<void> bench(const Console& console, const Flags& flags) {
    Result<Thresholds> limits = thresholds(flags);
    if (!limits) {
        return std::move(limits).error();
    }
    const Interrupt interrupt;
    std::unique_ptr<DemoServer> demo;
    std::string url = flags.url;
    if (url.empty()) {
        Result<std::unique_ptr<DemoServer>> started = DemoServer::start(console);
        if (!started) {
            return std::move(started).error();
        }
        demo = *std::move(started);
        url = demo->url();
    }
    Result<LoadOptions> options = load_options(flags, url);
    if (!options) {
        return std::move(options).error();
    }
    const auto progress = [&](double seconds, std::int64_t requests) {
        if (console.animated()) {
            std::fputs(fmt::format("\r{:5.1f} s  {} requests ", seconds, requests).c_str(), stderr);
        }
    };
    const SystemClock clock;
    Result<LoadReport> report = run_load(*options, clock, progress, interrupt.token());
    if (console.animated()) {
        std::fputs("\r\x1b[K", stderr);
    }
    if (!report) {
        return std::move(report).error();
    }
    show(console, url, *options, *report);
    return judge(*report, *limits);
}

}  // namespace

Run declare_bench(CLI::App& app) {
    auto flags = std::make_shared<Flags>();
    app.add_option("URL", flags->url, "what to ask for; default: a server in this process. MTAGENT_API_KEY is sent")
        ->check(not_empty());
    app.add_option("--connections,-c", flags->connections, "at the same time, default 10")
        ->type_name("N")
        ->check(CLI::Range(1, 4096));
    app.add_option("--duration,-d", flags->duration, "default 10s")->type_name("DURATION");
    app.add_option("--timeout", flags->timeout, "of one request, default 10s")->type_name("DURATION");
    app.add_option("--max-p99", flags->max_p99, "end with 5 when p99 is above")->type_name("DURATION");
    app.add_option("--max-error-rate", flags->max_error_rate, "end with 5 when more requests fail, such as 0.1%")
        ->type_name("SHARE");
    app.add_flag("--insecure", flags->insecure, "over https, speak to a server whose certificate is not trusted");
    return [flags](Console& console) { return bench(console, *flags); };
}

}  // namespace mt::app
