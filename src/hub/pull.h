// SPDX-License-Identifier: Apache-2.0
// Fetches a model or an adapter from a hub into the local cache: each file resumes where it broke
// off, is checked against the hub's hash, and appears under its name only then. Safe between
// processes: a second one waits for the first. One thread at a time.
//
//   PARING_TRY(const hub::HubName name, hub::parse_hub_name("hf:owner/name:Q4_K_M"));
//   PARING_TRY(const hub::PulledModel model,
//              hub::pull(name, hub::HubContent::kModel, settings, progress));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "hub/hub_listing.h"
#include "hub/hub_name.h"
#include "hub/hub_settings.h"
#include "net/http_client.h"

namespace paring::hub {

// Attempts in a row that bring nothing before a request is given up: of a file, and of the first
// contact, where someone without a network should not wait for long.
inline constexpr int kAttemptsMax = 6;
inline constexpr int kListingAttemptsMax = 3;
// A listing or a header that takes longer is given up, however slowly it goes on.
inline constexpr long kSmallAnswerSeconds = 300;

struct PulledModel {
  std::string path;  // of the GGUF file, or of the folder
  std::string commit;
  std::vector<HubFile> files;
  std::uint64_t bytes = 0;             // of all files
  std::uint64_t downloaded_bytes = 0;  // of these, over the network in this call
};

// Unavailable: offline, no connection, or the hub keeps failing after kAttemptsMax attempts.
// NotFound: no such repository, revision or file, or no right to see it. Exhausted: no room on the
// disk. Corrupt: what came has another hash or size than the hub said; nothing of it is kept.
Result<PulledModel> pull(const HubName& name, HubContent content, const HubSettings& settings,
                         ProgressSink& progress);

// What the repository holds at this revision.
Result<HubListing> list_files(const HubName& name, const HubSettings& settings);
// The same over a client of the caller's.
Result<HubListing> list_files(net::HttpClient& client, const HubName& name,
                              const HubSettings& settings);
// The address of a file at a commit.
std::string file_url(const HubName& name, const HubSettings& settings, const std::string& commit,
                     const std::string& path);
// Unavailable when HF_HUB_OFFLINE is set.
Result<void> check_online(const HubName& name, const HubSettings& settings);

// The path that `name` has in the cache, nullopt when it is not there whole.
std::optional<std::string> find_in_cache(const HubName& name, HubContent content,
                                         const HubSettings& settings);

// The path that `name` has in the cache, fetched only if it is not there whole.
Result<std::string> find_or_pull(const HubName& name, HubContent content,
                                 const HubSettings& settings, ProgressSink& progress);

}  // namespace paring::hub
