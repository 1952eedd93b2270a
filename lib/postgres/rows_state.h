#pragma once

#include <memory>

#include "postgres/pool.h"

struct pg_result;

namespace mt::postgres {

struct ResultDeleter {
    void operator()(pg_result* result) const noexcept;
};
using ResultPtr = std::unique_ptr<pg_result, ResultDeleter>;

/// libpq's result, which the rows are read from.
struct Rows::State {
    ResultPtr result;
};

}  // namespace mt::postgres
