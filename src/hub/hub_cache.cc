// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>
#include <variant>

#include "base/file.h"
#include "io/atomic_file.h"
#include "io/json_object.h"
#include "io/peft_folder.h"
#include "io/system_error.h"

namespace paring::hub {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRefBytesMax = 256;
constexpr std::size_t kIndexBytesMax = std::size_t{32} << 20;
constexpr std::size_t kSnapshotEntriesMax = 100'000;

bool is_commit(const std::string& text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<void> make_folders(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return io::system_error(failed.value(), "make the folder", folder.string());
  return {};
}

bool is_there(const fs::path& path) {
  std::error_code failed;
  return fs::exists(path, failed);
}

// All shards that model.safetensors.index.json names, or the one file.
bool has_all_weights(const fs::path& snapshot) {
  if (is_there(snapshot / "model.safetensors")) return true;
  const fs::path index = snapshot / "model.safetensors.index.json";
  const auto text = read_small_file(index.string(), kIndexBytesMax);
  if (!text) return false;
  const auto json = io::parse_json_object(*text, index.string());
  if (!json) return false;
  std::set<std::string> shards;
  for (const auto& [key, value] : json->entries()) {
    if (!key.starts_with("weight_map.")) continue;
    const auto* shard = std::get_if<std::string>(&value.data);
    if (shard == nullptr || !is_safe_path(*shard)) return false;
    shards.insert(*shard);
  }
  return !shards.empty() && std::all_of(shards.begin(), shards.end(), [&](const std::string& name) {
    return is_there(snapshot / name);
  });
}

// The files of a snapshot as a listing, to choose from as from the hub's own.
HubListing snapshot_listing(const fs::path& snapshot) {
  HubListing listing;
  std::error_code failed;
  fs::recursive_directory_iterator entry(snapshot, failed);
  for (std::size_t i = 0;
       !failed && entry != fs::recursive_directory_iterator() && i < kSnapshotEntriesMax; ++i) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) {
      HubFile file;
      // Not fs::relative: it would follow the link to the blob.
      file.path = entry->path().lexically_relative(snapshot).string();
      listing.files.push_back(std::move(file));
    }
    entry.increment(failed);
  }
  std::sort(listing.files.begin(), listing.files.end(),
            [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  return listing;
}

}  // namespace

HubCache::HubCache(const HubSettings& settings, const HubName& name) : name_(name) {
  const std::string repository = fmt::format("models--{}--{}", name.owner, name.name);
  folder_ = settings.cache + "/" + repository;
  locks_ = settings.cache + "/.locks/" + repository;
}

std::string HubCache::blob_path(const HubFile& file) const {
  return folder_ + "/blobs/" + file.hash;
}
std::string HubCache::incomplete_path(const HubFile& file) const {
  return blob_path(file) + ".incomplete";
}
std::string HubCache::lock_path(const HubFile& file) const {
  return locks_ + "/" + file.hash + ".lock";
}
std::string HubCache::snapshot_path(const std::string& commit, const std::string& path) const {
  return folder_ + "/snapshots/" + commit + (path.empty() ? "" : "/" + path);
}

bool HubCache::has_blob(const HubFile& file) const {
  std::error_code failed;
  return fs::file_size(blob_path(file), failed) == file.bytes && !failed;
}

Result<void> HubCache::prepare(const HubFile& file) const {
  PARING_TRY_VOID(make_folders(fs::path(blob_path(file)).parent_path()));
  return make_folders(locks_);
}

Result<void> HubCache::link(const std::string& commit, const HubFile& file) const {
  const fs::path link = snapshot_path(commit, file.path);
  PARING_TRY_VOID(make_folders(link.parent_path()));
  std::string target;
  const auto depth = std::count(file.path.begin(), file.path.end(), '/');
  for (std::ptrdiff_t i = 0; i < depth + 2; ++i) target += "../";
  target += "blobs/" + file.hash;
  std::error_code failed;
  if (fs::read_symlink(link, failed) == target) return {};
  // A new link takes the place of an old one in one step.
  const std::string temporary = fmt::format("{}.tmp-{}", link.string(), ::getpid());
  fs::remove(temporary, failed);
  fs::create_symlink(target, temporary, failed);
  if (!failed) fs::rename(temporary, link, failed);
  if (failed) return io::system_error(failed.value(), "make the link", link.string());
  return {};
}

Result<void> HubCache::write_ref(const std::string& commit) const {
  if (name_.revision == commit) return {};
  const std::string path = folder_ + "/refs/" + name_.revision;
  PARING_TRY_VOID(make_folders(fs::path(path).parent_path()));
  return io::write_file(path, commit, io::Overwrite::kReplace);
}

std::optional<std::string> HubCache::read_ref() const {
  if (is_commit(name_.revision)) return name_.revision;
  auto commit = read_small_file(folder_ + "/refs/" + name_.revision, kRefBytesMax);
  if (!commit) return std::nullopt;
  while (!commit->empty() && (commit->back() == '\n' || commit->back() == ' ')) commit->pop_back();
  if (!is_commit(*commit)) return std::nullopt;
  return *commit;
}

std::optional<std::string> HubCache::find(HubContent content) const {
  const std::optional<std::string> commit = read_ref();
  if (!commit) return std::nullopt;
  const fs::path snapshot = snapshot_path(*commit, "");
  const auto selected = select_files(snapshot_listing(snapshot), name_, content);
  if (!selected) return std::nullopt;
  if (!selected->entry.empty()) return (snapshot / selected->entry).string();
  const bool is_adapter = selected->files.back().path == io::kPeftConfigName;
  if (!is_adapter && !has_all_weights(snapshot)) return std::nullopt;
  return snapshot.string();
}

}  // namespace paring::hub
