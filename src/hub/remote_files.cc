// SPDX-License-Identifier: Apache-2.0
#include "hub/remote_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

#include "hub/download.h"
#include "hub/pull.h"
#include "hub/retry.h"
#include "io/printable.h"

namespace paring::hub {

namespace {

// "bytes 100-199/200"
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
};

std::optional<ContentRange> content_range(const net::HttpClientResponse& response) {
  const auto found = response.headers.find("content-range");
  constexpr std::string_view kUnit = "bytes ";
  if (found == response.headers.end() || !found->second.starts_with(kUnit)) return std::nullopt;
  ContentRange range;
  const char* at = found->second.data() + kUnit.size();
  const char* end = found->second.data() + found->second.size();
  const auto number = [&](std::uint64_t& value, char then) {
    const auto parsed = std::from_chars(at, end, value);
    const bool is_followed =
        then == '\0' ? parsed.ptr == end : parsed.ptr != end && *parsed.ptr == then;
    at = parsed.ptr + (then == '\0' || !is_followed ? 0 : 1);
    return parsed.ec == std::errc() && is_followed;
  };
  if (!number(range.first, '-') || !number(range.last, '/') || !number(range.total, '\0')) {
    return std::nullopt;
  }
  return range;
}

Error changed(const std::string& name, const std::string& what) {
  return corrupt(fmt::format("{}: {}", name, what),
                 "the file changed while it was read, or the server is broken; try again");
}

// Whether a success is what was asked for, before a byte of it is taken.
Result<void> check_answer(const net::HttpClientResponse& response, const std::string& name,
                          std::uint64_t offset, std::uint64_t file_bytes) {
  if (response.status / 100 != 2) return {};  // told by the caller
  if (response.status == 206) {
    const auto range = content_range(response);
    if (range && range->first == offset && range->total == file_bytes) return {};
    return changed(
        name,
        fmt::format("bytes from {} of {} were asked for, the server sends '{}'", offset, file_bytes,
                    range ? io::printable(response.headers.at("content-range")) : "no range"));
  }
  if (offset != 0) {
    return unsupported(fmt::format("{}: the server does not send parts of a file (status {})", name,
                                   response.status),
                       "fetch the model with 'paring pull', then look at it");
  }
  const auto length = response.headers.find("content-length");
  if (length == response.headers.end()) return {};
  if (length->second == std::to_string(file_bytes)) return {};
  return changed(name, fmt::format("the server sends {} bytes, it listed {}",
                                   io::printable(length->second), file_bytes));
}

}  // namespace

RemoteFiles::RemoteFiles(HubName name, HubSettings settings, net::HttpClient client,
                         HubListing listing)
    : name_(std::move(name)),
      settings_(std::move(settings)),
      client_(std::move(client)),
      listing_(std::move(listing)) {}

Result<RemoteFiles> RemoteFiles::open(const HubName& name, const HubSettings& settings) {
  PARING_TRY_VOID(check_online(name, settings));
  PARING_TRY(net::HttpClient client, net::HttpClient::create());
  PARING_TRY(HubListing listing, list_files(client, name, settings));
  return RemoteFiles(name, settings, std::move(client), std::move(listing));
}

std::optional<std::uint64_t> RemoteFiles::size(const std::string& file) const {
  const auto found = std::find_if(listing_.files.begin(), listing_.files.end(),
                                  [&](const HubFile& each) { return each.path == file; });
  return found == listing_.files.end() ? std::nullopt : std::optional(found->bytes);
}

std::string RemoteFiles::name(const std::string& file) const {
  return fmt::format("hf:{}:{}", name_.repository(), io::printable(file));
}

Result<std::vector<std::byte>> RemoteFiles::read_once(const std::string& file, std::uint64_t offset,
                                                      std::size_t bytes, std::uint64_t file_bytes) {
  const std::string shown = name(file);
  const net::HttpClientRequest request{.url = file_url(name_, settings_, listing_.commit, file),
                                       .token = settings_.token,
                                       .first_byte = offset,
                                       .end_byte = offset + bytes,
                                       .seconds_max = kSmallAnswerSeconds};
  std::vector<std::byte> data;
  bool is_part = false;
  const net::BodySink sink{.on_headers =
                               [&](const net::HttpClientResponse& response) {
                                 is_part = response.status == 206;
                                 return check_answer(response, shown, offset, file_bytes);
                               },
                           .on_bytes = [&](std::span<const std::byte> piece) -> Result<void> {
                             const std::size_t taken = std::min(piece.size(), bytes - data.size());
                             data.insert(data.end(), piece.begin(),
                                         piece.begin() + static_cast<std::ptrdiff_t>(taken));
                             fetched_bytes_ += piece.size();
                             // A server without ranges would send everything. A connection that is
                             // not cut stays open.
                             const bool is_end = is_part && taken == piece.size();
                             if (data.size() == bytes && !is_end)
                               return Error{ErrorCode::kCancelled, "enough"};
                             return {};
                           }};
  const auto response = client_.get(request, sink);
  if (data.size() == bytes && bytes != 0) return data;
  if (!response) return response.error();
  if (response->status / 100 != 2) {
    return status_error(*response, shown, !settings_.token.empty());
  }
  if (data.size() < bytes) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("{}: the server ended after {} of {} bytes", shown, data.size(), bytes),
        "try again"};
  }
  return data;
}

Result<std::vector<std::byte>> RemoteFiles::read(const std::string& file, std::uint64_t offset,
                                                 std::size_t bytes) {
  const auto file_bytes = size(file);
  PARING_CHECK(file_bytes && offset <= *file_bytes && bytes <= *file_bytes - offset,
               "the range lies in a file of the repository");
  if (bytes == 0) return std::vector<std::byte>();
  return with_retries(
      kListingAttemptsMax, [&] { return read_once(file, offset, bytes, *file_bytes); },
      [] { return std::uint64_t{0}; });
}

}  // namespace paring::hub
