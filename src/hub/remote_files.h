// SPDX-License-Identifier: Apache-2.0
// The files of a repository on a hub, read by ranges over HTTP: enough for headers, nothing of the
// weights. One thread at a time.
//
//   PARING_TRY(hub::RemoteFiles files, hub::RemoteFiles::open(name, settings));
//   PARING_TRY(const hub::HubSelection chosen, hub::select_outline(files.listing(), name));
//   PARING_TRY(io::ModelFile file, engine::outline_model(files, chosen.entry, name.text()));
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/hub_listing.h"
#include "hub/hub_name.h"
#include "hub/hub_settings.h"
#include "io/file_source.h"
#include "net/http_client.h"

namespace paring::hub {

class RemoteFiles : public io::FileSource {
 public:
  // Asks for the listing. Errors as of pull().
  static Result<RemoteFiles> open(const HubName& name, const HubSettings& settings);

  const HubListing& listing() const noexcept { return listing_; }
  // Bytes of files that came over the network.
  std::uint64_t fetched_bytes() const noexcept { return fetched_bytes_; }

  std::optional<std::uint64_t> size(const std::string& file) const override;
  // Unavailable: the hub keeps failing. Unsupported: a server that sends only whole files, for
  // another range than their beginning. Corrupt: it sends another range, or a file of another size
  // than it listed.
  Result<std::vector<std::byte>> read(const std::string& file, std::uint64_t offset,
                                      std::size_t bytes) override;
  std::string name(const std::string& file) const override;

 private:
  RemoteFiles(HubName name, HubSettings settings, net::HttpClient client, HubListing listing);
  Result<std::vector<std::byte>> read_once(const std::string& file, std::uint64_t offset,
                                           std::size_t bytes, std::uint64_t file_bytes);

  HubName name_;
  HubSettings settings_;
  net::HttpClient client_;
  HubListing listing_;
  std::uint64_t fetched_bytes_ = 0;
};

}  // namespace paring::hub
