// SPDX-License-Identifier: Apache-2.0
#include "hub/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <span>
#include <vector>

#include "base/text.h"
#include "io/printable.h"
#include "io/system_error.h"

namespace paring::hub {

namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

// The hash by which the hub names a blob: SHA-256 of the bytes, or git's SHA-1 of
// "blob SIZE\0" and the bytes.
class BlobHash {
 public:
  explicit BlobHash(const HubFile& file) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    const bool is_sha256 = file.hash.size() == 64;
    PARING_CHECK(
        EVP_DigestInit_ex(context_.get(), is_sha256 ? EVP_sha256() : EVP_sha1(), nullptr) == 1,
        "the crypto library has the hash");
    if (!is_sha256) {
      std::string header = fmt::format("blob {}", file.bytes);
      header.push_back('\0');
      update(std::as_bytes(std::span<const char>(header)));
    }
  }
  void update(std::span<const std::byte> data) {
    PARING_CHECK(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1, "hash update");
  }
  std::string finish() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    PARING_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1, "hash end");
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

Result<void> write_all(int descriptor, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io::system_error(errno, "write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// Where the body of a 206 begins: "bytes 100-199/200".
bool begins_at(const net::HttpClientResponse& response, std::uint64_t first) {
  const auto found = response.headers.find("content-range");
  if (found == response.headers.end() || !found->second.starts_with("bytes ")) return false;
  std::uint64_t begin = 0;
  const char* text = found->second.data() + 6;
  const auto parsed = std::from_chars(text, found->second.data() + found->second.size(), begin);
  return parsed.ec == std::errc() && *parsed.ptr == '-' && begin == first;
}

// The .incomplete file of a blob, open for appending, with the hash of what it holds.
class Incomplete {
 public:
  Incomplete(const HubCache& cache, const HubFile& file)
      : file_(file), path_(cache.incomplete_path(file)), hash_(file) {}

  Result<void> open() {
    descriptor_ = std::make_unique<Descriptor>(
        ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (descriptor_->get() < 0) return io::system_error(errno, "write", path_);
    std::vector<std::byte> block(kReadBytes);
    while (true) {
      const ssize_t got = ::read(descriptor_->get(), block.data(), block.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return io::system_error(errno, "read", path_);
      if (got == 0) break;
      hash_.update(std::span(block).first(static_cast<std::size_t>(got)));
      bytes_ += static_cast<std::uint64_t>(got);
    }
    if (bytes_ > file_.bytes) return restart();
    return {};
  }
  std::uint64_t bytes() const { return bytes_; }

  Result<void> restart() {
    if (::ftruncate(descriptor_->get(), 0) != 0 || ::lseek(descriptor_->get(), 0, SEEK_SET) != 0) {
      return io::system_error(errno, "write", path_);
    }
    hash_ = BlobHash(file_);
    bytes_ = 0;
    return {};
  }

  // Found out before the download, not at its end.
  Result<void> check_room() const {
    struct statvfs state{};
    if (::fstatvfs(descriptor_->get(), &state) != 0) return {};
    const std::uint64_t room = static_cast<std::uint64_t>(state.f_bavail) * state.f_frsize;
    if (room >= file_.bytes - bytes_) return {};
    return exhausted(fmt::format("'{}' needs {}, the disk of {} has {}", io::printable(file_.path),
                                 format_bytes(file_.bytes - bytes_), path_, format_bytes(room)),
                     "make room, or set HF_HOME to a folder on another disk");
  }

  Result<void> append(std::span<const std::byte> piece) {
    if (piece.size() > file_.bytes - bytes_) {
      return corrupt(fmt::format("'{}': more than the {} bytes that the hub announced came",
                                 io::printable(file_.path), file_.bytes),
                     "the file changed while it was fetched; try again");
    }
    PARING_TRY_VOID(write_all(descriptor_->get(), piece, path_));
    hash_.update(piece);
    bytes_ += piece.size();
    return {};
  }

  // REQUIRES: bytes() == file.bytes.
  Result<void> finish(const std::string& target) {
    const std::string found = hash_.finish();
    if (found != file_.hash) {
      ::unlink(path_.c_str());
      return corrupt(fmt::format("'{}' has hash {}, the hub says {}", io::printable(file_.path),
                                 found, file_.hash),
                     "nothing of it was kept; try again, and distrust the server if it stays so");
    }
    if (::fsync(descriptor_->get()) != 0) return io::system_error(errno, "write", path_);
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      return io::system_error(errno, "write", target);
    }
    return {};
  }

 private:
  const HubFile& file_;
  std::string path_;
  BlobHash hash_;
  std::unique_ptr<Descriptor> descriptor_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

bool is_passing(int status) noexcept { return status == 408 || status == 429 || status >= 500; }

Error status_error(const net::HttpClientResponse& response, const std::string& what,
                   bool has_token) {
  const int status = response.status;
  const std::string message = fmt::format("{}: the hub answers {}", what, status);
  if (status == 401 || status == 403) {
    return not_found(message + (has_token ? ", the token gives no right to it" : ""),
                     has_token ? "accept the model's terms on its page, or use another token"
                               : "there is no such model, or it is private or gated: set HF_TOKEN");
  }
  if (status == 404) return not_found(message, "check owner, name, revision and file");
  if (is_passing(status)) return Error{ErrorCode::kUnavailable, message, "try again later"};
  // The same again will get the same answer.
  return not_found(message, "is HF_ENDPOINT the address of a hub?");
}

Result<void> download_blob(net::HttpClient& client, const net::HttpClientRequest& request,
                           const HubCache& cache, const HubFile& file, ProgressSink& progress,
                           DownloadState& state) {
  Incomplete target(cache, file);
  PARING_TRY_VOID(target.open());
  PARING_TRY_VOID(target.check_room());
  bool has_earlier_bytes = target.bytes() != 0;
  if (target.bytes() < file.bytes || file.bytes == 0) {
    net::HttpClientRequest ranged = request;
    ranged.first_byte = target.bytes();
    progress.begin(file.path, file.bytes, ProgressUnit::kBytes);
    progress.advance(target.bytes());
    const net::BodySink sink{
        .on_headers = [&](const net::HttpClientResponse& response) -> Result<void> {
          if (ranged.first_byte == 0 || response.status / 100 != 2) return {};
          if (response.status == 206 && begins_at(response, ranged.first_byte)) return {};
          // A server without ranges sends everything.
          progress.begin(file.path, file.bytes, ProgressUnit::kBytes);
          has_earlier_bytes = false;
          return target.restart();
        },
        .on_bytes = [&](std::span<const std::byte> piece) -> Result<void> {
          PARING_TRY_VOID(target.append(piece));
          state.downloaded += piece.size();
          state.furthest = std::max(state.furthest, target.bytes());
          progress.advance(piece.size());
          return {};
        }};
    PARING_TRY(const net::HttpClientResponse response, client.get(ranged, sink));
    progress.end();
    if (response.status / 100 != 2) {
      return status_error(response, fmt::format("'{}'", io::printable(file.path)),
                          !request.token.empty());
    }
    if (target.bytes() < file.bytes) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("'{}': the server ended after {} of {} bytes",
                               io::printable(file.path), target.bytes(), file.bytes),
                   "try again, the download goes on from there"};
    }
  }
  Result<void> finished = target.finish(cache.blob_path(file));
  if (!finished && finished.error().code == ErrorCode::kCorrupt && has_earlier_bytes &&
      state.may_start_anew) {
    state.may_start_anew = false;
    // What an earlier attempt left may be at fault; it is gone now.
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("'{}' is damaged, perhaps in what was kept of an earlier attempt; it is "
                    "fetched from the beginning",
                    io::printable(file.path)),
        finished.error().hint};
  }
  return finished;
}

}  // namespace paring::hub
