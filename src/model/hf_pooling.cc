// SPDX-License-Identifier: Apache-2.0
#include "model/hf_pooling.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "io/json_object.h"
#include "io/printable.h"
#include "model/arch/bert.h"
#include "model/encoder_spec.h"

namespace paring::model {

namespace {

struct Mode {
  const char* key;   // a flag of 1_Pooling/config.json
  const char* name;  // its "pooling_mode", which newer versions write
  Pooling pooling;
};
constexpr Mode kModes[] = {
    {"pooling_mode_mean_tokens", "mean", Pooling::kMean},
    {"pooling_mode_cls_token", "cls", Pooling::kFirst},
    {"pooling_mode_lasttoken", "lasttoken", Pooling::kLast},
};

Result<std::optional<Pooling>> read_mode(const io::Metadata& config) {
  if (config.size() == 0) return std::optional<Pooling>();
  PARING_TRY(const std::string name, config.string_or("pooling_mode", ""));
  std::optional<Pooling> found;
  for (const Mode& mode : kModes) {
    if (name == mode.name) found = mode.pooling;
  }
  if (!name.empty() && !found) {
    return unsupported(
        fmt::format("{}: 'pooling_mode' is '{}'", config.source(), io::printable(name)),
        "mean, cls and lasttoken are computed");
  }
  for (const auto& [key, value] : config.entries()) {
    if (!key.starts_with("pooling_mode_") || value.type != io::GgufValueType::kBool) continue;
    PARING_TRY(const bool is_set, config.get_bool(key));
    if (!is_set) continue;
    const Mode* known = nullptr;
    for (const Mode& mode : kModes) {
      if (key == mode.key) known = &mode;
    }
    if (known == nullptr || (found && *found != known->pooling)) {
      return unsupported(fmt::format("{}: '{}' is true{}", config.source(), io::printable(key),
                                     known == nullptr ? "" : " beside another kind of pooling"),
                         "one of mean, first token and last token is computed");
    }
    found = known->pooling;
  }
  return found;
}

// Whether the modules end with one that divides by the length. Unsupported: a module that changes
// vectors otherwise.
Result<bool> read_modules(const io::Metadata& modules) {
  bool is_normalized = false;
  for (const auto& [key, value] : modules.entries()) {
    if (!key.starts_with("modules.") || !key.ends_with(".type")) continue;
    PARING_TRY(const std::string type, modules.get_string(key));
    const std::string name = type.substr(type.rfind('.') + 1);
    if (name == "Normalize") {
      is_normalized = true;
    } else if (name != "Transformer" && name != "Pooling") {
      return unsupported(fmt::format("{}: a module of type '{}' is not computed", modules.source(),
                                     io::printable(type)),
                         "Transformer, Pooling and Normalize are");
    }
  }
  return is_normalized;
}

}  // namespace

Result<void> put_pooling(const io::HfFolder& folder, const std::string& architecture,
                         io::Metadata& out) {
  const std::string key = architecture + ".pooling_type";
  PARING_TRY(const std::optional<Pooling> mode, read_mode(folder.pooling));
  // sentence-transformers takes the mean where nothing is said; other programs that read the GGUF
  // file would take nothing.
  if (!out.has(key)) {
    const Pooling pooling = mode.value_or(Pooling::kMean);
    out.set(key, io::GgufValue::of_u32(static_cast<std::uint32_t>(pooling)));
  }
  if (folder.modules.size() == 0) return {};
  PARING_TRY(const bool is_normalized, read_modules(folder.modules));
  out.set(kNormalizeKey, io::GgufValue::of_bool(is_normalized));
  return {};
}

Result<PoolingFiles> export_pooling(const io::Metadata& metadata, const std::string& architecture) {
  const std::string key = architecture + ".pooling_type";
  PoolingFiles files;
  if (!metadata.has(key)) return files;
  PARING_TRY(const std::uint64_t pooling, metadata.get_u64(key));
  PARING_TRY(const bool is_normalized, metadata.bool_or(kNormalizeKey, true));
  PARING_TRY(const std::uint64_t width, metadata.get_u64(architecture + ".embedding_length"));
  const Mode* known = nullptr;
  for (const Mode& mode : kModes) {
    if (pooling == static_cast<std::uint64_t>(mode.pooling)) known = &mode;
  }
  if (known == nullptr) return files;
  io::Metadata config;
  config.set("word_embedding_dimension", io::GgufValue::of_u64(width));
  for (const Mode& mode : kModes) config.set(mode.key, io::GgufValue::of_bool(&mode == known));
  files.pooling = io::json_object_text(config);
  constexpr std::string_view kType = "sentence_transformers.models.";
  const auto module = [&](int index, std::string_view path, std::string_view name) {
    return fmt::format(R"({{"idx": {}, "name": "{}", "path": "{}", "type": "{}{}"}})", index, index,
                       path, kType, name);
  };
  files.modules =
      "[\n  " + module(0, "", "Transformer") + ",\n  " + module(1, io::kHfPoolingFolder, "Pooling");
  if (is_normalized) files.modules += ",\n  " + module(2, "2_Normalize", "Normalize");
  files.modules += "\n]\n";
  return files;
}

}  // namespace paring::model
