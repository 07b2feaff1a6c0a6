// SPDX-License-Identifier: Apache-2.0
#include "hub/model_source.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

#include "base/text.h"
#include "hub/hub_name.h"
#include "hub/hub_settings.h"
#include "hub/pull.h"
#include "io/hf_folder.h"
#include "io/peft_folder.h"
#include "io/printable.h"

namespace paring::hub {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSupported =
    "a MODEL is a GGUF file, a folder in Hugging Face layout, or hf:OWNER/NAME[:FILE]";
constexpr const char* kSupportedAdapters =
    "an adapter is a GGUF file, a folder that PEFT saved, or hf:OWNER/NAME[:FILE]";
constexpr std::size_t kEntriesMax = 10'000;  // of a folder that are looked at for similar names
constexpr std::size_t kMatchesMax = 5;

// Insertions, deletions and substitutions that turn `a` into `b` (Levenshtein). Names are short.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// Names of GGUF files in `folder`, the most similar to `wanted` first.
std::vector<std::string> gguf_files(const fs::path& folder, const std::string& wanted) {
  std::vector<std::pair<std::size_t, std::string>> found;
  std::error_code failed;  // an unreadable folder has no matches
  fs::directory_iterator entry(folder, fs::directory_options::skip_permission_denied, failed);
  for (std::size_t i = 0; !failed && entry != fs::directory_iterator() && i < kEntriesMax; ++i) {
    const std::string name = entry->path().filename().string();
    if (ascii_lower(entry->path().extension().string()) == ".gguf") {
      found.emplace_back(edit_distance(ascii_lower(name), ascii_lower(wanted)), name);
    }
    entry.increment(failed);
  }
  std::sort(found.begin(), found.end());
  if (found.size() > kMatchesMax) found.resize(kMatchesMax);
  std::vector<std::string> names;
  for (auto& [distance, name] : found) names.push_back(std::move(name));
  return names;
}

std::string listed(const fs::path& folder, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    if (!text.empty()) text += ", ";
    text += "'" + io::printable((folder / name).string()) + "'";
  }
  return text;
}

// Of a path that does not exist; `supported` says what may be there.
Error missing(const std::string& path, const char* supported) {
  std::error_code failed;
  const fs::path whole(path);
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  Error error = not_found(fmt::format("there is no file '{}'", io::printable(path)));
  if (!fs::is_directory(folder, failed)) {
    error.hint = fmt::format("the folder '{}' does not exist either; {}",
                             io::printable(folder.string()), supported);
    return error;
  }
  const std::vector<std::string> names = gguf_files(folder, whole.filename().string());
  error.hint =
      names.empty()
          ? fmt::format("there is no GGUF file in '{}'", io::printable(folder.string()))
          : "did you mean " + listed(whole.has_parent_path() ? folder : fs::path(), names) + "?";
  return error;
}

Error is_folder(const std::string& path) {
  std::error_code failed;
  const fs::path folder(path);
  const bool is_hugging_face = fs::exists(folder / "config.json", failed);
  Error error = unsupported(
      fmt::format("'{}' is a folder{}", io::printable(path),
                  is_hugging_face ? " with a config.json, but without model.safetensors" : ""));
  const std::vector<std::string> names = gguf_files(folder, "");
  error.hint = names.empty() ? std::string(kSupported) + "; convert the model to GGUF first"
                             : "name a file in it: " + listed(folder, names);
  return error;
}

// What a name is resolved as.
struct Wanted {
  HubContent content;
  const char* word;
  const char* supported;
  Result<std::string> (*check_folder)(const std::string& path);
};

// `progress` is null when nothing may be fetched.
Result<std::string> resolve(const std::string& path, const Wanted& wanted, ProgressSink* progress) {
  if (path.empty()) {
    return invalid_argument(fmt::format("{} is empty", wanted.word), wanted.supported);
  }
  if (path.find('\0') != std::string::npos) {
    return invalid_argument(fmt::format("{} holds a zero byte", wanted.word), wanted.supported);
  }
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (fs::is_directory(status)) return wanted.check_folder(path);
  if (fs::exists(status)) return path;
  // A file may be named hf:something; anything else with that prefix means the hub.
  if (is_hub_name(path)) {
    PARING_TRY(const HubName name, parse_hub_name(path));
    PARING_TRY(const HubSettings settings, read_hub_settings(environ));
    if (progress != nullptr) {
      PARING_TRY(const std::string found, find_or_pull(name, wanted.content, settings, *progress));
      return resolve(found, wanted, progress);
    }
    if (const auto found = find_in_cache(name, wanted.content, settings)) {
      return resolve(*found, wanted, progress);
    }
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("{} is not in {}, and nothing is fetched here", name.text(), settings.cache),
        fmt::format("fetch it first: paring pull {}", name.text())};
  }
  if (status.type() == fs::file_type::none) {
    return io_error(fmt::format("cannot look at '{}': {}", io::printable(path), failed.message()),
                    "check the permissions of its folders");
  }
  return missing(path, wanted.supported);
}

Result<std::string> model_folder(const std::string& path) {
  return io::is_hf_folder(path) ? Result<std::string>(path) : is_folder(path);
}

Result<std::string> adapter_folder(const std::string& path) {
  std::error_code failed;
  if (fs::exists(fs::path(path) / io::kPeftConfigName, failed)) return path;
  return unsupported(
      fmt::format("'{}' is a folder without {}", io::printable(path), io::kPeftConfigName),
      io::is_hf_folder(path)
          ? "it is a model, not an adapter; PEFT's save_pretrained() writes adapters"
          : kSupportedAdapters);
}

}  // namespace

namespace {

constexpr Wanted kModel = {HubContent::kModel, "MODEL", kSupported, model_folder};
constexpr Wanted kAdapter = {HubContent::kAdapter, "ADAPTER", kSupportedAdapters, adapter_folder};

}  // namespace

Result<std::string> resolve_model(std::string_view spec, ProgressSink& progress) {
  return resolve(std::string(spec), kModel, &progress);
}

Result<std::string> find_model(std::string_view spec) {
  return resolve(std::string(spec), kModel, nullptr);
}

Result<std::string> resolve_adapter(std::string_view spec, ProgressSink& progress) {
  return resolve(std::string(spec), kAdapter, &progress);
}

Result<std::string> find_adapter(std::string_view spec) {
  return resolve(std::string(spec), kAdapter, nullptr);
}

}  // namespace paring::hub
