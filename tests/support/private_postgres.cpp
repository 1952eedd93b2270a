#include "support/private_postgres.h"
