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

// What the attempts at one file have come to.
struct DownloadState {
  std::uint64_t downloaded = 0;  // bytes over the network, those of thrown away beginnings included
  std::uint64_t furthest = 0;    // most bytes of the file that were there at any time
  bool may_start_anew = true;    // a damaged file is fetched from the beginning once, not for ever
};

// Appends to the blob's .incomplete file what it still lacks, checks the whole and gives it its
// name. `request`: address and token of the file. Unavailable when trying again may help; what has
// arrived is kept then, but for a file that proves damaged. REQUIRES: cache.prepare(file).
Result<void> download_blob(net::HttpClient& client, const net::HttpClientRequest& request,
                           const HubCache& cache, const HubFile& file, ProgressSink& progress,
                           DownloadState& state);

// An answer that is no success, as an error: what it means and what to do.
Error status_error(const net::HttpClientResponse& response, const std::string& what,
                   bool has_token);
// Whether the same request may succeed later (408, 429, 5xx).
bool is_passing(int status) noexcept;

}  // namespace paring::hub
