#include "agent/excerpt.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/text.h"

TEST_CASE("bytes that are no UTF-8 become a sign for that") {
    CHECK(mt::valid_utf8("plain") == "plain");
    CHECK(mt::valid_utf8("\xe2\x82\xac \"\\\n") == "\xe2\x82\xac \"\\\n");
    CHECK(mt::valid_utf8("a\xff"
                         "b") ==
          "a\xef\xbf\xbd"
          "b");
    CHECK(mt::valid_utf8(std::string("\0\x80", 2)) == std::string("\0\xef\xbf\xbd", 4));
    for (int byte = 0; byte < 256; ++byte) {
        CHECK(mt::is_utf8(mt::valid_utf8(std::string(3, static_cast<char>(byte)))));
    }
}

TEST_CASE("an excerpt is no longer than asked for, and cuts no character in two") {
    CHECK(mt::excerpt("short", 5) == "short");
    CHECK(mt::excerpt("longer", 5) == "longe...");
    CHECK(mt::excerpt("", 0).empty());
    CHECK(mt::excerpt("x", 0) == "...");
    const std::string text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
    for (std::size_t longest = 0; longest < text.size(); ++longest) {
        const std::string cut = mt::excerpt(text, longest);
        CHECK(mt::is_utf8(cut));
        CHECK(cut.ends_with("..."));
        CHECK(cut.size() <= longest + 3);
        CHECK(cut.size() + 3 > longest);
        CHECK(text.starts_with(cut.substr(0, cut.size() - 3)));
    }
    CHECK(mt::excerpt(std::string(100, '\x80'), 10) == "...");
}

TEST_CASE("a secret is nowhere in the text, not even cut") {
    constexpr std::string_view k_secret = "sk-0123456789";
    CHECK(mt::without_secret("a sk-0123456789 b sk-0123456789sk-0123456789", k_secret) == "a *** b ******");
    for (std::size_t size = 8; size <= k_secret.size(); ++size) {
        CHECK(mt::without_secret("key " + std::string(k_secret.substr(0, size)), k_secret) == "key ***");
        CHECK(mt::without_secret(std::string(k_secret.substr(0, size)) + "...", k_secret) == "***...");
    }
    CHECK(mt::without_secret("sk-01234 56789", k_secret) == "*** 56789");
    CHECK(mt::without_secret("sk-0123", k_secret) == "sk-0123");
    CHECK(mt::without_secret("short abc", "abc") == "short ***");
    CHECK(mt::without_secret("*** stays", "***") == "*** stays");
    CHECK(mt::without_secret("nothing", "") == "nothing");
    CHECK(mt::without_secret("", k_secret).empty());
}
