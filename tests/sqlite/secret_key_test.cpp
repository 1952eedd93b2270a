// The key of the data folder that seals tenants' own secrets.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "sqlite/data_folder.h"
#include "support/temp_folder.h"

using namespace mt;

TEST_CASE("the folder's key is made when it is asked for, once, for its owner alone") {
    const test::TempFolder temp;
    const DataFolder folder = *DataFolder::open(temp.path() / "data", true);
    const std::filesystem::path path = folder.path() / "secret.key";
    CHECK_FALSE(std::filesystem::exists(path));
    const Result<SecretBox> first = folder.secret_box(std::nullopt);
    REQUIRE(first);
    struct stat status {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == 0600);
    CHECK(status.st_size == 65);
    const Result<SecretBox> second = folder.secret_box("");  // an empty variable is none
    REQUIRE(second);
    CHECK(*second->open(first->seal("text", "here"), "here") == "text");
    // Nothing is left of the making.
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        files += entry.is_regular_file() ? 1U : 0U;
    }
    CHECK(files == 1);
}

TEST_CASE("whoever asks at the same time gets the same key") {
    const test::TempFolder temp;
    const DataFolder folder = *DataFolder::open(temp.path() / "data", true);
    std::vector<std::string> sealed(8);
    {
        std::vector<std::jthread> threads;
        for (std::string& text : sealed) {
            threads.emplace_back([&] {
                if (const Result<SecretBox> box = folder.secret_box(std::nullopt)) {
                    text = box->seal("text", "here");
                }
            });
        }
    }
    const SecretBox box = *folder.secret_box(std::nullopt);
    for (const std::string& text : sealed) {
        CHECK(box.open(text, "here"));
    }
}

TEST_CASE("a key file that is named comes first, and is not made") {
    const test::TempFolder temp;
    const DataFolder folder = *DataFolder::open(temp.path() / "data", true);
    const std::string named = (temp.path() / "named.key").string();
    CHECK(folder.secret_box(named).error().code == Code::config);
    std::ofstream(named) << std::string(64, 'a') << '\n';
    REQUIRE(chmod(named.c_str(), 0600) == 0);
    const Result<SecretBox> box = folder.secret_box(named);
    REQUIRE(box);
    CHECK_FALSE(std::filesystem::exists(folder.path() / "secret.key"));
    CHECK_FALSE(folder.secret_box(std::nullopt)->open(box->seal("text", ""), ""));
}

TEST_CASE("a folder's key that is open to others or damaged is refused, not replaced") {
    const test::TempFolder temp;
    const DataFolder folder = *DataFolder::open(temp.path() / "data", true);
    REQUIRE(folder.secret_box(std::nullopt));
    const std::filesystem::path path = folder.path() / "secret.key";
    REQUIRE(chmod(path.c_str(), 0644) == 0);
    CHECK(folder.secret_box(std::nullopt).error().code == Code::config);
    REQUIRE(chmod(path.c_str(), 0600) == 0);
    std::filesystem::resize_file(path, 10);
    CHECK(folder.secret_box(std::nullopt).error().code == Code::config);
    CHECK(std::filesystem::file_size(path) == 10);
}
