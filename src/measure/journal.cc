// SPDX-License-Identifier: Apache-2.0
// A line: <run> <item> <length of the result> <result>\n after the header line. The length tells a
// cut line from a whole one without parsing.
#include "measure/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "io/mapped_file.h"
#include "io/system_error.h"

namespace paring::measure {

namespace {

constexpr std::string_view kHeader = "paring-journal-1\n";

// The next field up to a blank, taken off `line`.
std::string_view take(std::string_view& line) {
  const std::size_t blank = line.find(' ');
  const std::string_view field = line.substr(0, blank);
  line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
  return field;
}

bool parse(std::string_view digits, std::uint64_t& value) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  return error == std::errc{} && stop == end;
}

Result<void> write_all(int descriptor, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io::system_error(errno, "write", path);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Journal::Journal(Journal&& other) noexcept { *this = std::move(other); }

Journal& Journal::operator=(Journal&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  std::swap(results_, other.results_);
  return *this;
}

Result<Journal> Journal::open(const std::string& path) {
  Journal journal;
  journal.path_ = path;
  journal.descriptor_ =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (journal.descriptor_ < 0) return io::system_error(errno, "open", path);
  if (::flock(journal.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io::system_error(errno, "lock", path);
    return Error{ErrorCode::kUnavailable,
                 fmt::format("another process is using the journal '{}'", path),
                 "wait for it, or give another --journal"};
  }
  PARING_TRY_VOID(journal.load(path));
  return journal;
}

Result<void> Journal::load(const std::string& path) {
  PARING_TRY(const io::MappedFile file, io::MappedFile::open(path));
  const std::string_view all(reinterpret_cast<const char*>(file.bytes().data()),
                             file.bytes().size());
  if (all.size() > kJournalBytesMax) {
    return invalid_argument(fmt::format("the journal '{}' has {} bytes, the limit is {}", path,
                                        all.size(), kJournalBytesMax),
                            "give another --journal");
  }
  std::size_t kept = kHeader.starts_with(all) ? 0 : kHeader.size();
  if (kept != 0 && !all.starts_with(kHeader)) {
    return invalid_argument(fmt::format("'{}' exists and is not a journal of paring", path),
                            "give another --journal; nothing was changed");
  }
  while (kept < all.size()) {
    const std::size_t end = kept == 0 ? std::string_view::npos : all.find('\n', kept);
    if (end == std::string_view::npos) break;
    std::string_view line = all.substr(kept, end - kept);
    const std::string run(take(line));
    std::uint64_t item = 0, size = 0;
    if (!parse(take(line), item) || !parse(take(line), size) || size != line.size()) break;
    results_[{run, item}] = std::string(line);
    kept = end + 1;
  }
  // What a kill left behind, with everything after it.
  if (kept < all.size() && ::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0) {
    return io::system_error(errno, "cut", path);
  }
  return kept == 0 ? write_all(descriptor_, kHeader, path) : Result<void>{};
}

const std::string* Journal::find(const std::string& run, std::uint64_t item) const {
  const auto found = results_.find({run, item});
  return found == results_.end() ? nullptr : &found->second;
}

Result<void> Journal::append(const std::string& run, std::uint64_t item, std::string_view result) {
  if (descriptor_ < 0) return {};
  PARING_CHECK(result.find('\n') == std::string_view::npos, "one line a result");
  PARING_CHECK(find(run, item) == nullptr, "a result is stored once");
  results_[{run, item}] = std::string(result);
  return write_all(descriptor_, fmt::format("{} {} {} {}\n", run, item, result.size(), result),
                   path_);
}

}  // namespace paring::measure
