// SPDX-License-Identifier: Apache-2.0
// The local cache of hub files, in the layout that all Hugging Face tools share, so that a model is
// kept once:
//   models--OWNER--NAME/blobs/HASH                    the bytes; HASH.incomplete while they arrive
//   models--OWNER--NAME/snapshots/COMMIT/PATH         links to blobs
//   models--OWNER--NAME/refs/REVISION                 the commit that a branch or tag had
//   .locks/models--OWNER--NAME/HASH.lock              held while a blob is written
// Source: the hub's description of its local cache. Stateless; safe between processes.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "hub/hub_listing.h"
#include "hub/hub_name.h"
#include "hub/hub_settings.h"

namespace paring::hub {

class HubCache {
 public:
  HubCache(const HubSettings& settings, const HubName& name);

  std::string blob_path(const HubFile& file) const;
  std::string incomplete_path(const HubFile& file) const;
  std::string lock_path(const HubFile& file) const;
  std::string snapshot_path(const std::string& commit, const std::string& path) const;
  bool has_blob(const HubFile& file) const;

  // Makes the folders for a blob.
  Result<void> prepare(const HubFile& file) const;
  // Makes snapshots/COMMIT/PATH a link to the file's blob.
  Result<void> link(const std::string& commit, const HubFile& file) const;
  Result<void> write_ref(const std::string& commit) const;

  // What the name means without asking the hub: the path of a file, or of a folder whose weights
  // are all there; nullopt when the cache does not hold it whole.
  std::optional<std::string> find(HubContent content) const;

 private:
  std::optional<std::string> read_ref() const;

  HubName name_;
  std::string folder_;
  std::string locks_;
};

}  // namespace paring::hub
