#include "base/secret_box.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "base/ids.h"
#include "base/text.h"

namespace mt {
namespace {

constexpr char k_version = 1;
constexpr std::size_t k_nonce_size = 12;
constexpr std::size_t k_tag_size = 16;
constexpr std::size_t k_head_size = 1 + k_nonce_size;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const std::uint8_t* bytes_of(std::string_view text) {
    return reinterpret_cast<const std::uint8_t*>(text.data());  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast)
}

std::uint8_t* bytes_of(std::string& text) {
    return reinterpret_cast<std::uint8_t*>(text.data());  // NOLINT(cppcoreguidelines-pro-type-reinterpret-cast)
}

// What is authenticated beside the text. `head` is version and nonce.
bool authenticate(EVP_CIPHER_CTX* cipher, std::string_view head, std::string_view associated_data) {
    int ignored = 0;
    return EVP_CipherUpdate(cipher, nullptr, &ignored, bytes_of(head), 1) == 1 &&
           EVP_CipherUpdate(cipher, nullptr, &ignored, bytes_of(associated_data),
                            static_cast<int>(associated_data.size())) == 1;
}

// A cipher that is ready for the text. Aborts when there is no memory or no AES: nothing could be kept secret.
Cipher make_cipher(const SecretBox::Key& key, std::string_view head, std::string_view associated_data, bool sealing) {
    Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    if (cipher == nullptr ||
        EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes_of(head.substr(1)),
                          sealing ? 1 : 0) != 1 ||
        !authenticate(cipher.get(), head, associated_data)) {
        std::abort();
    }
    return cipher;
}

bool run(EVP_CIPHER_CTX* cipher, std::string_view in, std::string& out) {
    int written = 0;
    return in.empty() ||
           EVP_CipherUpdate(cipher, bytes_of(out), &written, bytes_of(in), static_cast<int>(in.size())) == 1;
}

Error unusable(const std::filesystem::path& path, std::string_view what) {
    return {Code::config, fmt::format("secret key {}: {}", path.string(), what)};
}

std::optional<SecretBox::Key> parse_key(std::string_view text) {
    SecretBox::Key key{};
    if (text.size() == key.size()) {
        std::copy(text.begin(), text.end(), key.begin());
        return key;
    }
    const Result<Sha256> digits = parse_sha256(trim(text));  // as long as a key, and written alike
    return digits ? std::optional<SecretBox::Key>(*digits) : std::nullopt;
}

}  // namespace

SecretBox::~SecretBox() {
    OPENSSL_cleanse(m_key.data(), m_key.size());
}

Result<SecretBox> SecretBox::from_key_file(const std::filesystem::path& path) {
    constexpr std::size_t k_longest = 128;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for ever
    if (fd < 0) {
        return unusable(path, std::generic_category().message(errno));
    }
    struct stat status {};
    const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    std::string text(k_longest, '\0');
    const ssize_t count = regular ? read(fd, text.data(), text.size()) : -1;
    ::close(fd);
    if (!regular || count < 0) {
        return unusable(path, "cannot be read as a file");
    }
    if ((status.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0) {  // secrets of containers are their group's to read
        return unusable(path, "others may use the file, or its group may change it: chmod 600");
    }
    const std::optional<Key> key = parse_key(std::string_view(text).substr(0, static_cast<std::size_t>(count)));
    OPENSSL_cleanse(text.data(), text.size());
    if (!key) {
        return unusable(path, "holds no key: 32 bytes, or 64 hexadecimal digits with a line end");
    }
    return SecretBox(*key);
}

std::string SecretBox::seal(std::string_view plain, std::string_view associated_data) const {
    std::array<std::uint8_t, k_nonce_size> nonce{};
    random_bytes(nonce);
    std::string sealed(1, k_version);
    sealed.append(nonce.begin(), nonce.end());
    const Cipher cipher = make_cipher(m_key, sealed, associated_data, true);
    std::string text(plain.size(), '\0');
    std::string tag(k_tag_size, '\0');
    int written = 0;
    if (!run(cipher.get(), plain, text) || EVP_CipherFinal_ex(cipher.get(), bytes_of(tag), &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(k_tag_size), tag.data()) != 1) {
        std::abort();
    }
    return sealed + text + tag;
}

Result<std::string> SecretBox::open(std::string_view sealed, std::string_view associated_data) const {
    const Error refused{Code::failed,
                        "a sealed text cannot be opened: it was sealed with another key or for another "
                        "place, or it is damaged"};
    if (sealed.size() < k_head_size + k_tag_size || sealed.front() != k_version) {
        return refused;
    }
    const Cipher cipher = make_cipher(m_key, sealed.substr(0, k_head_size), associated_data, false);
    const std::string_view text = sealed.substr(k_head_size, sealed.size() - k_head_size - k_tag_size);
    std::string tag(sealed.substr(sealed.size() - k_tag_size));
    std::string plain(text.size(), '\0');
    std::array<std::uint8_t, k_tag_size> rest{};
    int written = 0;
    const bool genuine =
        run(cipher.get(), text, plain) &&
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(k_tag_size), tag.data()) == 1 &&
        EVP_CipherFinal_ex(cipher.get(), rest.data(), &written) == 1;
    return genuine ? Result<std::string>(std::move(plain)) : Result<std::string>(refused);
}

}  // namespace mt
