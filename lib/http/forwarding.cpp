#include "http/forwarding.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "http/grammar.h"

namespace mt::http {
namespace {

// "for" of one forwarded-element (RFC 7239 section 4), or "".
std::string_view for_parameter(std::string_view element) {
    while (!element.empty()) {
        const std::size_t end = std::min(element.find(';'), element.size());
        const std::string_view pair = trim_blanks(element.substr(0, end));
        if (equal_ignoring_case(pair.substr(0, 4), "for=")) {
            return pair.substr(4);
        }
        element.remove_prefix(std::min(end + 1, element.size()));
    }
    return {};
}

// An address without quotes, brackets and port: "[2001:db8::1]:80", "192.0.2.1:80" and plain ones.
std::string_view bare_address(std::string_view node) {
    if (node.size() >= 2 && node.front() == '"' && node.back() == '"') {
        node = node.substr(1, node.size() - 2);
    }
    if (!node.empty() && node.front() == '[') {
        return node.substr(1, std::min(node.find(']'), node.size()) - 1);
    }
    const bool one_colon = std::count(node.begin(), node.end(), ':') == 1;
    return one_colon ? node.substr(0, node.find(':')) : node;
}

// All members of a list field, in order, over all its lines (RFC 9110 section 5.3).
std::vector<std::string_view> members(const Fields& fields, std::string_view name) {
    std::vector<std::string_view> found;
    for (const auto& [field, value] : fields) {
        if (!equal_ignoring_case(field, name)) {
            continue;
        }
        std::string_view rest = value;
        while (!rest.empty()) {
            const std::size_t end = std::min(rest.find(','), rest.size());
            found.push_back(trim_blanks(rest.substr(0, end)));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
    }
    return found;
}

// The last address that is no trusted proxy's; `peer` where there is none.
std::string last_stranger(std::vector<std::string_view> chain, const std::string& peer, const Networks& trusted) {
    std::string client = peer;
    for (; !chain.empty(); chain.pop_back()) {
        const std::string_view address = bare_address(chain.back());
        if (!parse_ip(address)) {
            break;  // what stands before it was written by somebody unknown
        }
        client = address;
        if (!trusted.contains(client)) {
            break;
        }
    }
    return client;
}

}  // namespace

std::string forwarded_client(const Fields& fields, const std::string& peer, const Networks& trusted) {
    std::vector<std::string_view> forwarded = members(fields, "Forwarded");
    std::transform(forwarded.begin(), forwarded.end(), forwarded.begin(), for_parameter);
    const std::vector<std::string_view> x_forwarded = members(fields, "X-Forwarded-For");
    const std::string one = last_stranger(forwarded, peer, trusted);
    const std::string other = last_stranger(x_forwarded, peer, trusted);
    if (forwarded.empty() || x_forwarded.empty()) {
        return forwarded.empty() ? other : one;
    }
    return one == other ? one : peer;
}

}  // namespace mt::http
