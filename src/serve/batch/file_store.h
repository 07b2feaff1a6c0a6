// SPDX-License-Identifier: Apache-2.0
// Uploaded files: rows in control.db, bytes in FOLDER/files, each under the SHA-256 of what it
// holds, so that no name from outside ever becomes a path and equal contents lie there once.
// Thread-safe; an Upload or FileContent belongs to one thread at a time.
//
//   ApiResult<Upload> upload = files.begin("tenant");
//   while (...) if (auto error = upload->append(piece)) return *error;
//   ApiResult<store::FileRow> file = upload->finish({.filename = "in.jsonl", .purpose = "batch"});
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "base/sha256.h"
#include "serve/api_error.h"
#include "store/control_db.h"
#include "store/files.h"

namespace paring::serve {

struct FileLimits {
  std::int64_t file_bytes_max = std::int64_t{512} << 20;
  // With those that are being uploaded.
  std::int64_t tenant_bytes_max = std::int64_t{10} << 30;
  std::int64_t tenant_files_max = 10'000;
  std::size_t tenant_uploads_max = 16;  // under way at a time
  // Of files with purpose batch that bring no expiry of their own, as OpenAI has it.
  std::int64_t batch_lifetime_s = std::int64_t{30} * 86400;
};

struct FileSpec {
  std::string filename;  // for showing only; what stands before the last slash is dropped
  std::string purpose;   // see is_upload_purpose()
  std::optional<std::int64_t> expires_after_s;  // kFileExpiryMin to kFileExpiryMax
};

// "batch", "user_data", ...: what a client may upload for.
std::span<const std::string_view> upload_purposes() noexcept;
bool is_upload_purpose(std::string_view purpose) noexcept;
// A file's own lifetime, as OpenAI bounds it: an hour to 30 days.
inline constexpr std::int64_t kFileExpiryMin = 3600;
inline constexpr std::int64_t kFileExpiryMax = std::int64_t{30} * 86400;
// What is wrong with `spec`: 400 naming the field.
std::optional<ApiError> check_file_spec(const FileSpec& spec);
inline constexpr const char* kBatchPurpose = "batch";
inline constexpr const char* kBatchOutputPurpose = "batch_output";

class FileStore;

// A file on its way in. Without finish() nothing of it stays. Movable.
class Upload {
 public:
  Upload(Upload&& other) noexcept;
  Upload& operator=(Upload&& other) noexcept;
  ~Upload();
  // 413 past the limits; 503 when the disk is full. Only dropping it makes sense then.
  std::optional<ApiError> append(std::string_view bytes);
  // Makes it durable and visible; errors of check_file_spec(). REQUIRES: called once, after no
  // error.
  ApiResult<store::FileRow> finish(const FileSpec& spec);

 private:
  friend class FileStore;
  enum class Quota : std::uint8_t { kTenant, kNone };
  Upload(FileStore& files, store::FileRow row, Quota quota);
  Result<void> write(std::string_view bytes);
  Result<void> seal();
  void drop() noexcept;

  FileStore* files_;
  store::FileRow row_;
  Quota quota_;
  int descriptor_ = -1;
  std::string path_;  // empty: nothing to remove
  Sha256 hash_;
};

// What a file holds. Stays readable when the file is deleted meanwhile.
class FileContent {
 public:
  FileContent(FileContent&& other) noexcept;
  FileContent& operator=(FileContent&& other) noexcept;
  ~FileContent();
  std::uint64_t bytes() const noexcept { return bytes_; }
  // So many bytes from `offset`, fewer at the end. Io: the disk; Corrupt: shorter than it was.
  Result<std::size_t> read(std::uint64_t offset, std::span<char> into) const;
  Result<std::string> read(std::uint64_t offset, std::size_t bytes) const;

 private:
  friend class FileStore;
  FileContent(int descriptor, std::uint64_t bytes) : descriptor_(descriptor), bytes_(bytes) {}
  int descriptor_;
  std::uint64_t bytes_;
};

class FileStore {
 public:
  // Makes FOLDER/files and clears what a killed process left half done. REQUIRES: this process
  // holds the ServingLock of `control`, which must outlive this.
  static Result<std::unique_ptr<FileStore>> open(const store::ControlDb& control,
                                                 const FileLimits& limits,
                                                 const Clock& clock = system_clock());

  // 429 when the tenant has as many uploads under way as it may; 503 when the disk or the database
  // fails.
  ApiResult<Upload> begin(const std::string& tenant);
  // 404, the same for a file that is not there and one of another tenant.
  ApiResult<store::FileRow> find(std::string_view tenant, std::string_view id) const;
  ApiResult<store::Page<store::FileRow>> list(std::string_view tenant, std::string_view purpose,
                                              const store::PageRequest& page) const;
  ApiResult<FileContent> content(std::string_view tenant, std::string_view id) const;
  // 404; 400 while a batch reads it.
  ApiResult<store::FileRow> remove(std::string_view tenant, std::string_view id);
  void remove_expired();

  // For the engine's own files: an upload that no quota refuses, sealed() without a row, which the
  // caller inserts with the end of the batch.
  ApiResult<Upload> begin_output(const std::string& tenant, const std::string& filename);
  Result<store::FileRow> seal_output(Upload upload);
  // Also of a file that has expired: an open batch keeps it.
  Result<FileContent> content_for_batch(std::string_view tenant, std::string_view id) const;

 private:
  friend class Upload;
  FileStore(const store::ControlDb& control, const FileLimits& limits, const Clock& clock);
  Result<void> prepare();
  Result<void> sweep();
  ApiResult<Upload> start(Upload upload);
  // Room in the tenant's quota for so many bytes of an upload.
  bool take(const std::string& tenant, std::int64_t bytes);
  // An upload of so many bytes has ended; `is_stored`: they count on, as a file.
  void leave(const std::string& tenant, std::int64_t bytes, bool is_stored);
  Result<FileContent> open_content(const store::FileRow& file) const;
  void remove_content(const std::string& sha256);
  std::string content_path(const std::string& sha256) const;
  std::int64_t now_s() const noexcept;

  const store::ControlDb& control_;
  const FileLimits limits_;
  const Clock& clock_;
  const std::string folder_;
  // Between a content's place on the disk and its row: a removal must not take what a finishing
  // upload is about to name.
  mutable std::mutex contents_mutex_;

  // Of the tenants that upload now. A deletion meanwhile counts from the next upload on.
  struct TenantUploads {
    std::size_t count = 0;
    std::int64_t bytes = 0;   // that have come
    std::int64_t stored = 0;  // in files
  };
  std::mutex uploads_mutex_;
  std::unordered_map<std::string, TenantUploads> uploads_;
};

}  // namespace paring::serve
