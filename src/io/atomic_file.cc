// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "base/child_process.h"
#include "io/system_error.h"

namespace paring::io {

namespace {

constexpr const char* kExistsHint = "choose another name, or allow overwriting";

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Names of temporary files where a signal handler can read them: it may neither allocate nor lock.
struct Slot {
  enum State : int { kFree, kChanging, kSet };
  std::atomic<int> state{kFree};
  std::array<char, PATH_MAX> path{};
};
constexpr std::size_t kSlots = 8;  // more files at once than any command writes
std::array<Slot, kSlots> slots;
static_assert(std::atomic<int>::is_always_lock_free, "signal handlers read the state");

// -1 when there is no room: such a file is removed by its owner only.
int remember_for_signals(const std::string& path) noexcept {
  if (path.size() >= PATH_MAX) return -1;
  for (std::size_t i = 0; i < kSlots; ++i) {
    int expected = Slot::kFree;
    if (!slots[i].state.compare_exchange_strong(expected, Slot::kChanging)) continue;
    std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
    slots[i].state.store(Slot::kSet);
    return static_cast<int>(i);
  }
  return -1;
}

void forget_for_signals(int slot) noexcept {
  if (slot >= 0) slots[static_cast<std::size_t>(slot)].state.store(Slot::kFree);
}

std::atomic<const char*> last_words = nullptr;
static_assert(std::atomic<const char*>::is_always_lock_free, "signal handlers read it");

// Only calls that are safe in a signal handler. The handler was reset to the default when it was
// entered (SA_RESETHAND), so raising the signal again ends the process once the handler returns.
void remove_and_end(int signal_number) {
  end_children();
  remove_temporaries();
  if (const char* text = last_words.load(); text != nullptr) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  }
  ::raise(signal_number);
}

Error already_exists(const std::string& path) {
  return invalid_argument(fmt::format("'{}' exists already", path), kExistsHint);
}

// Where the file will lie: PATH with links followed when it exists, PATH itself otherwise. Sets
// `mode` to an existing file's permissions.
Result<std::string> resolve_target(const std::string& path, Overwrite overwrite, mode_t& mode) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return system_error(errno, "write", path);
    if (::lstat(path.c_str(), &status) == 0) {
      return invalid_argument(fmt::format("'{}' is a symbolic link to nothing", path),
                              "remove the link or create its target");
    }
    return path;
  }
  if (S_ISDIR(status.st_mode)) {
    return invalid_argument(fmt::format("'{}' is a folder, not a file", path),
                            "name a file inside it");
  }
  if (!S_ISREG(status.st_mode)) {
    return invalid_argument(fmt::format("'{}' is not a regular file", path),
                            "a device or pipe cannot be replaced by a file; choose another name");
  }
  if (overwrite == Overwrite::kRefuse) return already_exists(path);
  mode = status.st_mode & 0777U;
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (real == nullptr) return system_error(errno, "write", path);
  return std::string(real.get());
}

Error cannot_create(int error_number, const std::string& path) {
  const std::string folder = folder_of(path);
  if (error_number == ENOENT) {
    return not_found(fmt::format("cannot write '{}': the folder '{}' does not exist", path, folder),
                     fmt::format("create it: mkdir -p '{}'", folder));
  }
  if (error_number == EACCES || error_number == EPERM) {
    return io_error(
        fmt::format("cannot write '{}': no permission to create files in '{}'", path, folder),
        "choose another folder or change its permissions");
  }
  return system_error(error_number, "write", path);
}

}  // namespace

// Called by signal handlers.
void remove_temporaries() noexcept {
  for (const Slot& slot : slots) {
    if (slot.state.load() == Slot::kSet) ::unlink(slot.path.data());
  }
}

void say_on_signals(const char* text) noexcept { last_words.store(text); }

void remove_temporaries_on_signals() noexcept {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action{};
    // A shell starts background jobs with SIGINT ignored, nohup with SIGHUP.
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = remove_and_end;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(number, &action, nullptr);
  }
}

Result<AtomicFile> AtomicFile::create(const std::string& path, Overwrite overwrite) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return invalid_argument("the output path is empty or holds a zero byte", "name a file");
  }
  if (path.back() == '/') {
    return invalid_argument(fmt::format("'{}' names a folder, not a file", path),
                            "name a file inside it");
  }
  mode_t mode = 0;
  AtomicFile file;
  file.path_ = path;
  file.overwrite_ = overwrite;
  PARING_TRY(file.target_, resolve_target(path, overwrite, mode));
  std::random_device random;
  constexpr int kTries = 16;  // names of 32 random bits: a second try is already unlikely
  for (int i = 0; i < kTries && file.descriptor_ < 0; ++i) {
    std::string temporary = fmt::format("{}.tmp-{}-{:08x}", file.target_, ::getpid(), random());
    // Before there is a file: a signal in between removes nothing, one afterwards finds it.
    const int slot = remember_for_signals(temporary);
    file.descriptor_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file.descriptor_ >= 0) {
      file.temporary_ = std::move(temporary);
      file.slot_ = slot;
      continue;
    }
    const int reason = errno;
    forget_for_signals(slot);
    if (reason != EEXIST) return cannot_create(reason, path);
  }
  if (file.descriptor_ < 0) return cannot_create(EEXIST, path);
  // Best effort: on file systems without permissions there is nothing to keep.
  if (mode != 0 && ::fchmod(file.descriptor_, mode) != 0) errno = 0;
  return file;
}

AtomicFile::~AtomicFile() { drop(); }

AtomicFile::AtomicFile(AtomicFile&& other) noexcept { *this = std::move(other); }

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  drop();
  descriptor_ = std::exchange(other.descriptor_, -1);
  written_ = other.written_;
  reserved_ = other.reserved_;
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, {});
  overwrite_ = other.overwrite_;
  failed_ = other.failed_;
  slot_ = std::exchange(other.slot_, -1);
  return *this;
}

void AtomicFile::drop() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  forget_for_signals(std::exchange(slot_, -1));
  descriptor_ = -1;
  temporary_.clear();
}

Result<void> AtomicFile::reserve(std::uint64_t bytes) {
  PARING_CHECK(descriptor_ >= 0, "reserve() on a file that is not open");
  if (bytes == 0) return {};
  if (bytes > std::uint64_t{LLONG_MAX}) {
    return invalid_argument(fmt::format("'{}' would have {} bytes, no file can", path_, bytes));
  }
  int outcome = 0;
  do {
    outcome = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes));
  } while (outcome != 0 && errno == EINTR);
  if (outcome == 0) {
    reserved_ = bytes;
    return {};
  }
  const int reason = errno;
  if (reason != ENOSPC && reason != EDQUOT && reason != EFBIG) return {};
  failed_ = true;
  Error error = system_error(reason, "write", path_);
  struct statvfs space{};
  const bool is_known = ::fstatvfs(descriptor_, &space) == 0;
  error.message += fmt::format("; {} bytes are needed", bytes);
  if (is_known) {
    error.message +=
        fmt::format(", {} are free", std::uint64_t{space.f_bavail} * std::uint64_t{space.f_frsize});
  }
  return error;
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  PARING_CHECK(descriptor_ >= 0, "write() on a file that is not open");
  while (!bytes.empty()) {
    constexpr std::size_t kCallBytesMax = std::size_t{1} << 30;  // a call writes less than 2 GiB
    const ssize_t done = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kCallBytesMax));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      failed_ = true;
      return system_error(errno, "write", path_);
    }
    written_ += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

Result<void> AtomicFile::commit() {
  PARING_CHECK(descriptor_ >= 0 && !failed_, "commit() of a file that is closed or failed");
  // Space claimed but not used would leave zero bytes at the end.
  if (reserved_ > written_ && ::ftruncate(descriptor_, static_cast<off_t>(written_)) != 0) {
    return system_error(errno, "write", path_);
  }
  if (::fsync(descriptor_) != 0) return system_error(errno, "write", path_);
  if (::close(std::exchange(descriptor_, -1)) != 0) return system_error(errno, "write", path_);
  int outcome = -1;
  if (overwrite_ == Overwrite::kRefuse) {
    // Atomic test for existence. Where the file system has no such call, test and rename.
    outcome =
        ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
    if (outcome != 0 && errno == EEXIST) return already_exists(path_);
    if (outcome != 0 && errno != EINVAL && errno != ENOSYS) {
      return system_error(errno, "write", path_);
    }
    if (outcome != 0 && ::access(target_.c_str(), F_OK) == 0) return already_exists(path_);
  }
  if (outcome != 0) outcome = std::rename(temporary_.c_str(), target_.c_str());
  if (outcome != 0) return system_error(errno, "write", path_);
  temporary_.clear();
  forget_for_signals(std::exchange(slot_, -1));
  // The new name is durable once its folder is. Some file systems cannot sync a folder; the file
  // is complete either way.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

Result<void> write_file(const std::string& path, std::string_view text, Overwrite overwrite) {
  PARING_TRY(AtomicFile file, AtomicFile::create(path, overwrite));
  PARING_TRY_VOID(file.write(text));
  return file.commit();
}

}  // namespace paring::io
