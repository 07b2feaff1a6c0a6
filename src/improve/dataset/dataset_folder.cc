// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/dataset_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/sha256.h"
#include "base/version.h"
#include "improve/dataset/near_duplicates.h"

namespace paring::improve {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kManifest = "manifest.json";
constexpr const char* kSources = "sources.jsonl";

std::string text_of(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

struct File {
  std::string name;
  std::string bytes;
};

Json file_json(const File& file) {
  return {{"file", file.name}, {"bytes", file.bytes.size()}, {"sha256", sha256_hex(file.bytes)}};
}

std::string lines_of(const std::vector<Example>& part) {
  std::string lines;
  for (const Example& example : part) lines += example.line + "\n";
  return lines;
}

// The way back from each line to its request.
std::string sources_of(const Dataset& dataset) {
  std::string lines;
  for (std::size_t p = 0; p < dataset.parts.size(); ++p) {
    for (std::size_t i = 0; i < dataset.parts[p].size(); ++i) {
      const Example& example = dataset.parts[p][i];
      lines += text_of({{"part", dataset.options.split[p].name},
                        {"line", i + 1},
                        {"request", example.request},
                        {"started_s", example.started_s},
                        {"why", example.why}}) +
               "\n";
    }
  }
  return lines;
}

Json condition_texts(const std::vector<Condition>& conditions) {
  Json texts = Json::array();
  for (const Condition& condition : conditions) texts.push_back(condition_text(condition));
  return texts;
}

Json redaction_json(const Dataset& dataset) {
  if (dataset.options.redaction == nullptr) return "off";
  Json replaced = Json::object();
  for (const auto& [rule, places] : dataset.redactions) replaced[rule] = places;
  return {{"replaced", std::move(replaced)}};
}

Json manifest_of(const Dataset& dataset, const std::map<std::string, std::string>& filters,
                 const std::vector<File>& files) {
  const DatasetOptions& options = dataset.options;
  Json json;
  json["manifest"] = kManifestFormat;
  json["version"] = "";
  json["format"] = dataset_format_name(options.format);
  json["prompts"] = options.prompts == PromptKind::kChat ? "chat" : "text";
  std::string names;
  double from = std::numeric_limits<double>::infinity();
  double to = 0;
  for (std::size_t p = 0; p < dataset.parts.size(); ++p) {
    Json part = {{"name", options.split[p].name},
                 {"share", options.split[p].share},
                 {"examples", dataset.parts[p].size()}};
    part.update(file_json(files[p]));
    json["parts"].push_back(std::move(part));
    for (const Example& example : dataset.parts[p]) {
      from = std::min(from, example.started_s);
      to = std::max(to, example.started_s);
    }
  }
  for (const File& file : files) names += file.name + " " + sha256_hex(file.bytes) + "\n";
  json["version"] = sha256_hex(names);
  json["sources"] = file_json(files.back());
  json["from_s"] = dataset.examples() == 0 ? 0 : from;
  json["to_s"] = to;
  json["tenant"] = options.filter.tenant.value_or("");
  json["filters"] = filters;
  json["conditions"] = condition_texts(options.conditions);
  json["good"] = condition_texts(options.good);
  json["bad"] = condition_texts(options.bad);
  json["takes_unrated"] = options.takes_unrated;
  json["takes_tools"] = options.takes_tools;
  json["limit"] = options.limit;
  json["duplicates"] = {{"method", options.duplicates == Duplicates::kNear ? "near" : "exact"}};
  if (options.duplicates == Duplicates::kNear) {
    json["duplicates"]["jaccard"] = kNearJaccard;
    json["duplicates"]["run_words"] = kRunWords;
    json["duplicates"]["not_compared"] = dataset.not_compared;
  }
  json["redaction"] = redaction_json(dataset);
  json["requests"] = dataset.requests;
  json["models"] = dataset.models;
  json["why"] = dataset.kinds;
  json["left_out"] = Json::object();
  for (const auto& [reason, count] : dataset.left_out) {
    json["left_out"][left_out_text(reason)] = count;
  }
  json["made_by"] = fmt::format("paring {}", version());
  return json;
}

Error failed(const std::string& what, const std::string& path, const std::string& why) {
  return io_error(fmt::format("cannot {} '{}': {}", what, path, why));
}

Result<void> sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool is_synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!is_synced) return failed("write", path, errno_text(error));
  return {};
}

constexpr std::string_view kTemporary = ".tmp-";

// Folders that runs left behind which were killed: their process is no more.
void remove_left_behind(const fs::path& target) {
  std::error_code error;
  const fs::path parent = fs::absolute(target).parent_path();
  const std::string begins = target.filename().string() + std::string(kTemporary);
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(begins)) continue;
    pid_t process = 0;
    const char* const end = name.data() + name.size();
    const auto [stop, wrong] = std::from_chars(name.data() + begins.size(), end, process);
    if (wrong != std::errc() || stop != end || process <= 0) continue;
    std::error_code ignored;
    if (::kill(process, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

// A folder beside the one that is made, gone again unless it was renamed.
class NewFolder {
 public:
  static Result<NewFolder> create(const std::string& path) {
    fs::path target(path);
    if (!target.has_filename()) target = target.parent_path();
    remove_left_behind(target);
    const std::string temporary = fmt::format("{}{}{}", target.string(), kTemporary, ::getpid());
    std::error_code error;
    fs::remove_all(temporary, error);
    if (!fs::create_directory(temporary, error)) {
      return failed("make", temporary, error ? error.message() : "it exists");
    }
    return NewFolder(target.string(), temporary);
  }
  NewFolder(NewFolder&& other) noexcept
      : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder() {
    std::error_code ignored;
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  }
  Result<void> write(const File& file) const {
    return io::write_file(temporary_ + "/" + file.name, file.bytes, io::Overwrite::kRefuse);
  }
  // `is_there`: the target, which is a dataset, changes its place with the new one and is removed.
  Result<void> commit(bool is_there) {
    PARING_TRY_VOID(sync_folder(temporary_));
    const unsigned how = is_there ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), how) != 0) {
      return failed("write", target_, errno_text(errno));
    }
    if (!is_there) temporary_.clear();
    const std::string parent = fs::absolute(target_).parent_path().string();
    return sync_folder(parent);
  }

 private:
  NewFolder(std::string target, std::string temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}
  std::string target_;
  std::string temporary_;
};

// Whether `path` is there as a dataset with the version. InvalidArgument where it must stay.
Result<bool> is_taken(const std::string& path, const std::string& version, io::Overwrite overwrite,
                      WrittenDataset& written) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return false;
  const Result<DatasetManifest> before = read_manifest(path);
  if (!before) {
    return invalid_argument(fmt::format("'{}' exists and is no dataset", path),
                            "choose another folder");
  }
  if (before->version == version && check_dataset(*before)) {
    written.is_unchanged = true;
    return true;
  }
  if (overwrite == io::Overwrite::kRefuse) {
    return invalid_argument(
        fmt::format("'{}' holds another dataset, version {:.12}", path, before->version),
        "choose another folder, or allow replacing it with --force");
  }
  std::set<std::string> known = {kManifest, kSources};
  for (const DatasetPart& part : before->parts) known.insert(part.file);
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (!known.contains(entry.path().filename().string())) {
      return invalid_argument(fmt::format("'{}' holds a file that is not the dataset's: '{}'", path,
                                          entry.path().filename().string()),
                              "move it away");
    }
  }
  return true;
}

}  // namespace

Result<WrittenDataset> write_dataset(const Dataset& dataset,
                                     const std::map<std::string, std::string>& filters,
                                     const std::string& path, io::Overwrite overwrite) {
  std::vector<File> files;
  for (std::size_t p = 0; p < dataset.parts.size(); ++p) {
    files.push_back({dataset.options.split[p].name + ".jsonl", lines_of(dataset.parts[p])});
  }
  files.push_back({kSources, sources_of(dataset)});
  const Json manifest = manifest_of(dataset, filters, files);
  files.push_back({kManifest, text_of(manifest, 2) + "\n"});
  WrittenDataset written{.version = manifest["version"], .is_unchanged = false};
  PARING_TRY(const bool is_there, is_taken(path, written.version, overwrite, written));
  if (written.is_unchanged && read_manifest(path)->text == files.back().bytes) return written;
  written.is_unchanged = false;
  PARING_TRY(NewFolder folder, NewFolder::create(path));
  for (const File& file : files) PARING_TRY_VOID(folder.write(file));
  PARING_TRY_VOID(folder.commit(is_there));
  return written;
}

Result<DatasetManifest> read_manifest(const std::string& path) {
  const std::string file = path + "/" + kManifest;
  DatasetManifest manifest;
  manifest.path = path;
  PARING_TRY(manifest.text, read_small_file(file, kManifestBytesMax));
  const Json json = Json::parse(manifest.text, nullptr, false);
  const auto wrong = [&](const char* what) {
    return corrupt(fmt::format("'{}' is no manifest of a dataset: {}", file, what));
  };
  if (!json.is_object()) return wrong("not a JSON object");
  const auto text = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
  };
  const auto integer = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
  };
  if (integer(json, "manifest") != kManifestFormat) return wrong("\"manifest\" is not 1");
  manifest.version = text(json, "version");
  manifest.format = text(json, "format");
  manifest.prompts = text(json, "prompts");
  manifest.from_s = number(json, "from_s");
  manifest.to_s = number(json, "to_s");
  if (!is_sha256_hex(manifest.version)) return wrong("\"version\" is no hash");
  const auto parts = json.find("parts");
  if (parts == json.end() || !parts->is_array()) return wrong("\"parts\" is no list");
  std::vector<Json> files(parts->begin(), parts->end());
  files.push_back(json.value("sources", Json::object()));
  for (const Json& each : files) {
    if (!each.is_object()) return wrong("a part is no object");
    DatasetPart part{text(each, "name"), text(each, "file"), integer(each, "examples"),
                     integer(each, "bytes"), text(each, "sha256")};
    if (part.file.empty() || part.file.find('/') != std::string::npos ||
        !is_sha256_hex(part.sha256)) {
      return wrong("a part has no file or no hash");
    }
    manifest.parts.push_back(std::move(part));
  }
  return manifest;
}

Result<void> check_dataset(const DatasetManifest& manifest) {
  for (const DatasetPart& part : manifest.parts) {
    const std::string file = manifest.path + "/" + part.file;
    const Result<std::string> hash = sha256_file(file);
    if (!hash) return corrupt(fmt::format("'{}': {}", file, hash.error().text()));
    if (*hash != part.sha256) {
      return corrupt(fmt::format("'{}' is not what the manifest says: its hash is {:.12}, not "
                                 "{:.12}",
                                 file, *hash, part.sha256),
                     "build the dataset again");
    }
  }
  return {};
}

Result<std::vector<DatasetManifest>> list_datasets(const std::string& path) {
  std::error_code error;
  std::vector<std::string> folders = {path};
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::error_code unknown;
    if (entry.is_directory(unknown)) folders.push_back(entry.path().string());
    if (folders.size() > kDatasetFoldersMax) {
      return exhausted(fmt::format("'{}' holds more than {} folders", path, kDatasetFoldersMax));
    }
  }
  if (error) return failed("read", path, error.message());
  std::ranges::sort(folders);
  std::vector<DatasetManifest> found;
  for (const std::string& folder : folders) {
    Result<DatasetManifest> manifest = read_manifest(folder);
    if (manifest) found.push_back(std::move(manifest).value());
  }
  return found;
}

}  // namespace paring::improve
