#include "base/secret_box.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <string>

#include "base/ids.h"
#include "support/temp_folder.h"

using namespace mt;

namespace {

SecretBox::Key key_of(std::uint8_t first) {
    SecretBox::Key key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::uint8_t>(first + i);
    }
    return key;
}

std::string from_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
    return bytes;
}

std::filesystem::path write_key(const test::TempFolder& folder, const std::string& text, mode_t mode = 0600) {
    std::filesystem::path path = folder.path() / "key";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    REQUIRE(chmod(path.c_str(), mode) == 0);
    return path;
}

}  // namespace

TEST_CASE("what is sealed comes out again, of any length") {
    const SecretBox box(key_of(1));
    for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 17UL, 1000UL, 100'000UL}) {
        const std::string plain(size, 'x');
        const std::string sealed = box.seal(plain, "here");
        CHECK(sealed.size() == size + 1 + 12 + 16);
        CHECK(sealed.front() == 1);
        const Result<std::string> opened = box.open(sealed, "here");
        REQUIRE(opened);
        CHECK(*opened == plain);
    }
    CHECK(*box.open(box.seal("text", ""), "") == "text");
}

TEST_CASE("no two sealed texts are alike, and none shows its text") {
    const SecretBox box(key_of(1));
    std::set<std::string> nonces;
    for (int i = 0; i < 1000; ++i) {
        const std::string sealed = box.seal("the same secret", "here");
        nonces.insert(sealed.substr(1, 12));
        CHECK(sealed.find("secret") == std::string::npos);
    }
    CHECK(nonces.size() == 1000);
}

TEST_CASE("another key, another place and every flipped bit are refused without a word of key or text") {
    const SecretBox box(key_of(1));
    const std::string sealed = box.seal("hunter2", "tenant a");
    const auto refused = [&](const Result<std::string>& opened) {
        return !opened && opened.error().code == Code::failed &&
               opened.error().message.find("hunter2") == std::string::npos;
    };
    CHECK(refused(SecretBox(key_of(2)).open(sealed, "tenant a")));
    CHECK(refused(box.open(sealed, "tenant b")));
    CHECK(refused(box.open(sealed, "")));
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
        std::string damaged = sealed;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        CHECK_MESSAGE(refused(box.open(damaged, "tenant a")), bit);
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        CHECK_MESSAGE(refused(box.open(sealed.substr(0, size), "tenant a")), size);
    }
    CHECK(refused(box.open(sealed + "x", "tenant a")));
}

TEST_CASE("the format is that of the header: AES-256-GCM, known by an independent computation") {
    // The key 01..20, the nonce 000102030405060708090a0b, the version byte and "here" as associated data.
    const std::string sealed = from_hex(
        "01000102030405060708090a0b"
        "19556dfba7fca2270bae7d66993e1a0fe38d779190");
    const Result<std::string> opened = SecretBox(key_of(1)).open(sealed, "here");
    REQUIRE(opened);
    CHECK(*opened == "hello");
}

TEST_CASE("a key file holds 32 bytes or 64 digits") {
    const test::TempFolder folder;
    const SecretBox::Key key = key_of(1);
    const std::string raw(key.begin(), key.end());
    const std::string sealed = SecretBox(key).seal("text", "here");
    for (const std::string& text : {raw, to_hex(key), to_hex(key) + "\n", to_hex(key) + "\r\n"}) {
        const Result<SecretBox> box = SecretBox::from_key_file(write_key(folder, text));
        REQUIRE_MESSAGE(box, text.size());
        CHECK(*box->open(sealed, "here") == "text");
    }
}

TEST_CASE("a key file that is none, or open to others, is an error of the configuration") {
    const test::TempFolder folder;
    const std::string good(64, 'a');
    for (const std::string& text :
         {std::string(), std::string(31, 'k'), std::string(33, 'k'), std::string(64, 'g'), good + "a", good + good}) {
        const Result<SecretBox> box = SecretBox::from_key_file(write_key(folder, text));
        REQUIRE_FALSE_MESSAGE(box, text.size());
        CHECK(box.error().code == Code::config);
        CHECK((text.empty() || box.error().message.find(text) == std::string::npos));
    }
    for (const mode_t mode : {0604U, 0620U, 0610U, 0660U, 0601U, 0644U}) {
        const Result<SecretBox> box = SecretBox::from_key_file(write_key(folder, good, mode));
        REQUIRE_FALSE_MESSAGE(box, mode);
        CHECK(box.error().code == Code::config);
        CHECK(box.error().message.find("chmod 600") != std::string::npos);
    }
    for (const mode_t mode : {0400U, 0440U, 0640U}) {
        CHECK(SecretBox::from_key_file(write_key(folder, good, mode)));
    }
    CHECK(SecretBox::from_key_file(folder.path() / "missing").error().code == Code::config);
    CHECK(SecretBox::from_key_file(folder.path()).error().code == Code::config);
}
