// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/file_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "io/system_error.h"
#include "serve/access/api_key.h"
#include "serve/batch/storage_failure.h"

namespace paring::serve {

namespace {

constexpr std::array<std::string_view, 6> kUploadPurposes = {"batch",     "user_data", "assistants",
                                                             "fine-tune", "vision",    "evals"};
constexpr std::size_t kFilenameBytesMax = 255;
constexpr std::size_t kIdLetters = 24;
constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

ApiError too_large(std::int64_t limit) {
  return {413, "file_too_large",
          fmt::format("The file is larger than the limit of {} bytes.", limit), "file"};
}

ApiError failure(const Error& error) { return storage_failure("files", error); }

Result<void> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), kFolderMode) == 0 || errno == EEXIST) return {};
  return io::system_error(errno, "make the folder", path);
}

// The name itself, without folders in front of it.
std::string_view base_name(std::string_view name) noexcept {
  const std::size_t slash = name.find_last_of("/\\");
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

Result<void> sync_folder(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return io::system_error(errno, "open", path);
  const int failed = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  if (failed != 0) return io::system_error(failed, "sync", path);
  return {};
}

}  // namespace

std::span<const std::string_view> upload_purposes() noexcept { return kUploadPurposes; }

bool is_upload_purpose(std::string_view purpose) noexcept {
  return std::find(kUploadPurposes.begin(), kUploadPurposes.end(), purpose) !=
         kUploadPurposes.end();
}

std::optional<ApiError> check_file_spec(const FileSpec& spec) {
  if (!is_upload_purpose(spec.purpose)) {
    return ApiError{400, "invalid_value",
                    fmt::format("'{}' is no purpose of a file; choose of {}.",
                                escape_control(spec.purpose.substr(0, kFilenameBytesMax)),
                                fmt::join(kUploadPurposes, ", ")),
                    "purpose"};
  }
  const std::string_view name = base_name(spec.filename);
  if (name.empty() || name.size() > kFilenameBytesMax || escape_control(name) != name) {
    return ApiError{
        400, "invalid_value",
        fmt::format("The file's name must have 1 to {} bytes and no control characters.",
                    kFilenameBytesMax),
        "file"};
  }
  const auto expiry = spec.expires_after_s;
  if (expiry && (*expiry < kFileExpiryMin || *expiry > kFileExpiryMax)) {
    return ApiError{400, "invalid_value",
                    fmt::format("An expiry of {} s is not within {} and {} s.", *expiry,
                                kFileExpiryMin, kFileExpiryMax),
                    "expires_after[seconds]"};
  }
  return std::nullopt;
}

Upload::Upload(FileStore& files, store::FileRow row, Quota quota)
    : files_(&files), row_(std::move(row)), quota_(quota) {}

Upload::Upload(Upload&& other) noexcept
    : files_(other.files_),
      row_(std::move(other.row_)),
      quota_(std::exchange(other.quota_, Quota::kNone)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::exchange(other.path_, {})),
      hash_(std::move(other.hash_)) {}

Upload& Upload::operator=(Upload&& other) noexcept {
  std::swap(files_, other.files_);
  std::swap(row_, other.row_);
  std::swap(quota_, other.quota_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(hash_, other.hash_);
  return *this;
}

Upload::~Upload() { drop(); }

void Upload::drop() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
  if (std::exchange(quota_, Quota::kNone) == Quota::kTenant) {
    files_->leave(row_.tenant, row_.bytes, /*is_stored=*/false);
  }
}

Result<void> Upload::write(std::string_view bytes) {
  hash_.update(bytes);
  row_.bytes += static_cast<std::int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io::system_error(errno, "write", path_);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

std::optional<ApiError> Upload::append(std::string_view bytes) {
  const auto more = static_cast<std::int64_t>(bytes.size());
  if (quota_ == Quota::kTenant) {
    const FileLimits& limits = files_->limits_;
    if (more > limits.file_bytes_max - row_.bytes) return too_large(limits.file_bytes_max);
    if (!files_->take(row_.tenant, more)) {
      return ApiError{
          413, "storage_quota_exceeded",
          fmt::format("The files of '{}' and its uploads under way would hold more than "
                      "its limit of {} bytes; delete files that are not needed.",
                      row_.tenant, limits.tenant_bytes_max),
          "file"};
    }
  }
  const Result<void> done = write(bytes);
  if (!done) return failure(done.error());
  return std::nullopt;
}

// To its place, durably. REQUIRES: contents_mutex_ is held until its row is there.
Result<void> Upload::seal() {
  row_.sha256 = hex(hash_.finish());
  if (::fsync(descriptor_) != 0) return io::system_error(errno, "sync", path_);
  ::close(std::exchange(descriptor_, -1));
  const std::string target = files_->content_path(row_.sha256);
  const std::string folder = target.substr(0, target.rfind('/'));
  if (::rename(path_.c_str(), target.c_str()) != 0) {
    return io::system_error(errno, "rename", path_);
  }
  path_.clear();
  return sync_folder(folder);
}

ApiResult<store::FileRow> Upload::finish(const FileSpec& spec) {
  if (auto error = check_file_spec(spec)) return *std::move(error);
  row_.filename = base_name(spec.filename);
  row_.purpose = spec.purpose;
  row_.expires_s = spec.expires_after_s;
  if (!row_.expires_s && row_.purpose == kBatchPurpose) {
    row_.expires_s = files_->limits_.batch_lifetime_s;
  }
  if (row_.expires_s) *row_.expires_s += row_.created_s;
  const std::lock_guard lock(files_->contents_mutex_);
  const Result<void> sealed = seal();
  if (!sealed) return failure(sealed.error());
  const Result<void> done = store::Files(files_->control_)
                                .insert(row_, {.bytes_max = files_->limits_.tenant_bytes_max,
                                               .files_max = files_->limits_.tenant_files_max});
  if (done) {
    quota_ = Quota::kNone;
    files_->leave(row_.tenant, row_.bytes, /*is_stored=*/true);
    return row_;
  }
  files_->remove_content(row_.sha256);
  // A quota that is used up is the tenant's affair, not a busy server.
  if (done.error().code != ErrorCode::kExhausted) return failure(done.error());
  return ApiError{413, "storage_quota_exceeded", done.error().text(), "file"};
}

FileContent::FileContent(FileContent&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}

FileContent& FileContent::operator=(FileContent&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

FileContent::~FileContent() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::size_t> FileContent::read(std::uint64_t offset, std::span<char> into) const {
  if (offset >= bytes_) return std::size_t{0};
  const std::size_t wanted =
      static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), bytes_ - offset));
  std::size_t got = 0;
  while (got < wanted) {
    const ssize_t count =
        ::pread(descriptor_, into.data() + got, wanted - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return io_error("an uploaded file cannot be read: " +
                      io::system_error(errno, "read", "content").message);
    if (count == 0) return corrupt("an uploaded file was cut on the disk");
    got += static_cast<std::size_t>(count);
  }
  return got;
}

Result<std::string> FileContent::read(std::uint64_t offset, std::size_t bytes) const {
  std::string text(bytes, '\0');
  PARING_TRY(const std::size_t got, read(offset, std::span<char>(text)));
  text.resize(got);
  return text;
}

FileStore::FileStore(const store::ControlDb& control, const FileLimits& limits, const Clock& clock)
    : control_(control), limits_(limits), clock_(clock), folder_(control.folder() + "/files") {}

Result<std::unique_ptr<FileStore>> FileStore::open(const store::ControlDb& control,
                                                   const FileLimits& limits, const Clock& clock) {
  std::unique_ptr<FileStore> files(new FileStore(control, limits, clock));
  PARING_TRY_VOID(files->prepare());
  PARING_TRY_VOID(files->sweep());
  return files;
}

Result<void> FileStore::prepare() {
  PARING_TRY_VOID(make_folder(folder_));
  PARING_TRY_VOID(make_folder(folder_ + "/uploads"));
  // All places of contents at once, so that no upload has to make one durable.
  for (unsigned i = 0; i < 256; ++i) {
    PARING_TRY_VOID(make_folder(fmt::format("{}/{:02x}", folder_, i)));
  }
  return sync_folder(folder_);
}

// Uploads that were not finished, and contents whose row was never written or is gone.
Result<void> FileStore::sweep() {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(folder_, error);
  const std::filesystem::recursive_directory_iterator end;
  for (; !error && entry != end; entry.increment(error)) {
    if (!entry->is_regular_file(error)) continue;
    const std::string name = entry->path().filename().string();
    if (is_sha256_hex(name)) {
      PARING_TRY(const bool is_known, store::Files(control_).has_content(name));
      if (is_known) continue;
    }
    ::unlink(entry->path().c_str());
  }
  if (error) return io::system_error(error.value(), "list", folder_);
  return {};
}

std::int64_t FileStore::now_s() const noexcept {
  return static_cast<std::int64_t>(clock_.wall_seconds());
}

std::string FileStore::content_path(const std::string& sha256) const {
  PARING_CHECK(is_sha256_hex(sha256), "a content's name is its hash");
  return folder_ + "/" + sha256.substr(0, 2) + "/" + sha256;
}

ApiResult<Upload> FileStore::start(Upload upload) {
  const Result<std::string> letters = random_letters(kIdLetters);
  if (!letters) return failure(letters.error());
  store::FileRow& row = upload.row_;
  row.id = "file-" + *letters;
  row.created_s = now_s();
  if (row.expires_s) *row.expires_s += row.created_s;
  const std::string path = folder_ + "/uploads/" + *letters;
  upload.descriptor_ =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode);
  if (upload.descriptor_ < 0) return failure(io::system_error(errno, "make", path));
  upload.path_ = path;
  return upload;
}

bool FileStore::take(const std::string& tenant, std::int64_t bytes) {
  const std::lock_guard lock(uploads_mutex_);
  TenantUploads& uploads = uploads_[tenant];
  if (bytes > limits_.tenant_bytes_max - uploads.stored - uploads.bytes) return false;
  uploads.bytes += bytes;
  return true;
}

void FileStore::leave(const std::string& tenant, std::int64_t bytes, bool is_stored) {
  const std::lock_guard lock(uploads_mutex_);
  TenantUploads& uploads = uploads_[tenant];
  uploads.bytes -= bytes;
  if (is_stored) uploads.stored += bytes;
  if (--uploads.count == 0) uploads_.erase(tenant);
}

ApiResult<Upload> FileStore::begin(const std::string& tenant) {
  {
    const std::lock_guard lock(uploads_mutex_);
    const auto found = uploads_.find(tenant);
    if (found != uploads_.end() && found->second.count >= limits_.tenant_uploads_max) {
      constexpr double kRetrySeconds = 1;
      return ApiError{429, "rate_limit_exceeded",
                      fmt::format("{} uploads of '{}' are under way, that is the limit.",
                                  found->second.count, tenant),
                      "", kRetrySeconds};
    }
    const Result<std::int64_t> used = store::Files(control_).bytes_of(tenant);
    if (!used) return failure(used.error());
    TenantUploads& uploads = uploads_[tenant];
    ++uploads.count;
    uploads.stored = *used;
  }
  store::FileRow row;
  row.tenant = tenant;
  return start(Upload(*this, std::move(row), Upload::Quota::kTenant));
}

ApiResult<Upload> FileStore::begin_output(const std::string& tenant, const std::string& filename) {
  store::FileRow row;
  row.tenant = tenant;
  row.filename = filename;
  row.purpose = kBatchOutputPurpose;
  row.expires_s = limits_.batch_lifetime_s;
  return start(Upload(*this, std::move(row), Upload::Quota::kNone));
}

Result<store::FileRow> FileStore::seal_output(Upload upload) {
  const std::lock_guard lock(contents_mutex_);
  PARING_TRY_VOID(upload.seal());
  return upload.row_;
}

ApiResult<store::FileRow> FileStore::find(std::string_view tenant, std::string_view id) const {
  Result<std::optional<store::FileRow>> file = store::Files(control_).find(tenant, id);
  if (!file) return failure(file.error());
  if (!*file || ((*file)->expires_s && *(*file)->expires_s <= now_s())) {
    return ApiError{404, "file_not_found", "There is no file with this id.", "file_id"};
  }
  return std::move(**file);
}

ApiResult<store::Page<store::FileRow>> FileStore::list(std::string_view tenant,
                                                       std::string_view purpose,
                                                       const store::PageRequest& page) const {
  Result<store::Page<store::FileRow>> found = store::Files(control_).list(tenant, purpose, page);
  if (found) return std::move(found).value();
  if (found.error().code == ErrorCode::kNotFound) return api_error(found.error(), "after");
  return failure(found.error());
}

Result<FileContent> FileStore::open_content(const store::FileRow& file) const {
  const std::string path = content_path(file.sha256);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return io::system_error(errno, "open", path);
  return FileContent(descriptor, static_cast<std::uint64_t>(file.bytes));
}

Result<FileContent> FileStore::content_for_batch(std::string_view tenant,
                                                 std::string_view id) const {
  PARING_TRY(const std::optional<store::FileRow> file, store::Files(control_).find(tenant, id));
  if (!file) return not_found(fmt::format("there is no file '{}'", id));
  return open_content(*file);
}

ApiResult<FileContent> FileStore::content(std::string_view tenant, std::string_view id) const {
  ApiResult<store::FileRow> file = find(tenant, id);
  if (!file) return file.error();
  Result<FileContent> opened = open_content(*file);
  if (!opened) return failure(opened.error());
  return std::move(opened).value();
}

ApiResult<store::FileRow> FileStore::remove(std::string_view tenant, std::string_view id) {
  const std::lock_guard lock(contents_mutex_);
  Result<store::FileRow> file = store::Files(control_).remove(tenant, id);
  if (!file && file.error().code == ErrorCode::kNotFound) {
    return ApiError{404, "file_not_found", "There is no file with this id.", "file_id"};
  }
  if (!file && file.error().code == ErrorCode::kInvalidArgument) {
    return api_error(file.error(), "file_id");
  }
  if (!file) return failure(file.error());
  remove_content(file->sha256);
  return std::move(file).value();
}

void FileStore::remove_content(const std::string& sha256) {
  const Result<bool> is_known = store::Files(control_).has_content(sha256);
  // In doubt it stays; the next start looks again.
  if (is_known && !*is_known) ::unlink(content_path(sha256).c_str());
}

void FileStore::remove_expired() {
  const std::lock_guard lock(contents_mutex_);
  const Result<std::vector<store::FileRow>> gone = store::Files(control_).remove_expired(now_s());
  if (!gone) {
    log_warning("expired files were not removed: " + gone.error().text());
    return;
  }
  for (const store::FileRow& file : *gone) remove_content(file.sha256);
}

}  // namespace paring::serve
