#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "trace/exporter.h"
#include "trace/exporter_kit.h"

using namespace mt;
using namespace mt::test;

namespace {

TraceId random_id(std::mt19937_64& random) {
    TraceId id{};
    for (std::uint8_t& byte : id) {
        byte = static_cast<std::uint8_t>(random());
    }
    return id;
}

}  // namespace

TEST_CASE("a ratio takes its share of traces, and always the same ones") {
    Collector collector;
    TraceExporter tenth(settings_with(Sampler::ratio, 0.1), collector.send(), silent(), fast());
    TraceExporter other(settings_with(Sampler::ratio, 0.1), collector.send(), silent(), fast());
    TraceExporter more(settings_with(Sampler::ratio, 0.3), collector.send(), silent(), fast());
    TraceExporter none(settings_with(Sampler::ratio, 0), collector.send(), silent(), fast());
    TraceExporter all(settings_with(Sampler::ratio, 1), collector.send(), silent(), fast());
    std::mt19937_64 random(7);
    constexpr int k_ids = 100'000;
    int taken = 0;
    bool is_same = true;
    for (int i = 0; i < k_ids; ++i) {
        TraceId id = random_id(random);
        const bool sampled = tenth.sample(id, nullptr);
        taken += sampled ? 1 : 0;
        is_same = is_same && other.sample(id, nullptr) == sampled && (!sampled || more.sample(id, nullptr)) &&
                  !none.sample(id, nullptr) && all.sample(id, nullptr);
        id[0] ^= 0xFFU;  // only the last 8 bytes decide
        id[7] ^= 0xFFU;
        is_same = is_same && tenth.sample(id, nullptr) == sampled;
    }
    CHECK(is_same);
    CHECK(taken > k_ids * 97 / 1000);  // three standard deviations
    CHECK(taken < k_ids * 103 / 1000);
}

TEST_CASE("the last 8 bytes are compared as one unsigned number") {
    Collector collector;
    TraceExporter half(settings_with(Sampler::ratio, 0.5), collector.send(), silent(), fast());
    TraceId id{};
    id.fill(0xFF);
    CHECK_FALSE(half.sample(id, nullptr));
    id[8] = 0x80;
    std::fill(id.begin() + 9, id.end(), std::uint8_t{0});
    CHECK_FALSE(half.sample(id, nullptr));  // exactly the half
    id[8] = 0x7F;
    std::fill(id.begin() + 9, id.end(), std::uint8_t{0xFF});
    CHECK(half.sample(id, nullptr));
}

TEST_CASE("a parent decides where the sampler is based on it") {
    Collector collector;
    TraceContext yes;
    yes.sampled = true;
    const TraceContext no;
    const TraceId id{};
    struct Row {
        Sampler sampler;
        bool parent_based;
        std::array<bool, 3> expected;  // a parent that is sampled, one that is not, none
    };
    for (const Row& row : std::vector<Row>{{Sampler::always_on, true, {true, false, true}},
                                           {Sampler::always_off, true, {true, false, false}},
                                           {Sampler::always_on, false, {true, true, true}},
                                           {Sampler::always_off, false, {false, false, false}}}) {
        TraceExporter exporter(settings_with(row.sampler, 1, row.parent_based), collector.send(), silent(), fast());
        CHECK(exporter.sample(id, &yes) == row.expected[0]);
        CHECK(exporter.sample(id, &no) == row.expected[1]);
        CHECK(exporter.sample(id, nullptr) == row.expected[2]);
    }
}
