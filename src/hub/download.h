// SPDX-License-Identifier: Apache-2.0
// One blob over the network into the cache. Internal to hub.
#pragma once

#include <cstdint>

#include "base/progress.h"
#include "base/result.h"
#include "hub/hub_cache.h"
#include "hub/hub_listing.h"
#include "net/http_client.h"

namespace paring::hub {

// Appends to the blob's .incomplete file what it still lacks, checks the whole and gives it its
// name. `request`: address and token of the file. Adds what comes over the network to
// `*downloaded`. Unavailable when trying again may help; what has arrived is kept then.
// REQUIRES: cache.prepare(file).
Result<void> download_blob(net::HttpClient& client, const net::HttpRequest& request,
                           const HubCache& cache, const HubFile& file, ProgressSink& progress,
                           std::uint64_t* downloaded);

// An answer that is no success, as an error: what it means and what to do.
Error status_error(const net::HttpResponse& response, const std::string& what, bool has_token);
// Whether the same request may succeed later (408, 429, 5xx).
bool is_passing(int status) noexcept;

}  // namespace paring::hub
