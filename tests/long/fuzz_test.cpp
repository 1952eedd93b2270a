#include <doctest/doctest.h>

#include <random>
#include <string>

#include "agent/agent.h"
#include "base/text.h"
#include "config/config.h"
#include "http/message.h"
#include "support/service_house.h"

using namespace mt;

namespace {

// A text with some of its bytes changed, dropped, doubled or moved.
std::string mutated(std::string text, std::mt19937& random) {
    const auto place = [&] { return text.empty() ? 0 : random() % text.size(); };
    for (unsigned i = 0, steps = 1 + random() % 8; i < steps; ++i) {
        switch (random() % 4) {
            case 0:
                text.insert(place(), 1, static_cast<char>(random()));
                break;
            case 1:
                text.erase(place(), random() % 4);
                break;
            case 2:
                text.insert(place(), text.substr(place(), random() % 12));
                break;
            default:
                if (!text.empty()) {
                    text[place()] = static_cast<char>(random());
                }
        }
    }
    return text;
}

}  // namespace

TEST_CASE("garbled configuration is refused with a message or taken, never worse") {
    const std::string good =
        "[server]\nlisten = \"127.0.0.1:1\"\n[models.a]\nbase_url = \"http://h:1/v1\"\nfallback = \"b\"\n"
        "[models.b]\nbase_url = \"https://[::1]/\"\napi_key_env = \"K\"\n[tools.t]\ndescription = \"d\"\n"
        "url = \"http://h/{x}\"\nheaders = { a = \"${B}c\" }\nparameters = "
        "'{\"properties\":{\"x\":{}}}'\n[plans.gold]\nrate_limit = 5\nfeatures = [\"basic-chat\"]\n"
        "[[tenants]]\nid = \"acme\"\nplan = \"gold\"\ncache_ttl = \"5m\"\nmax_storage = \"1GB\"\nbudget = \"10/day\"\n";
    std::mt19937 random(1);
    int refused = 0;
    for (int i = 0; i < 60'000; ++i) {
        const Result<Config> config = parse_config(mutated(good, random), "x.toml");
        if (!config) {
            ++refused;
            CHECK_FALSE(config.error().message.empty());
        }
    }
    CHECK(refused > 10'000);
}

TEST_CASE("garbled questions are answered or refused, never worse") {
    test::ServiceHouse house;
    REQUIRE(house.add_open("acme", {{"plan", "enterprise"}, {"rate_limit", 1'000'000'000}}));
    const std::vector<std::string> seeds{"analyze 3, 5, 8 and multiply the mean by 12",
                                         "calculate (2 + 3) * sqrt(16) ^ 2 - 10 % 4!", "remember that my color is blue",
                                         "what is my color and what time is it in UTC+2?",
                                         "analyze\nday,price,size\n1,2.5,3\n2,3.5,4\n3,4.5,5"};
    std::mt19937 random(2);
    for (int i = 0; i < 40'000; ++i) {
        const auto asked = house.ask("acme", mutated(seeds[random() % seeds.size()], random));
        if (!asked.outcome) {
            const int status = describe(asked.code()).http_status;
            CHECK_MESSAGE((status == 400 || status == 507), asked.outcome.error().message);
        }
    }
}

TEST_CASE("garbled percent-encodings are decoded to UTF-8 or refused") {
    std::mt19937 random(3);
    for (int i = 0; i < 200'000; ++i) {
        const Result<std::string> text = http::percent_decode(mutated("a%20b%C3%A4+c%2Fd", random), true);
        if (text) {
            CHECK(is_utf8(*text));
            CHECK(*http::percent_decode(http::percent_encode(*text), false) == *text);
        }
    }
}
