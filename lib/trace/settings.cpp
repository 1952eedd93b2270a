#include "trace/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "base/text.h"
#include "base/units.h"

namespace mt {
namespace {

using Lookup = std::function<std::optional<std::string>(const std::string&)>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view k_standard_endpoint = "http://localhost:4318/v1/traces";
constexpr std::int64_t k_longest_timeout_ms = 3'600'000;

struct SamplerName {
    std::string_view name;
    TraceSettings::Sampler sampler;
    bool parent_based;
};
constexpr std::array k_samplers{
    SamplerName{"always_on", TraceSettings::Sampler::always_on, false},
    SamplerName{"always_off", TraceSettings::Sampler::always_off, false},
    SamplerName{"traceidratio", TraceSettings::Sampler::ratio, false},
    SamplerName{"parentbased_always_on", TraceSettings::Sampler::always_on, true},
    SamplerName{"parentbased_always_off", TraceSettings::Sampler::always_off, true},
    SamplerName{"parentbased_traceidratio", TraceSettings::Sampler::ratio, true},
};

// A variable that is set, and its name.
struct Variable {
    std::string name;
    std::string value;

    [[nodiscard]] Error wrong(std::string_view what) const {
        return Error{Code::config, fmt::format("{}: {}", name, what)};
    }
};

class Reader {
  public:
    explicit Reader(const Lookup& lookup) : m_lookup(lookup) {}

    [[nodiscard]] std::optional<Variable> find(std::string_view name) const {
        Variable variable{std::string(name), {}};
        if (m_lookup) {
            variable.value = trim(m_lookup(variable.name).value_or(""));
        }
        return variable.value.empty() ? std::nullopt : std::optional(std::move(variable));
    }

    /// The one for traces, or that for all signals: OTEL_EXPORTER_OTLP_[TRACES_]`what`.
    [[nodiscard]] std::optional<Variable> find_otlp(std::string_view what) const {
        std::optional<Variable> own = find(fmt::format("OTEL_EXPORTER_OTLP_TRACES_{}", what));
        return own ? own : find(fmt::format("OTEL_EXPORTER_OTLP_{}", what));
    }

  private:
    const Lookup& m_lookup;
};

int hex_digit(char c) {
    constexpr std::string_view k_digits = "0123456789abcdef";
    const std::size_t place = k_digits.find(to_lower(std::string_view(&c, 1)));
    return place == std::string_view::npos ? -1 : static_cast<int>(place);
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return decoded;
}

// "key=value,key=value" as in W3C Baggage. Messages count the entries instead of quoting them: they may hold secrets.
Result<Pairs> read_pairs(const Variable& variable) {
    Pairs pairs;
    for (const std::string& entry : split_list(variable.value)) {
        const std::size_t equal = entry.find('=');
        const std::string_view text = entry;
        const std::optional<std::string> name = percent_decode(trim(text.substr(0, equal)));
        const std::optional<std::string> value =
            equal == std::string::npos ? std::nullopt : percent_decode(trim(text.substr(equal + 1)));
        if (!name || name->empty() || !value) {
            return variable.wrong(fmt::format("entry {} is not key=value with percent-encoded text", pairs.size() + 1));
        }
        pairs.emplace_back(*name, *value);
    }
    return pairs;
}

// A token (RFC 9110 section 5.6.2).
bool is_field_name(std::string_view name) {
    static constexpr std::string_view k_marks = "!#$%&'*+-.^_`|~";
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               k_marks.find(c) != std::string_view::npos;
    });
}

bool is_field_value(std::string_view value) {
    return std::all_of(value.begin(), value.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte == '\t' || (byte >= 0x20U && byte != 0x7FU);
    });
}

Result<void> read_headers(const Reader& reader, TraceSettings& settings) {
    constexpr std::array<std::string_view, 4> k_ours{"content-type", "content-length", "host", "transfer-encoding"};
    const std::optional<Variable> variable = reader.find_otlp("HEADERS");
    if (!variable) {
        return {};
    }
    Result<Pairs> pairs = read_pairs(*variable);
    if (!pairs) {
        return pairs.error();
    }
    for (std::size_t i = 0; i < pairs->size(); ++i) {
        const auto& [name, value] = (*pairs)[i];
        const bool ours = std::find(k_ours.begin(), k_ours.end(), to_lower(name)) != k_ours.end();
        if (ours || !is_field_name(name) || !is_field_value(value)) {
            return variable->wrong(
                fmt::format("entry {} {}", i + 1, ours ? "is not to be given" : "is no header field"));
        }
    }
    settings.headers = std::move(*pairs);
    return {};
}

Result<void> check_endpoint(const Variable& variable) {
    const std::string_view url = variable.value;
    const std::size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
    if (scheme == 0) {
        return variable.wrong("an address that begins with http:// or https:// is needed");
    }
    const std::string_view authority = url.substr(scheme, url.find_first_of("/?#", scheme) - scheme);
    const bool readable = std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7F; });
    if (authority.empty() || authority.starts_with(':') || !readable || url.find('#') != std::string_view::npos) {
        return variable.wrong("an address like http://127.0.0.1:4318 is needed");
    }
    if (authority.find('@') != std::string_view::npos) {
        return variable.wrong("credentials go into OTEL_EXPORTER_OTLP_HEADERS");
    }
    return {};
}

Result<void> read_endpoint(const Reader& reader, TraceSettings& settings) {
    if (const auto own = reader.find("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) {
        settings.endpoint = own->value;
        return check_endpoint(*own);
    }
    const auto common = reader.find("OTEL_EXPORTER_OTLP_ENDPOINT");
    if (!common) {
        settings.endpoint = reader.find("OTEL_TRACES_EXPORTER") ? k_standard_endpoint : "";
        return {};
    }
    const std::size_t query = std::min(common->value.find('?'), common->value.size());
    std::string path = common->value.substr(0, query);
    path += path.ends_with('/') ? "v1/traces" : "/v1/traces";
    settings.endpoint = path + common->value.substr(query);
    return check_endpoint(*common);
}

Result<void> read_transport(const Reader& reader, TraceSettings& settings) {
    const auto protocol = reader.find_otlp("PROTOCOL");
    if (!settings.endpoint.empty() && protocol && protocol->value != "http/json") {
        return protocol->wrong(fmt::format("only http/json is spoken, not {}", quote(protocol->value)));
    }
    if (const auto timeout = reader.find_otlp("TIMEOUT")) {
        const Result<std::int64_t> value = parse_integer(timeout->value);
        if (!value || *value < 1 || *value > k_longest_timeout_ms) {
            return timeout->wrong(fmt::format("{} is no whole number of milliseconds from 1 to {}",
                                              quote(timeout->value), k_longest_timeout_ms));
        }
        settings.timeout_ms = *value;
    }
    return {};
}

// Of attributes with one name the last one counts.
void add_attribute(TraceSettings& settings, const Pairs::value_type& attribute) {
    const auto& [name, value] = attribute;
    if (name == "service.name") {
        settings.service_name = value.empty() ? settings.service_name : value;
    } else if (name == "service.version") {
        settings.service_version = value;
    } else {
        std::erase_if(settings.resource, [&](const auto& known) { return known.first == attribute.first; });
        settings.resource.push_back(attribute);
    }
}

Result<void> read_resource(const Reader& reader, TraceSettings& settings) {
    if (const auto attributes = reader.find("OTEL_RESOURCE_ATTRIBUTES")) {
        Result<Pairs> pairs = read_pairs(*attributes);
        if (!pairs) {
            return pairs.error();
        }
        for (const auto& attribute : *pairs) {
            add_attribute(settings, attribute);
        }
    }
    if (const auto name = reader.find("OTEL_SERVICE_NAME")) {
        settings.service_name = name->value;
    }
    return {};
}

Result<void> read_sampler(const Reader& reader, TraceSettings& settings) {
    const auto argument = reader.find("OTEL_TRACES_SAMPLER_ARG");
    const auto sampler = reader.find("OTEL_TRACES_SAMPLER");
    const std::string name = sampler ? sampler->value : argument ? "parentbased_traceidratio" : "parentbased_always_on";
    const auto row = std::find_if(k_samplers.begin(), k_samplers.end(),
                                  [&](const SamplerName& known) { return known.name == name; });
    if (row == k_samplers.end()) {
        std::vector<std::string> names;
        for (const SamplerName& known : k_samplers) {
            names.emplace_back(known.name);
        }
        return sampler->wrong(fmt::format("{} is none of {}", quote(name), join(names, ", ")));
    }
    settings.sampler = row->sampler;
    settings.parent_based = row->parent_based;
    if (argument && settings.sampler == TraceSettings::Sampler::ratio) {
        const Result<double> ratio = parse_ratio(argument->value);
        if (!ratio) {
            return argument->wrong(ratio.error().message);
        }
        settings.ratio = *ratio;
    }
    return {};
}

// Whether there is to be any tracing at all.
Result<bool> read_switches(const Reader& reader) {
    if (const auto disabled = reader.find("OTEL_SDK_DISABLED")) {
        const std::string word = to_lower(disabled->value);
        if (word != "true" && word != "false") {
            return disabled->wrong(fmt::format("{} is neither true nor false", quote(disabled->value)));
        }
        if (word == "true") {
            return false;
        }
    }
    const auto exporter = reader.find("OTEL_TRACES_EXPORTER");
    if (exporter && exporter->value != "otlp" && exporter->value != "none") {
        return exporter->wrong(fmt::format("{} is neither otlp nor none", quote(exporter->value)));
    }
    return !exporter || exporter->value == "otlp";
}

}  // namespace

Result<TraceSettings> read_trace_settings(
    const std::function<std::optional<std::string>(const std::string&)>& environment) {
    const Reader reader(environment);
    TraceSettings settings;
    const Result<bool> wanted = read_switches(reader);
    if (!wanted) {
        return wanted.error();
    }
    if (!*wanted) {
        return settings;
    }
    constexpr std::array k_readers{read_endpoint, read_headers, read_transport, read_resource, read_sampler};
    for (const auto& read : k_readers) {
        if (const Result<void> done = read(reader, settings); !done) {
            return done.error();
        }
    }
    return settings;
}

}  // namespace mt
