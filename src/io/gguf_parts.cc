// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_parts.h"

#include <fmt/format.h>

#include <string_view>
#include <unordered_set>
#include <utility>

#include "io/gguf_split.h"
#include "io/printable.h"

namespace paring::io {

namespace {

using OpenPart = std::function<Result<GgufPart>(const std::string&)>;

void add_file(const std::string& path, GgufPart&& part, GgufModel& model) {
  ModelParts& parts = model.parts;
  parts.file_bytes += part.file_bytes;
  for (TensorInfo& tensor : part.header.tensors) {
    parts.origins.push_back(
        {.map = parts.maps.size(), .offset = tensor.offset, .stored = tensor.type});
    parts.tensors.push_back(std::move(tensor));
  }
  parts.maps.push_back(std::move(part.map));
  model.files.push_back(path);
}

Result<std::uint64_t> split_count(const GgufHeader& header, const std::string& path) {
  PARING_TRY(const std::uint64_t count, header.metadata.u64_or(kSplitCountKey, 1));
  if (count > kGgufSplitsMax) {
    return corrupt(fmt::format("{}: '{}' is {}, the limit is {}", path, kSplitCountKey, count,
                               kGgufSplitsMax));
  }
  return count;
}

// File `number` (from 0) of a model in `count` files.
Result<GgufPart> open_part(const std::string& path, std::uint64_t number, std::uint64_t count,
                           const OpenPart& open) {
  auto part = open(path);
  if (!part) {
    return std::move(part.error())
        .with_context(fmt::format("file {} of {} of a split model", number + 1, count));
  }
  PARING_TRY(const std::uint64_t of, split_count(part->header, path));
  PARING_TRY(const std::uint64_t found, part->header.metadata.get_u64(kSplitNumberKey));
  if (found != number || of != count) {
    return corrupt(
        fmt::format("{}: says it is file {} of {} ({}, {}), its name says {} of {}", path,
                    found + 1, of, kSplitNumberKey, kSplitCountKey, number + 1, count),
        "the file was renamed or belongs to another model");
  }
  return part;
}

Result<void> check_names(const ModelParts& parts, std::uint64_t tensors) {
  if (parts.tensors.size() != tensors) {
    return corrupt(fmt::format("{}: '{}' is {}, the files hold {} tensors", parts.path,
                               kSplitTensorsKey, tensors, parts.tensors.size()),
                   "the files belong to different models; fetch them again");
  }
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : parts.tensors) {
    if (names.insert(tensor.name).second) continue;
    return corrupt(
        fmt::format("{}: tensor '{}' is in two of the files", parts.path, printable(tensor.name)));
  }
  return {};
}

// Whatever part `path` names, the model is read from the first on.
Result<void> open_parts(const std::string& path, std::uint64_t count, const OpenPart& open,
                        GgufModel& model) {
  ModelParts& parts = model.parts;
  const auto prefix = split_prefix(path, count);
  if (!prefix) {
    return invalid_argument(
        fmt::format("'{}' is one of {} files of a split model, whose names must end in "
                    "-00001-of-{:05}.gguf",
                    printable(path), count, count),
        "give the files their names back");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string file = split_path(*prefix, i + 1, count);
    PARING_TRY(GgufPart part, open_part(file, i, count, open));
    if (i == 0) parts.metadata = std::move(part.header.metadata);
    add_file(file, std::move(part), model);
  }
  PARING_TRY(const std::uint64_t tensors, parts.metadata.get_u64(kSplitTensorsKey));
  PARING_TRY_VOID(check_names(parts, tensors));
  for (const char* key : {kSplitNumberKey, kSplitCountKey, kSplitTensorsKey}) {
    parts.metadata.erase(key);
  }
  return {};
}

}  // namespace

Result<GgufModel> open_gguf_model(const std::string& path, const OpenPart& open) {
  PARING_TRY(GgufPart part, open(path));
  PARING_TRY(const std::uint64_t count, split_count(part.header, path));
  GgufModel model;
  model.parts.path = path;
  model.parts.layout = fmt::format("GGUF v{}", part.header.version);
  if (count > 1) {
    model.parts.layout += fmt::format(" in {} files", count);
    PARING_TRY_VOID(open_parts(path, count, open, model));
  } else {
    model.parts.metadata = std::move(part.header.metadata);
    add_file(path, std::move(part), model);
  }
  return model;
}

}  // namespace paring::io
