// SPDX-License-Identifier: Apache-2.0
// What a repository on the hub holds, and which of it makes a model. Stateless. Source: the hub's
// API, GET /api/models/OWNER/NAME/revision/REVISION?blobs=true.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/hub_name.h"

namespace paring::hub {

inline constexpr std::size_t kListingBytesMax = std::size_t{32} << 20;
inline constexpr std::size_t kListingFilesMax = 100'000;

struct HubFile {
  std::string path;  // relative and safe (is_safe_path)
  std::uint64_t bytes = 0;
  // The name of its content, 64 hexadecimal digits of SHA-256 for large files, 40 of git's SHA-1
  // of a blob for others.
  std::string hash;
};

struct HubListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

// `source` names the answer in errors. Corrupt: not such an answer, or unsafe paths in it.
Result<HubListing> parse_hub_listing(std::string_view json, const std::string& source);

// The files of a model or an adapter, weights first, the configuration last: a folder with
// config.json or adapter_config.json is complete.
struct HubSelection {
  std::vector<HubFile> files;
  std::string entry;  // path of the GGUF file (of its first part), empty for a folder
};

// What a name is asked for.
enum class HubContent : std::uint8_t {
  kModel,
  kAdapter,  // a LoRA adapter: PEFT's two files, or a GGUF file
  kAny,      // a model; where there is none, an adapter
};

// What `name.file` names: a file of the listing (all parts of a split GGUF), or the one GGUF file
// whose name carries it as a tag (Q4_K_M); without a file, the folder's safetensors and tokenizer,
// else its one GGUF file. Of an adapter PEFT's files take the place of the folder's. NotFound and
// InvalidArgument list what there is to choose.
Result<HubSelection> select_files(const HubListing& listing, const HubName& name,
                                  HubContent content = HubContent::kModel);

// The same for looking at a model by its headers (hub/remote_files.h), for which a config.json
// alone will do: then there are no files, and `entry` is empty.
Result<HubSelection> select_outline(const HubListing& listing, const HubName& name);

// Of MODEL-00001-of-00003.gguf: the parts' names; just the name itself when it is not of a split.
std::vector<std::string> split_parts(const std::string& path);

}  // namespace paring::hub
