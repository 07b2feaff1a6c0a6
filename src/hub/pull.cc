// SPDX-License-Identifier: Apache-2.0
#include "hub/pull.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "hub/download.h"
#include "hub/hub_cache.h"
#include "hub/retry.h"
#include "io/printable.h"
#include "io/system_error.h"
#include "net/http_client.h"

namespace paring::hub {

namespace {

// Held while this process writes a blob; others wait.
class BlobLock {
 public:
  static Result<BlobLock> take(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor < 0) return io::system_error(errno, "write", path);
    BlobLock lock(descriptor);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
    log_info("waiting: another process fetches the same file");
    while (::flock(descriptor, LOCK_EX) != 0) {
      if (errno != EINTR) return io::system_error(errno, "lock", path);
    }
    return lock;
  }
  ~BlobLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  BlobLock(BlobLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  BlobLock& operator=(BlobLock&&) = delete;

 private:
  explicit BlobLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

Result<void> fetch(net::HttpClient& client, const net::HttpClientRequest& request,
                   const HubCache& cache, const HubFile& file, ProgressSink& progress,
                   std::uint64_t* downloaded) {
  DownloadState state;
  if (cache.has_blob(file)) return {};
  PARING_TRY_VOID(cache.prepare(file));
  PARING_TRY(const BlobLock lock, BlobLock::take(cache.lock_path(file)));
  if (cache.has_blob(file)) return {};  // the process before us fetched it
  // Bytes that come again and again are no progress.
  Result<void> done = with_retries(
      kAttemptsMax, [&] { return download_blob(client, request, cache, file, progress, state); },
      [&] { return state.furthest; });
  *downloaded += state.downloaded;
  return done;
}

}  // namespace

Result<void> check_online(const HubName& name, const HubSettings& settings) {
  if (!settings.is_offline) return {};
  return Error{
      ErrorCode::kUnavailable,
      fmt::format("{} is not in {}, and HF_HUB_OFFLINE is set", name.text(), settings.cache),
      "unset HF_HUB_OFFLINE, or fetch the model where there is a network"};
}

std::string file_url(const HubName& name, const HubSettings& settings, const std::string& commit,
                     const std::string& path) {
  return fmt::format("{}/{}/resolve/{}/{}", settings.endpoint, name.repository(), commit,
                     net::encode_path(path));
}

Result<HubListing> list_files(net::HttpClient& client, const HubName& name,
                              const HubSettings& settings) {
  const net::HttpClientRequest request{
      .url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings.endpoint,
                         name.repository(), net::encode_path(name.revision)),
      .token = settings.token,
      .seconds_max = kSmallAnswerSeconds};
  std::string body;
  const auto attempt = [&]() -> Result<net::HttpClientResponse> {
    PARING_TRY(net::HttpClientResponse response, client.get_text(request, kListingBytesMax, &body));
    if (response.status == 200) return response;
    return status_error(response, name.text(), !settings.token.empty());
  };
  PARING_TRY(const net::HttpClientResponse response,
             with_retries(kListingAttemptsMax, attempt, [] { return std::uint64_t{0}; }));
  return parse_hub_listing(body, io::printable(response.url));
}

Result<HubListing> list_files(const HubName& name, const HubSettings& settings) {
  PARING_TRY_VOID(check_online(name, settings));
  PARING_TRY(net::HttpClient client, net::HttpClient::create());
  return list_files(client, name, settings);
}

Result<PulledModel> pull(const HubName& name, HubContent content, const HubSettings& settings,
                         ProgressSink& progress) {
  PARING_TRY_VOID(check_online(name, settings));
  PARING_TRY(net::HttpClient client, net::HttpClient::create());
  PARING_TRY(const HubListing listing, list_files(client, name, settings));
  PARING_TRY(HubSelection selection, select_files(listing, name, content));
  const HubCache cache(settings, name);
  PulledModel model;
  model.commit = listing.commit;
  for (const HubFile& file : selection.files) {
    const net::HttpClientRequest request{.url = file_url(name, settings, listing.commit, file.path),
                                         .token = settings.token};
    PARING_TRY_VOID(fetch(client, request, cache, file, progress, &model.downloaded_bytes));
    PARING_TRY_VOID(cache.link(listing.commit, file));
    model.bytes += file.bytes;
  }
  // Last: from here on the name means what was just fetched, whole.
  PARING_TRY_VOID(cache.write_ref(listing.commit));
  model.path = cache.snapshot_path(listing.commit, selection.entry);
  model.files = std::move(selection.files);
  return model;
}

std::optional<std::string> find_in_cache(const HubName& name, HubContent content,
                                         const HubSettings& settings) {
  return HubCache(settings, name).find(content);
}

Result<std::string> find_or_pull(const HubName& name, HubContent content,
                                 const HubSettings& settings, ProgressSink& progress) {
  if (auto path = find_in_cache(name, content, settings)) return std::move(*path);
  PARING_TRY(PulledModel model, pull(name, content, settings, progress));
  return std::move(model.path);
}

}  // namespace paring::hub
