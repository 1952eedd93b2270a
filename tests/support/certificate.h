#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/temp_folder.h"

namespace mt::test {

/// A fresh certificate for localhost and 127.0.0.1, signed by itself, and its key: PEM files that go with the object.
class Certificate {
  public:
    /// With a passphrase the key is encrypted.
    explicit Certificate(const std::string& passphrase = "") {
        const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
            EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free);
        const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
        require(key && certificate);
        fill(certificate.get(), key.get());
        write(this->certificate(), [&](std::FILE* file) { return PEM_write_X509(file, certificate.get()); });
        write(this->key(), [&](std::FILE* file) {
            const char* word = passphrase.empty() ? nullptr : passphrase.c_str();
            return PEM_write_PKCS8PrivateKey(file, key.get(), word == nullptr ? nullptr : EVP_aes_256_cbc(), word,
                                             static_cast<int>(passphrase.size()), nullptr, nullptr);
        });
    }

    [[nodiscard]] std::string certificate() const { return m_folder.path() / "certificate.pem"; }
    [[nodiscard]] std::string key() const { return m_folder.path() / "key.pem"; }
    /// A file beside them, for tests that need one more.
    [[nodiscard]] std::string beside(const std::string& name) const { return m_folder.path() / name; }

  private:
    static void require(bool good) {
        if (!good) {
            throw std::runtime_error("cannot make a certificate");
        }
    }

    static void fill(X509* certificate, EVP_PKEY* key) {
        constexpr long k_day = 86'400;
        constexpr const char* k_names = "DNS:localhost,IP:127.0.0.1";
        X509_set_version(certificate, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
        X509_gmtime_adj(X509_getm_notBefore(certificate), -k_day);
        X509_gmtime_adj(X509_getm_notAfter(certificate), k_day);
        X509_NAME* name = X509_get_subject_name(certificate);
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, text("localhost"), -1, -1, 0);
        X509_set_issuer_name(certificate, name);
        X509_set_pubkey(certificate, key);
        X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, k_names);
        require(names != nullptr && X509_add_ext(certificate, names, -1) == 1);
        X509_EXTENSION_free(names);
        require(X509_sign(certificate, key, EVP_sha256()) > 0);
    }

    static const unsigned char* text(const char* letters) { return reinterpret_cast<const unsigned char*>(letters); }

    template <class Writer>
    static void write(const std::string& path, const Writer& writer) {
        std::FILE* file = std::fopen(path.c_str(), "we");
        require(file != nullptr);
        const bool written = writer(file) == 1;
        require(std::fclose(file) == 0 && written);
    }

    TempFolder m_folder;
};

}  // namespace mt::test
