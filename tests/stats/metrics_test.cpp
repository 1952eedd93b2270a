#include "stats/metrics.h"

#include <doctest/doctest.h>

using namespace mt;

namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("refusals of the transport are shown by reason, those without a count too") {
    ProcessSample process;
    process.refusals = {{"request_timeout", 0}, {"busy", 7}};
    const std::string text = render_metrics({}, process);
    CHECK(has_line(text, "# TYPE mtagent_http_refusals_total counter"));
    CHECK(has_line(text, "mtagent_http_refusals_total{reason=\"request_timeout\"} 0"));
    CHECK(has_line(text, "mtagent_http_refusals_total{reason=\"busy\"} 7"));
}
