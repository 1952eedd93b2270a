#include "agent/session.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "agent/memory_store.h"
#include "support/fake_clock.h"

namespace {

using mt::Message;
using mt::Role;
using mt::Sessions;

struct Fixture {
    mt::test::FakeClock clock;
    mt::test::MemoryStore store{clock};
    Sessions sessions{*store, clock};
};

// Passes everything on; `before` runs once, ahead of the next put or erase in `where`: another request comes between.
class RacingStore final : public mt::Store {
  public:
    explicit RacingStore(mt::Store& store) : m_store(store) {}

    mt::Result<std::int64_t> put(std::string_view ns, std::string_view key, std::string_view value,
                                 const mt::PutOptions& options) override {
        race(ns);
        return m_store.put(ns, key, value, options);
    }
    mt::Result<std::optional<mt::Entry>> get(std::string_view ns, std::string_view key) override {
        return m_store.get(ns, key);
    }
    mt::Result<mt::Page> list(std::string_view ns, std::string_view prefix, std::string_view cursor,
                              std::int64_t limit) override {
        return m_store.list(ns, prefix, cursor, limit);
    }
    mt::Result<mt::Page> list_back(std::string_view ns, std::string_view before_key, std::int64_t limit) override {
        return m_store.list_back(ns, before_key, limit);
    }
    mt::Result<bool> erase(std::string_view ns, std::string_view key) override {
        race(ns);
        return m_store.erase(ns, key);
    }
    mt::Result<void> clear(std::string_view ns) override { return m_store.clear(ns); }
    mt::Result<std::int64_t> bytes_used() override { return m_store.bytes_used(); }
    void set_max_bytes(std::int64_t max_bytes) override { m_store.set_max_bytes(max_bytes); }

    std::string where{};
    std::function<void()> before{};

  private:
    void race(std::string_view ns) {
        if (before && ns == where) {
            std::exchange(before, nullptr)();
        }
    }

    mt::Store& m_store;
};

std::vector<Message> turn(const std::string& question, const std::string& answer) {
    return {{Role::user, question}, {Role::assistant, answer}};
}

// "q1 a1 q2 a2"
std::string contents(const std::vector<Message>& messages) {
    std::string all;
    for (const Message& message : messages) {
        all += (all.empty() ? "" : " ") + message.content;
    }
    return all;
}

}  // namespace

TEST_CASE("history gives whole turns, the newest, oldest first") {
    Fixture f;
    CHECK(f.sessions.history("s", 10)->empty());
    for (int i = 1; i <= 12; ++i) {
        REQUIRE(f.sessions.append("s", turn("q" + std::to_string(i), "a" + std::to_string(i))));
    }
    CHECK(contents(*f.sessions.history("s", 4)) == "q11 a11 q12 a12");
    CHECK(contents(*f.sessions.history("s", 5)) == "q11 a11 q12 a12");
    CHECK(f.sessions.history("s", 40)->size() == 24);
    CHECK(contents(*f.sessions.history("s", 40)).starts_with("q1 a1 q2 a2"));
    CHECK(f.sessions.history("s", 1)->empty());
    CHECK(f.sessions.history("s", 0)->empty());
    CHECK(f.sessions.history("other", 40)->empty());
}

TEST_CASE("a turn comes back as it was kept") {
    Fixture f;
    const std::vector<Message> kept{{Role::user, "2+2 \"quoted\"\n\xC3\xA4"},
                                    {Role::assistant, "", {{"call_1", "calculator", "{\"expression\": \"2+2\"}"}}},
                                    {Role::tool, "4", {}, "call_1"},
                                    {Role::assistant, "It is 4."}};
    REQUIRE(f.sessions.append("s", kept));
    const auto history = f.sessions.history("s", 10);
    REQUIRE(history);
    REQUIRE(history->size() == 4);
    for (std::size_t i = 0; i < kept.size(); ++i) {
        CHECK((*history)[i].role == kept[i].role);
        CHECK((*history)[i].content == kept[i].content);
        CHECK((*history)[i].tool_call_id == kept[i].tool_call_id);
    }
    REQUIRE((*history)[1].tool_calls.size() == 1);
    CHECK((*history)[1].tool_calls[0].id == "call_1");
    CHECK((*history)[1].tool_calls[0].name == "calculator");
    CHECK((*history)[1].tool_calls[0].arguments == "{\"expression\": \"2+2\"}");
}

TEST_CASE("info tells when a session began and last grew") {
    Fixture f;
    const mt::WallTime start = f.clock.wall();
    CHECK(f.sessions.info("s").error().code == mt::Code::not_found);
    REQUIRE(f.sessions.append("s", turn("q", "a")));
    f.clock.advance(std::chrono::seconds{90});
    REQUIRE(f.sessions.append("s", turn("q", "a")));
    const auto info = f.sessions.info("s");
    REQUIRE(info);
    CHECK(info->id == "s");
    CHECK(info->turns == 2);
    CHECK(info->created == start);
    CHECK(info->updated == start + std::chrono::seconds{90});
}

TEST_CASE("turns that are added at once all get in") {
    Fixture f;
    constexpr std::size_t k_each = 50;
    {
        std::vector<std::jthread> writers;
        for (const char* name : {"a", "b"}) {
            writers.emplace_back([&f, name] {
                for (std::size_t i = 0; i < k_each; ++i) {
                    const std::string mark = name + std::to_string(i);
                    CHECK(f.sessions.append("s", turn(mark, mark)));
                }
            });
        }
    }
    const auto history = f.sessions.history("s", 1000);
    REQUIRE(history);
    std::set<std::string> marks;
    for (const Message& message : *history) {
        marks.insert(message.content);
    }
    CHECK(history->size() == 4 * k_each);
    CHECK(marks.size() == 2 * k_each);
    CHECK(f.sessions.info("s")->turns == std::int64_t{2 * k_each});
}

TEST_CASE("a turn that comes between the steps of another is not lost") {
    Fixture f;
    RacingStore racing(*f.store);
    Sessions slow(racing, f.clock);
    for (const char* where : {"session:s", "sessions"}) {
        CAPTURE(where);
        racing.where = where;
        racing.before = [&f] { CHECK(f.sessions.append("s", turn("q1", "a1"))); };
        REQUIRE(slow.append("s", turn("q2", "a2")));
        const auto history = f.sessions.history("s", 10);
        REQUIRE(history);
        CHECK(history->size() == 4);
        CHECK(f.sessions.info("s")->turns == 2);
        REQUIRE(f.sessions.erase("s"));
    }
}

TEST_CASE("a turn that comes while its session is erased goes with it") {
    Fixture f;
    RacingStore racing(*f.store);
    Sessions slow(racing, f.clock);
    REQUIRE(f.sessions.append("s", turn("q1", "a1")));
    racing.where = "sessions";
    racing.before = [&f] { CHECK(f.sessions.append("s", turn("q2", "a2"))); };
    REQUIRE(slow.erase("s"));
    CHECK(*f.store->bytes_used() == 0);
}

TEST_CASE("an erased session leaves nothing") {
    Fixture f;
    REQUIRE(f.sessions.append("s", turn("q1", "a1")));
    REQUIRE(f.sessions.append("t", turn("q2", "a2")));
    REQUIRE(f.sessions.erase("t"));
    CHECK(f.sessions.erase("t").error().code == mt::Code::not_found);
    CHECK(f.sessions.info("t").error().code == mt::Code::not_found);
    CHECK(f.sessions.history("t", 10)->empty());
    CHECK(contents(*f.sessions.history("s", 10)) == "q1 a1");
    REQUIRE(f.sessions.erase("s"));
    CHECK(*f.store->bytes_used() == 0);
    REQUIRE(f.sessions.append("s", turn("q3", "a3")));
    CHECK(contents(*f.sessions.history("s", 10)) == "q3 a3");
    CHECK(f.sessions.info("s")->turns == 1);
}

TEST_CASE("sessions are listed page by page") {
    Fixture f;
    for (const char* id : {"c", "a", "e", "b", "d"}) {
        REQUIRE(f.sessions.append(id, turn("q", "a")));
    }
    std::string ids;
    std::string cursor;
    int pages = 0;
    do {
        const auto page = f.sessions.list(cursor, 2);
        REQUIRE(page);
        for (const mt::SessionInfo& info : page->sessions) {
            CHECK(info.turns == 1);
            ids += info.id;
        }
        cursor = page->cursor;
        ++pages;
    } while (!cursor.empty());
    CHECK(ids == "abcde");
    CHECK(pages == 3);
}

TEST_CASE("session ids") {
    for (const char* good : {"a", "A.b_c-9", "0123456789012345678901234567890123456789012345678901234567890123"}) {
        CHECK(Sessions::check_id(good));
    }
    Fixture f;
    for (const char* bad :
         {"", "a b", "a/b", "\xC3\xA4", "a:b", "01234567890123456789012345678901234567890123456789012345678901234"}) {
        CAPTURE(bad);
        CHECK(Sessions::check_id(bad).error().code == mt::Code::invalid);
        CHECK(f.sessions.append(bad, turn("q", "a")).error().code == mt::Code::invalid);
        CHECK(f.sessions.history(bad, 10).error().code == mt::Code::invalid);
        CHECK(f.sessions.info(bad).error().code == mt::Code::invalid);
        CHECK(f.sessions.erase(bad).error().code == mt::Code::invalid);
    }
}

TEST_CASE("a full store refuses a turn and keeps nothing of it") {
    Fixture f;
    REQUIRE(f.sessions.append("s", turn("q1", "a1")));
    const std::int64_t used = *f.store->bytes_used();
    f.store->set_max_bytes(used + 20);
    CHECK(f.sessions.append("s", turn("q2", "a2")).error().code == mt::Code::storage_full);
    CHECK(contents(*f.sessions.history("s", 10)) == "q1 a1");
    CHECK(*f.store->bytes_used() == used);
    // Room for the turn but not for the index entry of a new session.
    f.store->set_max_bytes(used + 190);
    CHECK(f.sessions.append("t", turn("q3", "a3")).error().code == mt::Code::storage_full);
    CHECK(*f.store->bytes_used() == used);
}

TEST_CASE("a damaged session is told and can be erased") {
    Fixture f;
    REQUIRE(f.sessions.append("s", turn("q", "a")));
    REQUIRE(f.store->put("sessions", "s", "{"));
    CHECK(f.sessions.history("s", 10).error().code == mt::Code::failed);
    CHECK(f.sessions.erase("s"));
    CHECK(*f.store->bytes_used() == 0);
}
