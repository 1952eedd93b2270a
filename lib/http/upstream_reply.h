#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/reply_body.h"
#include "http/response_head.h"
#include "http/upstream.h"
#include "http/upstream_connection.h"
#include "http/upstream_pool.h"

namespace mt::http {

/// The fault of a server whose reply cannot be used; `why` speaks of the reply: "it is cut".
Error useless_reply(const std::string& name, const std::string& why);

/// A reply whose head has come, and the connection over which its body comes.
struct UpstreamReply::State {
    /// Reads a complete head. `name` of the server is for messages. Errors: upstream.
    static Result<std::unique_ptr<State>> parse(std::string head_text, bool to_head_request, std::string name);

    Result<std::string_view> read(const Context& context, std::int64_t deadline_ns);
    Result<void> receive(Patience& patience);
    Error fail(const Error& why);
    void release();

    std::string head_text{};  ///< what the views of `head` show
    ResponseHead head{};
    std::string name{};  ///< of the server
    ReplyBody body{ResponseHead::Body::none, 0};
    bool reusable = false;  ///< the connection is fit for another request when the body has been read
    std::optional<Error> fault{};
    std::shared_ptr<UpstreamPool> pool{};
    std::unique_ptr<UpstreamConnection> connection{};  ///< null: given back or closed
};

}  // namespace mt::http
