#include "http/tls.h"
namespace mt::http {
Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles&) {
    return Error{Code::config, "no TLS yet"};
}
std::unique_ptr<TlsSession> TlsSession::create(const TlsContext&, int) {
    return nullptr;
}
IoResult TlsSession::handshake() {
    return {};
}
bool TlsSession::ready() const {
    return false;
}
bool TlsSession::spoke_plain_http() const {
    return false;
}
IoResult TlsSession::read(std::span<char>) {
    return {};
}
IoResult TlsSession::write(std::string_view) {
    return {};
}
void TlsSession::close_notify() {}
}  // namespace mt::http
