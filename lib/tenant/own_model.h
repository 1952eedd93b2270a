#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret_box.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "http/upstream.h"

// A language model that a tenant brings itself: the one place for what it may be, and for its key.
namespace mt {

/// What somebody wants to add. The key is here in clear text, nowhere later.
struct OwnModel {
    std::string name;
    std::string base_url;
    std::string model;    ///< its name at the upstream
    std::string api_key;  ///< empty: none is sent
};

/// Where tenants' own models and HTTP tools may lead: to public addresses and [server] private_upstreams.
http::AddressRule own_address_rule(const Config& config);

/// Whether a tenant may have this model. A host that is an address, or a name of this machine, is judged at once; what
/// other names resolve to is judged when they are connected to. Errors: feature_required (custom-models), invalid (with
/// `param`), forbidden with reason "address".
Result<void> check_own_model(const TenantRecord& tenant, const OwnModel& wanted, const Config& config);

/// The model at rest, its key sealed for this life of the tenant, its name and its address.
TenantModel seal_own_model(const TenantRecord& tenant, const OwnModel& wanted, const SecretBox& box, WallTime now);

/// What adding a model works with. `secret_box` is asked when there is a key to seal, so that no key file is made
/// before.
struct OwnModelParts {
    Catalog& catalog;
    const Config& config;
    const std::function<Result<SecretBox>()>& secret_box;
    WallTime now{};
};

/// Checks, seals and keeps a model; `replace`: in the place of one with its name. Errors: as check_own_model and
/// Catalog::put_model, and what the secret box says.
Result<TenantModel> add_own_model(const OwnModelParts& parts, std::string_view tenant, const OwnModel& wanted,
                                  bool replace, std::string_view who);

/// The key of a model at rest, "" when it has none. Errors: failed, naming tenant and model.
Result<std::string> open_own_key(const TenantRecord& tenant, const TenantModel& model, const SecretBox& box);

/// Names for Config::check.
std::vector<std::string> own_model_names(const TenantRecord& tenant);

}  // namespace mt
