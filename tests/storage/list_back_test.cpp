#include <algorithm>
#include <set>

#include "storage/contract.h"

using namespace mt::test;
using mt::Code;
using mt::Entry;
using mt::Page;
using mt::Result;
using mt::Store;

namespace {

Page page_of(Store& store, std::string_view before, std::int64_t limit) {
    Result<Page> page = store.list_back("ns", before, limit);
    REQUIRE(page);
    return *std::move(page);
}

// The keys of all pages, in the order in which they came.
std::vector<std::string> all_pages(Store& store, const std::string& before, std::int64_t limit) {
    std::vector<std::string> keys;
    std::string cursor = before;
    do {
        Page page = page_of(store, cursor, limit);
        REQUIRE(std::ssize(page.entries) <= limit);
        for (Entry& entry : page.entries) {
            keys.push_back(std::move(entry.key));
        }
        cursor = page.cursor;
        REQUIRE(keys.size() <= 1000);
    } while (!cursor.empty());
    return keys;
}

void check_order(StoreBed& bed) {
    const auto store = bed.open("one");
    CHECK(page_of(*store, "", 10).entries.empty());
    std::set<std::string> keys;
    for (int i = 0; i < 200; ++i) {
        const std::string key =
            std::string(1, static_cast<char>(i + 40)) + std::string(static_cast<std::size_t>(i % 3), '\0');
        keys.insert(key);
        REQUIRE(store->put("ns", key, "v" + key));
        REQUIRE(store->put("ns\xff", key, "other"));
    }
    keys.insert(std::string(512, '\xff'));
    REQUIRE(store->put("ns", *keys.rbegin(), ""));
    for (const std::string& before : {std::string(), std::string("\x7f"), *keys.rbegin(), *keys.begin()}) {
        const auto end = before.empty() ? keys.end() : keys.lower_bound(before);
        std::vector<std::string> wanted(keys.begin(), end);
        std::reverse(wanted.begin(), wanted.end());
        for (const std::int64_t limit : {1, 7, 1000}) {
            CHECK(all_pages(*store, before, limit) == wanted);
        }
    }
    const Page page = page_of(*store, "\x7f", 2);
    REQUIRE(page.entries.size() == 2);
    CHECK(page.entries[0].value == "v" + page.entries[0].key);
    CHECK(page.entries[0].version == 1);
    CHECK(page.cursor == page.entries[1].key);
}

void check_end(StoreBed& bed) {
    const auto store = bed.open("one");
    for (const char* key : {"a", "b", "c"}) {
        REQUIRE(store->put("ns", key, "v"));
    }
    CHECK(page_of(*store, "", 3).cursor.empty());
    CHECK(page_of(*store, "", 2).cursor == "b");
    CHECK(page_of(*store, "b", 1).cursor.empty());
    CHECK(page_of(*store, "a", 1).entries.empty());
}

void check_bytes(StoreBed& bed) {
    const auto store = bed.open("one", 10'000'000);
    for (const char* key : {"a", "b", "c", "d"}) {
        REQUIRE(store->put("ns", key, std::string(600'000, *key)));
    }
    const Page newest = page_of(*store, "", 1000);
    REQUIRE(newest.entries.size() == 2);
    CHECK(newest.entries[1].value == std::string(600'000, 'c'));
    CHECK(newest.cursor == "c");
    const Page rest = page_of(*store, newest.cursor, 1000);
    CHECK(rest.entries.size() == 2);
    CHECK(rest.cursor.empty());
    REQUIRE(store->put("ns", "e", std::string(2'000'000, 'e')));  // more than a page alone
    CHECK(page_of(*store, "", 1000).entries.size() == 1);
    CHECK(all_pages(*store, "", 1000) == std::vector<std::string>{"e", "d", "c", "b", "a"});
}

void check_expired(StoreBed& bed) {
    const auto store = bed.open("one");
    for (const char* key : {"b", "d", "e", "f"}) {
        REQUIRE(store->put("ns", key, "v", {.ttl = std::chrono::milliseconds{10}}));
    }
    REQUIRE(store->put("ns", "a", "v"));
    REQUIRE(store->put("ns", "c", "v"));
    bed.clock().advance(std::chrono::milliseconds{10});
    for (const std::int64_t limit : {1, 2, 10}) {
        CHECK(all_pages(*store, "", limit) == std::vector<std::string>{"c", "a"});
    }
}

void check_input(StoreBed& bed) {
    const auto store = bed.open("one");
    CHECK(code_of(store->list_back("", "", 10)) == Code::invalid);
    CHECK(code_of(store->list_back("ns", "", 0)) == Code::invalid);
    CHECK(code_of(store->list_back("ns", "", 1001)) == Code::invalid);
    CHECK(store->list_back("ns", std::string(600, 'k'), 1000));
}

}  // namespace

TEST_CASE("every backend lists back from a key, in pages of bounded length and bytes") {
    for (const std::string_view type : k_store_types) {
        if (!StoreBed::can_have(type)) {
            continue;
        }
        CAPTURE(std::string(type));
        for (const auto check : {check_order, check_end, check_bytes, check_expired, check_input}) {
            StoreBed bed(type);
            check(bed);
        }
    }
}

TEST_CASE("only stores of a server wait for one") {
    for (const std::string_view type : k_store_types) {
        if (StoreBed::can_have(type)) {
            StoreBed bed(type);
            CHECK(bed.open("one")->is_remote() == (type == "redis" || type == "postgres"));
        }
    }
}
