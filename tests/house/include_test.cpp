#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

// The floors of the house (lib/README.md). A room may include rooms of lower floors, and itself.
const std::map<std::string, int> k_floors{
    {"base", 1},  {"config", 2},  {"sqlite", 2},  {"redis", 2},    {"postgres", 2}, {"http", 2},
    {"trace", 2}, {"catalog", 3}, {"storage", 3}, {"limit", 3},    {"stats", 3},    {"cache", 3},
    {"agent", 4}, {"bench", 4},   {"tenant", 5},  {"pipeline", 6}, {"api", 7},      {"app", 8},
};

struct Arrow {
    std::string from_file;
    std::string from;
    std::string to;
};

bool is_source(const std::filesystem::path& path) {
    return path.extension() == ".cpp" || path.extension() == ".h";
}

// Rooms named by the #include "room/..." lines of one file.
std::vector<std::string> included_rooms(std::istream& in) {
    std::vector<std::string> rooms;
    const std::string start = "#include \"";
    for (std::string line; std::getline(in, line);) {
        const std::size_t slash = line.find('/');
        if (line.starts_with(start) && slash != std::string::npos) {
            rooms.push_back(line.substr(start.size(), slash - start.size()));
        }
    }
    return rooms;
}

void collect(const std::filesystem::path& folder, const std::string& room, std::vector<Arrow>& arrows) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (is_source(entry.path())) {
            std::ifstream in(entry.path());
            for (const std::string& to : included_rooms(in)) {
                arrows.push_back({entry.path().string(), room, to});
            }
        }
    }
}

bool is_allowed(const Arrow& arrow) {
    return arrow.from == arrow.to || (k_floors.contains(arrow.to) && k_floors.at(arrow.from) > k_floors.at(arrow.to));
}

// Files under `folder` that contain `text`.
std::set<std::string> files_with(const std::filesystem::path& folder, const std::string& text) {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (is_source(entry.path())) {
            std::ifstream in(entry.path());
            std::ostringstream all;
            all << in.rdbuf();
            if (all.str().find(text) != std::string::npos) {
                found.insert(std::filesystem::relative(entry.path(), folder).string());
            }
        }
    }
    return found;
}

const std::filesystem::path k_top = MT_SOURCE_DIR;

}  // namespace

TEST_CASE("every room stands on a floor") {
    for (const auto& entry : std::filesystem::directory_iterator(k_top / "lib")) {
        if (entry.is_directory()) {
            CHECK_MESSAGE(k_floors.contains(entry.path().filename().string()), entry.path().string());
        }
    }
}

TEST_CASE("no include runs up or sideways") {
    std::vector<Arrow> arrows;
    collect(k_top / "app", "app", arrows);
    for (const auto& [room, floor] : k_floors) {
        if (room != "app") {
            collect(k_top / "lib" / room, room, arrows);
        }
    }
    CHECK(arrows.size() > 100);
    for (const Arrow& arrow : arrows) {
        CHECK_MESSAGE(is_allowed(arrow), arrow.from_file, " includes room ", arrow.to);
    }
}

TEST_CASE("an arrow that runs up or sideways is seen") {
    CHECK_FALSE(is_allowed({"x", "base", "http"}));
    CHECK_FALSE(is_allowed({"x", "limit", "stats"}));
    CHECK_FALSE(is_allowed({"x", "api", "nowhere"}));
    CHECK(is_allowed({"x", "api", "base"}));
}

TEST_CASE("outside libraries stay in their rooms") {
    for (const std::string& file : files_with(k_top / "lib", "hiredis")) {
        CHECK_MESSAGE(file.starts_with("redis/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<libpq-fe.h>")) {
        CHECK_MESSAGE(file.starts_with("postgres/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<httplib.h>")) {
        CHECK_MESSAGE(file.starts_with("http/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<toml++/")) {
        CHECK_MESSAGE(file.starts_with("config/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<SQLiteCpp/")) {
        CHECK_MESSAGE(file.starts_with("sqlite/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<prometheus/")) {
        CHECK_MESSAGE(file.starts_with("stats/"), file);
    }
    for (const std::string& file : files_with(k_top / "lib", "<nlohmann/")) {
        const bool header = file.ends_with(".h");
        const bool speaks_a_format = file.starts_with("agent/") || file.starts_with("config/");
        CHECK_MESSAGE((file.starts_with("api/") || (speaks_a_format && !header)), file);
    }
}
