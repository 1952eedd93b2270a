#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "agent/model.h"
#include "api/chat_reply.h"
#include "api/json_text.h"
#include "base/clock.h"
#include "base/context.h"
#include "http/message.h"

namespace mt::api {

/// An answer on its way to the client as OpenAI's "chat.completion.chunk" events (server-sent events, WHATWG HTML
/// section 9.2). The HTTP reply starts with the first of them, so that what fails before it can still be an ordinary
/// error. Every event is written at once, unless the next one is there already. Belongs to one thread.
class ChatStream final : public Sink, public IdleHook {
  public:
    /// Starts the reply: called once, before the first byte.
    using Opener = std::function<http::StreamWriter&()>;

    struct Settings {
        CompletionName name;
        bool include_usage = false;
    };

    /// `model`: name of the model that answers, known at the first event. It and `clock` must outlive the stream.
    ChatStream(Settings settings, const std::string& model, Opener open, const Clock& clock)
        : m_settings(std::move(settings)),
          m_model(model),
          m_open(std::move(open)),
          m_clock(clock),
          m_written_ns(clock.boot_ns()) {}

    /// False when the client is gone.
    bool on_event(const ModelEvent& event) override;

    /// Writes what is held back, and a comment after 15 s without a byte: proxies cut silent connections.
    void on_idle() override;

    /// The reply has begun: a status can't be sent any more.
    [[nodiscard]] bool started() const { return m_writer != nullptr; }

    /// Ends the stream: the choices' finish reasons, usage when it was asked for, and [DONE].
    void finish(const Usage& usage);

    /// Ends the stream with an error event in place of all that.
    void fail(const Error& error);

  private:
    struct Progress {
        CutCharacter text;
        CutCharacter refusal;
        std::map<int, CutCharacter> arguments;  ///< by the call's index
        std::string finish_reason;
    };

    Progress& begin(int choice);
    void add_text(int choice, std::string_view field, std::string_view text, CutCharacter& cut);
    void add_call(const ModelEvent& event);
    void add_arguments(const ModelEvent& event, CutCharacter& cut);
    void add_fields(const ModelEvent& event);
    void add_logprobs(const ModelEvent& event);
    void add_finish(int choice, Progress& progress);

    // A chunk's bytes before and after the inside of its delta.
    void open_delta(int choice);
    void close_delta(std::string_view logprobs = "null", std::string_view finish_reason = "null");

    bool flush();
    bool write(std::string_view bytes);

    Settings m_settings;
    const std::string& m_model;
    Opener m_open;
    const Clock& m_clock;
    http::StreamWriter* m_writer = nullptr;
    std::map<int, Progress> m_choices{};
    std::string m_prefix{};  ///< what all chunks begin with, up to their choices
    std::string m_buffer{};  ///< not written yet
    std::int64_t m_written_ns;
    bool m_gone = false;
};

}  // namespace mt::api
