#include "redis/protocol.h"

#include <fmt/core.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace mt::redis {
namespace {

constexpr int k_most_elements = 4'000'000;

void append_count(std::string& out, char kind, std::size_t count) {
    std::array<char, 24> digits{};
    digits[0] = kind;
    char* end = std::to_chars(digits.data() + 1, digits.data() + digits.size(), count).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(digits.data(), end);
}

void append_word(std::string& out, std::string_view word) {
    append_count(out, '$', word.size());
    out += word;
    out += "\r\n";
}

// Where the reader puts the object that it is making: an element of its parent, or a new root that the reader owns.
Reply* place_of(const redisReadTask* task) {
    if (task->parent == nullptr) {
        return std::make_unique<Reply>().release();
    }
    return &static_cast<Reply*>(task->parent->obj)->list[static_cast<std::size_t>(task->idx)];
}

void* create_string(const redisReadTask* task, char* text, std::size_t size) {
    Reply* reply = place_of(task);
    reply->kind = Reply::Kind::text;
    reply->text.assign(text, size);
    if (task->type == REDIS_REPLY_ERROR) {
        static_cast<std::optional<std::string>*>(task->privdata)->emplace(text, size);
    }
    return reply;
}

void* create_list(const redisReadTask* task, int elements) {
    if (elements > k_most_elements) {
        return nullptr;
    }
    Reply* reply = place_of(task);
    reply->kind = Reply::Kind::list;
    reply->list.resize(static_cast<std::size_t>(elements));
    return reply;
}

void* create_integer(const redisReadTask* task, long long value) {
    Reply* reply = place_of(task);
    reply->kind = Reply::Kind::integer;
    reply->integer = value;
    return reply;
}

void* create_nil(const redisReadTask* task) {
    return place_of(task);
}

void free_reply(void* reply) {
    const std::unique_ptr<Reply> owned(static_cast<Reply*>(reply));
}

// The reader takes a pointer to what it could change, and does not change it.
redisReplyObjectFunctions* functions() {
    static redisReplyObjectFunctions table{create_string, create_list, create_integer, create_nil, free_reply};
    return &table;
}

struct Row {
    std::string_view word;
    Meaning meaning;
};

constexpr std::array<Row, 20> k_words{{
    {"NOSCRIPT", Meaning::unknown_sha}, {"OOM", Meaning::full},
    {"LOADING", Meaning::away},         {"MASTERDOWN", Meaning::away},
    {"MISCONF", Meaning::away},         {"NOREPLICAS", Meaning::away},
    {"NOGOODSLAVE", Meaning::away},     {"CLUSTERDOWN", Meaning::away},
    {"TRYAGAIN", Meaning::away},        {"BUSY", Meaning::away},
    {"UNKILLABLE", Meaning::away},      {"UNBLOCKED", Meaning::elsewhere},
    {"READONLY", Meaning::elsewhere},   {"NOAUTH", Meaning::elsewhere},
    {"WRONGPASS", Meaning::elsewhere},  {"NOPERM", Meaning::elsewhere},
    {"MAXCLIENTS", Meaning::elsewhere}, {"DENIED", Meaning::elsewhere},
    {"MOVED", Meaning::elsewhere},      {"ASK", Meaning::elsewhere},
}};

// Before version 7 an error inside of a script came as "ERR Error running script (...): ...: -WORD ...".
std::string_view innermost(std::string_view error) {
    if (error.starts_with("ERR Error running script")) {
        if (const std::size_t at = error.find(": -"); at != std::string_view::npos) {
            return error.substr(at + 3);
        }
    }
    return error;
}

}  // namespace

void encode(std::string& out, const Command& command) {
    append_count(out, '*', command.size());
    for (const std::string& word : command) {
        append_word(out, word);
    }
}

void encode(std::string& out, const Call& call, bool by_text) {
    append_count(out, '*', 3 + call.keys.size() + call.arguments.size());
    if (by_text) {
        append_word(out, "EVAL");
        append_word(out, call.script->source());
    } else {
        append_word(out, "EVALSHA");
        append_word(out, call.script->sha1());
    }
    append_word(out, std::to_string(call.keys.size()));
    for (const std::string& key : call.keys) {
        append_word(out, key);
    }
    for (const std::string& argument : call.arguments) {
        append_word(out, argument);
    }
}

void Parser::Free::operator()(redisReader* reader) const {
    redisReaderFree(reader);
}

Parser::Parser() : m_reader(redisReaderCreateWithFunctions(functions())) {
    m_reader->privdata = &m_error;
}

void Parser::feed(std::string_view bytes) {
    redisReaderFeed(m_reader.get(), bytes.data(), bytes.size());
}

std::optional<Answer> Parser::next() {
    void* read = nullptr;
    if (redisReaderGetReply(m_reader.get(), &read) != REDIS_OK || read == nullptr) {
        return std::nullopt;
    }
    const std::unique_ptr<Reply> reply(static_cast<Reply*>(read));
    Answer answer{.reply = std::move(*reply), .error = std::move(m_error)};
    m_error.reset();
    return answer;
}

bool Parser::is_broken() const {
    return m_reader->err != 0;
}

std::string word_of(std::string_view error) {
    error = innermost(error);
    if (error.starts_with("ERR max number of clients")) {
        return "MAXCLIENTS";
    }
    const std::string_view word = error.substr(0, error.find(' '));
    const bool plain = !word.empty() && word.size() <= 20 &&
                       std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    return std::string(plain ? word : "ERR");
}

Meaning meaning_of(std::string_view error) {
    const std::string word = word_of(error);
    const auto* row = std::find_if(k_words.begin(), k_words.end(), [&](const Row& each) { return each.word == word; });
    return row == k_words.end() ? Meaning::refused : row->meaning;
}

Error refused(std::string_view error) {
    return Error{.code = Code::failed, .message = fmt::format("Redis refused a command: {}", word_of(error))};
}

Error out_of_memory(std::string_view server) {
    return away(server, "no memory for writes: OOM");
}

Error away(std::string_view server, std::string_view fault) {
    return Error{.code = Code::unavailable,
                 .message = "a server that this needs is away for now: try again",
                 .retry_after = std::chrono::seconds{1},
                 .detail = fmt::format("{}: {}", server, fault)};
}

}  // namespace mt::redis
