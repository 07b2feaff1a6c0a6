// SPDX-License-Identifier: Apache-2.0
#include "shrink/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace paring::shrink {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kJournalBytesMax = std::size_t{64} << 20;
constexpr const char* kMeasurements = "measurements.jsonl";

Error journal_error(const std::string& path, int error_number) {
  return io_error(fmt::format("the search's journal '{}' cannot be written: {}", path,
                              errno_text(error_number)),
                  "choose another folder for --out, or make room");
}

// Only what a search made is ever deleted: the folder may hold something else of the user's.
// Files that were being written when a run was killed end in .tmp-<pid>-<random>.
bool is_ours(const std::string& name) {
  for (const char* ours : Journal::kFiles) {
    if (name == ours || name.starts_with(std::string(ours) + ".tmp-")) return true;
  }
  return false;
}

void remove_ours(const std::string& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (is_ours(entry.path().filename().string())) paths.push_back(entry.path());
  }
  for (const auto& path : paths) std::filesystem::remove(path, ignored);
}

std::string header(const std::string& key) {
  return Json{{"paring_search_journal", 1}, {"key", key}}.dump() + "\n";
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path, const std::string& key) {
  std::unique_ptr<Journal> journal(new Journal(path));
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) return journal_error(path, errno);
  const std::string file = journal->file(kMeasurements);
  journal->descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (journal->descriptor_ < 0) return journal_error(file, errno);
  if (flock(journal->descriptor_, LOCK_EX | LOCK_NB) != 0) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("another run is searching for the same output ('{}' is locked)", path),
                 "wait for it, or choose another --out"};
  }
  PARING_TRY_VOID(journal->read(key));
  return journal;
}

Journal::~Journal() {
  if (descriptor_ >= 0) close(descriptor_);
}

// Keeps the whole lines of a journal with our key; anything else is emptied and begun.
Result<void> Journal::read(const std::string& key) {
  key_ = key;
  const std::string file = this->file(kMeasurements);
  const auto text = read_small_file(file, kJournalBytesMax);
  const std::string start = header(key);
  std::size_t good = 0;
  if (text.has_value() && text->starts_with(start)) {
    good = start.size();
    for (std::size_t end = text->find('\n', good); end != std::string::npos;
         end = text->find('\n', good)) {
      const Json line = Json::parse(text->substr(good, end - good), nullptr, false);
      const bool is_whole = line.is_object() && line.contains("name") && line.contains("values") &&
                            line["name"].is_string() && line["values"].is_array();
      if (!is_whole) break;
      std::vector<double> values;
      for (const Json& value : line["values"]) {
        if (value.is_number()) values.push_back(value.get<double>());
      }
      values_[line["name"].get<std::string>()] = std::move(values);
      good = end + 1;
    }
  }
  recalled_ = values_.size();
  if (ftruncate(descriptor_, static_cast<off_t>(good)) != 0) return journal_error(file, errno);
  if (good != 0) return {};
  remove_ours(path_);
  return append(start);
}

Result<void> Journal::append(const std::string& line) {
  // One write a line: a kill leaves it whole or cut, never mixed.
  const ssize_t written = write(descriptor_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return {};
  return journal_error(file(kMeasurements), written < 0 ? errno : ENOSPC);
}

Result<void> Journal::forget(const std::function<bool(const std::string& name)>& is_old) {
  const std::size_t before = values_.size();
  std::erase_if(values_, [&](const auto& entry) { return is_old(entry.first); });
  recalled_ -= std::min(recalled_, before - values_.size());
  if (ftruncate(descriptor_, 0) != 0) return journal_error(file(kMeasurements), errno);
  PARING_TRY_VOID(append(header(key_)));
  for (const auto& [name, values] : values_) {
    PARING_TRY_VOID(append(Json{{"name", name}, {"values", values}}.dump() + "\n"));
  }
  return {};
}

const std::vector<double>* Journal::find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

Result<std::vector<double>> Journal::recall_or(
    const std::string& name, const std::function<Result<std::vector<double>>()>& measure) {
  if (const std::vector<double>* known = find(name)) return *known;
  PARING_TRY(std::vector<double> values, measure());
  PARING_TRY_VOID(append(Json{{"name", name}, {"values", values}}.dump() + "\n"));
  values_[name] = values;
  return values;
}

Result<double> Journal::recall_or(const std::string& name,
                                  const std::function<Result<double>()>& measure) {
  PARING_TRY(const std::vector<double> values,
             recall_or(name, [&]() -> Result<std::vector<double>> {
               PARING_TRY(const double value, measure());
               return std::vector<double>{value};
             }));
  if (values.size() != 1) {
    return corrupt(fmt::format("the journal '{}' has no value for {}", path_, name),
                   "remove the folder to start anew");
  }
  return values.front();
}

void Journal::keep_measurements() noexcept { remove_ours(path_); }

void Journal::remove() noexcept {
  remove_ours(path_);
  std::error_code ignored;
  std::filesystem::remove(file(kMeasurements), ignored);
  std::filesystem::remove(path_, ignored);  // stays when it holds anything else
}

}  // namespace paring::shrink
