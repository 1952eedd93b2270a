#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace mt {

/// An API key at rest: never the key itself, only the SHA-256 of its whole text.
struct KeyRecord {
    std::string key_id;  ///< 12 of a-z2-7, also readable in the key
    std::string tenant;  ///< empty: an operator's key
    std::string name;
    Sha256 hash{};
    WallTime created{};
    std::optional<WallTime> expires{};
    std::optional<WallTime> revoked{};
    bool read_only = false;  ///< operator keys: may look, not change

    [[nodiscard]] bool is_live(WallTime now) const;
};

/// A key just made: its text is shown once and kept nowhere.
struct NewKey {
    KeyRecord record;
    std::string text;
};

struct KeyRequest {
    std::string tenant{};  ///< empty: for operators
    std::string name{};
    std::optional<std::chrono::milliseconds> expires_in{};
    bool read_only = false;
};

/// A name is one line of UTF-8, at most 200 bytes; an expiry lies in the future. Errors: invalid.
Result<void> check_key_request(const KeyRequest& request);

/// mta_<key id: 12 of a-z2-7>_<secret: 64 hex>. `record` gets id and hash.
NewKey generate_key();

/// The key id inside a key's text, or nothing when the text has not the shape of a key.
std::optional<std::string_view> key_id_of(std::string_view text);

/// True when `text` is the key of the record, in constant time.
bool matches(const KeyRecord& record, std::string_view text);

}  // namespace mt
