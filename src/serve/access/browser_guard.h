// SPDX-License-Identifier: Apache-2.0
// A server without keys trusts whoever reaches it, which is its own machine. But a browser there
// runs pages of any site, and such a page may send requests to this machine as well (cross-site
// request forgery), or have its own name lead here and so count as the server's own page (DNS
// rebinding). Both show in what the browser says itself: Origin and Host. Stateless.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "net/http_message.h"
#include "serve/api_error.h"

namespace paring::serve {

// 403 for a request that a page of another site sent, or that names the server by a name that
// anybody could have registered. `allowed_origins`: of ServerOptions::cors_origins; what they name
// is allowed, "*" everything. Own names: addresses, names without a dot, those below "localhost"
// and "internal" (RFC 6761; ICANN's private-use name). A unix socket is out of a browser's reach.
std::optional<ApiError> refuse_foreign_page(const net::HttpHead& head,
                                            std::span<const std::string> allowed_origins);

}  // namespace paring::serve
