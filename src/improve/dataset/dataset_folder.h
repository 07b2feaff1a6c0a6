// SPDX-License-Identifier: Apache-2.0
// Datasets on disk: a folder with a file of JSON lines for each part, sources.jsonl (which request
// each line is of) and manifest.json, which says how it was made and holds the hash of every file.
// A folder appears whole or not at all. Stateless.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "improve/dataset/build.h"
#include "io/atomic_file.h"

namespace paring::improve {

inline constexpr int kManifestFormat = 1;
inline constexpr std::size_t kManifestBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kDatasetFoldersMax = 10'000;

struct WrittenDataset {
  std::string version;        // 64 digits: the hash of its parts and sources
  bool is_unchanged = false;  // the folder held just this
};
// InvalidArgument: the folder exists with something else, and `overwrite` says to refuse, or it is
// no dataset, or holds other files. `filters`: what the user asked for, for the manifest.
Result<WrittenDataset> write_dataset(const Dataset& dataset,
                                     const std::map<std::string, std::string>& filters,
                                     const std::string& path, io::Overwrite overwrite);

struct DatasetPart {
  std::string name;
  std::string file;
  std::int64_t examples = 0;
  std::int64_t bytes = 0;
  std::string sha256;
};
struct DatasetManifest {
  std::string path;  // of the folder
  std::string version;
  std::string format;
  std::string prompts;
  double from_s = 0;  // of the oldest and the newest example
  double to_s = 0;
  std::vector<DatasetPart> parts;
  std::string text;  // all of it, as JSON
};
// NotFound: no such folder, or no manifest in it. Corrupt: it is damaged.
Result<DatasetManifest> read_manifest(const std::string& path);
// Corrupt, naming the file: one is missing or is not what the manifest says.
Result<void> check_dataset(const DatasetManifest& manifest);
// Those in the folders right below `path`, and `path` itself; by name. What is no dataset is
// passed over. Exhausted: more than kDatasetFoldersMax entries.
Result<std::vector<DatasetManifest>> list_datasets(const std::string& path);

}  // namespace paring::improve
