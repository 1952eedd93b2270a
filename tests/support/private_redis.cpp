#include "support/private_redis.h"
