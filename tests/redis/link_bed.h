#pragma once

#include "redis/bed.h"
#include "redis/link.h"

namespace mt::test {

/// For links that a case makes with options of its own.
struct LinkOptionsBed : RedisBed {
    redis::LinkOptions options{.address = address()};
};

/// A Redis and a link to it.
struct LinkBed : LinkOptionsBed {
    redis::Link link{options, clock, log};
};

}  // namespace mt::test
