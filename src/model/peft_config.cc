// SPDX-License-Identifier: Apache-2.0
#include "model/peft_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <variant>

#include "io/printable.h"
#include "model/lora.h"

namespace paring::model {

namespace {

constexpr const char* kMergeHint =
    "merge the adapter into its model (PEFT: merge_and_unload()) and use the merged model";

// Fields that are read below, and fields that say where an adapter comes from or how it was
// trained: of these no value changes what it computes. fan_in_fan_out is among them because PEFT
// itself clears it for linear layers, which all matrices here are.
constexpr std::string_view kKnownFields[] = {"peft_type",
                                             "r",
                                             "lora_alpha",
                                             "use_rslora",
                                             "rank_pattern",
                                             "alpha_pattern",
                                             "target_modules",
                                             "exclude_modules",
                                             "layers_to_transform",
                                             "bias",
                                             "init_lora_weights",
                                             "fan_in_fan_out",
                                             "auto_mapping",
                                             "base_model_name_or_path",
                                             "revision",
                                             "peft_version",
                                             "task_type",
                                             "inference_mode",
                                             "lora_dropout",
                                             "layers_pattern",
                                             "loftq_config",
                                             "eva_config",
                                             "corda_config",
                                             "lora_ga_config",
                                             "qalora_group_size",
                                             "megatron_core",
                                             "ensure_weight_tying"};

// Ways to begin training that leave the weights of the model as they are. The others (PiSSA, OLoRA,
// CorDA, LoftQ) take the beginning out of them, and an adapter fits what is left.
constexpr std::string_view kPlainBeginnings[] = {"gaussian", "eva", "orthogonal"};

constexpr std::uint64_t kRankDefault = 8;  // PEFT's own, where the field is absent
constexpr double kAlphaDefault = 8;

bool is_known(std::string_view field) {
  return std::find(std::begin(kKnownFields), std::end(kKnownFields), field) !=
         std::end(kKnownFields);
}

std::string shown(const io::GgufValue& value) {
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    return "'" + io::printable(*text) + "'";
  }
  if (const auto* list = std::get_if<io::GgufArray>(&value.data)) {
    return fmt::format("a list of {}", list->size());
  }
  if (const auto* real = std::get_if<double>(&value.data)) return fmt::format("{}", *real);
  if (const auto* whole = std::get_if<std::int64_t>(&value.data)) return std::to_string(*whole);
  const std::uint64_t number = std::get<std::uint64_t>(value.data);
  if (value.type == io::GgufValueType::kBool) return number != 0 ? "true" : "false";
  return std::to_string(number);
}

// Whether a field that is usually left alone says something.
bool is_set(const io::GgufValue& value) {
  if (const auto* list = std::get_if<io::GgufArray>(&value.data)) return list->size() > 0;
  if (const auto* text = std::get_if<std::string>(&value.data)) return !text->empty();
  return value.type != io::GgufValueType::kBool || std::get<std::uint64_t>(value.data) != 0;
}

Error not_computed(const io::Metadata& config, std::string_view key, const io::GgufValue& value) {
  return unsupported(fmt::format("{}: '{}' is {}, which is not computed", config.source(),
                                 io::printable(key), shown(value)),
                     kMergeHint);
}

Result<void> check_fields(const io::Metadata& config) {
  PARING_TRY(const std::string type, config.get_string("peft_type"));
  if (type != "LORA") {
    return unsupported(fmt::format("{}: 'peft_type' is '{}', 'LORA' is computed", config.source(),
                                   io::printable(type)),
                       kMergeHint);
  }
  for (const auto& [key, value] : config.entries()) {
    if (!is_known(std::string_view(key).substr(0, key.find('.'))) && is_set(value)) {
      return not_computed(config, key, value);
    }
  }
  PARING_TRY(const std::string bias, config.string_or("bias", "none"));
  if (bias != "none") return not_computed(config, "bias", *config.find("bias"));
  if (const io::GgufValue* beginning = config.find("init_lora_weights")) {
    const auto* name = std::get_if<std::string>(&beginning->data);
    const bool is_plain = name == nullptr
                              ? beginning->type == io::GgufValueType::kBool
                              : std::find(std::begin(kPlainBeginnings), std::end(kPlainBeginnings),
                                          *name) != std::end(kPlainBeginnings);
    if (!is_plain) return not_computed(config, "init_lora_weights", *beginning);
  }
  return {};
}

Result<void> check_rank(const io::Metadata& config, std::string_view key, std::uint64_t rank) {
  if (rank > 0 && rank <= kLoraRankMax) return {};
  return corrupt(fmt::format("{}: '{}' is {}, it must be between 1 and {}", config.source(),
                             io::printable(key), rank, kLoraRankMax));
}

Result<void> check_alpha(const io::Metadata& config, std::string_view key, double alpha) {
  if (std::isfinite(static_cast<float>(alpha))) return {};
  return corrupt(
      fmt::format("{}: '{}' is beyond the range of an F32", config.source(), io::printable(key)));
}

// PEFT takes the keys of its patterns as regular expressions. Names of modules are such, too, and
// the only ones that are read; a dot in them is any character there.
bool is_plain_pattern(std::string_view pattern) {
  if (pattern.starts_with('^')) pattern.remove_prefix(1);
  return std::all_of(pattern.begin(), pattern.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// The whole module, or its end from a dot on; with '^' the whole.
bool matches(std::string_view pattern, std::string_view module) {
  const bool is_whole = pattern.starts_with('^');
  if (is_whole) pattern.remove_prefix(1);
  if (pattern.size() > module.size()) return false;
  const std::size_t begin = module.size() - pattern.size();
  if (begin > 0 && (is_whole || module[begin - 1] != '.')) return false;
  return std::equal(pattern.begin(), pattern.end(),
                    module.begin() + static_cast<std::ptrdiff_t>(begin),
                    [](char wanted, char found) { return wanted == '.' || wanted == found; });
}

bool is_named(const std::vector<std::string>& names, std::string_view module) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return module == name || module.ends_with("." + name);
  });
}

// Pattern and key in `config` of each entry of the dictionary `field`, in its order.
std::vector<std::pair<std::string, std::string>> patterns_of(const io::Metadata& config,
                                                             std::string_view field) {
  const std::string beginning = std::string(field) + ".";
  std::vector<std::pair<std::string, std::string>> patterns;
  for (const auto& [key, value] : config.entries()) {
    if (key.starts_with(beginning)) patterns.emplace_back(key.substr(beginning.size()), key);
  }
  return patterns;
}

// A list of names; empty when the field is absent or a single text.
Result<std::vector<std::string>> read_names(const io::Metadata& config, const char* field) {
  const io::GgufValue* value = config.find(field);
  if (value == nullptr || std::holds_alternative<std::string>(value->data)) {
    return std::vector<std::string>();
  }
  PARING_TRY(const auto names, config.strings(field));
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace

Result<PeftConfig> PeftConfig::read(const io::Metadata& config) {
  PARING_TRY_VOID(check_fields(config));
  PeftConfig out;
  out.source_ = config.source();
  PARING_TRY(out.rank_, config.u64_or("r", kRankDefault));
  PARING_TRY_VOID(check_rank(config, "r", out.rank_));
  PARING_TRY(out.alpha_, config.f64_or("lora_alpha", kAlphaDefault));
  PARING_TRY_VOID(check_alpha(config, "lora_alpha", out.alpha_));
  PARING_TRY(out.is_stabilized_, config.bool_or("use_rslora", false));
  for (const auto& [pattern, key] : patterns_of(config, "rank_pattern")) {
    PARING_TRY(const std::uint64_t rank, config.get_u64(key));
    PARING_TRY_VOID(check_rank(config, key, rank));
    out.has_known_ranks_ = out.has_known_ranks_ && is_plain_pattern(pattern);
    out.rank_patterns_.emplace_back(pattern, rank);
  }
  for (const auto& [pattern, key] : patterns_of(config, "alpha_pattern")) {
    PARING_TRY(const double alpha, config.get_f64(key));
    PARING_TRY_VOID(check_alpha(config, key, alpha));
    if (!is_plain_pattern(pattern)) {
      return unsupported(fmt::format("{}: '{}' is {}, and its key is a regular expression",
                                     config.source(), io::printable(key), alpha),
                         "name the modules");
    }
    out.alpha_patterns_.emplace_back(pattern, alpha);
  }
  PARING_TRY(out.targets_, read_names(config, "target_modules"));
  PARING_TRY(out.exceptions_, read_names(config, "exclude_modules"));
  if (const io::GgufValue* layers = config.find("layers_to_transform")) {
    if (std::holds_alternative<io::GgufArray>(layers->data)) {
      PARING_TRY(out.layers_, config.i32_array("layers_to_transform"));
    } else {
      PARING_TRY(const std::int64_t layer, config.get_i64("layers_to_transform"));
      out.layers_ = {static_cast<std::int32_t>(std::clamp<std::int64_t>(layer, -1, INT32_MAX))};
    }
  }
  return out;
}

Result<float> PeftConfig::scale(std::string_view module, std::uint64_t rank) const {
  const auto find = [&](const auto& patterns, auto otherwise) {
    for (const auto& [pattern, value] : patterns) {
      if (matches(pattern, module)) return value;
    }
    return otherwise;
  };
  if (has_known_ranks_) {
    const std::uint64_t said = find(rank_patterns_, rank_);
    if (said != rank) {
      return corrupt(fmt::format("{}: the rank of '{}' is {}, its tensors have {}", source_,
                                 io::printable(module), said, rank),
                     "the two files are of different adapters; fetch the folder again");
    }
  }
  const double divisor =
      is_stabilized_ ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank);
  return static_cast<float>(find(alpha_patterns_, alpha_) / divisor);
}

bool PeftConfig::is_target(std::string_view module, std::optional<std::size_t> layer) const {
  if (!targets_.empty() && !is_named(targets_, module)) return false;
  if (is_named(exceptions_, module)) return false;
  if (layers_.empty() || !layer) return true;
  return std::find(layers_.begin(), layers_.end(), static_cast<std::int32_t>(*layer)) !=
         layers_.end();
}

}  // namespace paring::model
