// SPDX-License-Identifier: Apache-2.0
#include "model/peft_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "io/printable.h"
#include "model/architecture.h"
#include "model/hf_mapping.h"
#include "model/hf_names.h"
#include "model/peft_config.h"

namespace paring::model {

namespace {

// PEFT's wrapper around the model, in front of each name.
constexpr std::string_view kWrapper = "base_model.model.";
constexpr std::string_view kDownEnd = ".lora_A.weight";
constexpr std::string_view kUpEnd = ".lora_B.weight";

// How the matrix of a module is called in GGUF, and what is done to its rows.
struct Place {
  std::string name;
  HfChange change;
  std::optional<std::size_t> layer;
};

class Translation {
 public:
  Translation(const io::PeftFolder& folder, const BlockSpec& spec, const PeftConfig& config)
      : folder_(folder), spec_(spec), config_(config) {
    for (const Architecture* each : architectures()) {
      if (each->hf == nullptr || spec.architecture != each->name) continue;
      for (const HfTensorRule& rule : each->hf->tensors) rules_.emplace(rule.source, &rule);
    }
  }

  Result<PeftAdapter> run() {
    if (rules_.empty()) {
      return unsupported(fmt::format("{}: names of modules of architecture '{}' are not known",
                                     folder_.path, io::printable(spec_.architecture)),
                         "convert the adapter with llama.cpp's convert_lora_to_gguf.py");
    }
    PeftAdapter adapter;
    for (const io::SafetensorsTensor& tensor : folder_.header.tensors) {
      PARING_TRY_VOID(add(tensor, adapter));
    }
    adapter.parts.path = folder_.path;
    adapter.parts.layout = "PEFT folder";
    return adapter;
  }

 private:
  std::string who(const io::SafetensorsTensor& tensor) const {
    return fmt::format("{}: tensor '{}'", folder_.path, io::printable(tensor.name));
  }

  Result<void> add(const io::SafetensorsTensor& tensor, PeftAdapter& adapter) {
    const std::string_view name = tensor.name;
    const bool is_down = name.ends_with(kDownEnd);
    if (!name.starts_with(kWrapper) || (!is_down && !name.ends_with(kUpEnd))) {
      return unsupported(who(tensor) + " is neither A nor B of a LoRA adapter",
                         "only names base_model.model.MODULE.lora_A.weight and .lora_B.weight are "
                         "computed");
    }
    const std::string module(
        name.substr(kWrapper.size(), name.size() - kWrapper.size() - kDownEnd.size()));
    PARING_TRY(const Place place, find_place(tensor, module));
    if (!config_.is_target(module, place.layer)) {
      return corrupt(
          fmt::format("{} changes a module that the configuration leaves alone", who(tensor)),
          "'target_modules', 'exclude_modules' and 'layers_to_transform' of "
          "adapter_config.json are of another adapter");
    }
    io::TensorInfo info;
    io::TensorOrigin origin;
    PARING_TRY_VOID(place_values(tensor, info, origin));
    info.name = place.name + (is_down ? ".lora_a" : ".lora_b");
    if (is_down) {
      PARING_TRY(const float scale, config_.scale(module, info.rows()));
      adapter.scales.emplace(place.name, scale);
    } else {
      PARING_TRY(origin.paired_heads, paired_heads(tensor, place.change));
    }
    const auto& known = adapter.parts.tensors;
    if (std::any_of(known.begin(), known.end(),
                    [&](const io::TensorInfo& each) { return each.name == info.name; })) {
      return corrupt(who(tensor) + " is there twice");
    }
    adapter.parts.tensors.push_back(std::move(info));
    adapter.parts.origins.push_back(std::move(origin));
    return {};
  }

  Result<Place> find_place(const io::SafetensorsTensor& tensor, const std::string& module) const {
    const NumberedName name = split_numbers(module + ".weight");
    const auto rule = rules_.find(name.pattern);
    if (rule == rules_.end()) {
      return corrupt(fmt::format("{} changes '{}', which architecture '{}' does not have",
                                 who(tensor), io::printable(module), spec_.architecture),
                     "the adapter is of another model");
    }
    if (name.expert) {
      return unsupported(who(tensor) + " changes an expert",
                         "adapters of attention and feed-forward matrices are computed");
    }
    if (name.layer && *name.layer >= spec_.layers) {
      return corrupt(fmt::format("{} is of layer {}, the model has {}", who(tensor), *name.layer,
                                 spec_.layers),
                     "the adapter is of another model");
    }
    Place place{rule->second->target, rule->second->change, name.layer};
    if (name.layer) place.name.replace(place.name.find("{}"), 2, std::to_string(*name.layer));
    return place;
  }

  Result<void> place_values(const io::SafetensorsTensor& tensor, io::TensorInfo& info,
                            io::TensorOrigin& origin) const {
    if (!tensor.type) {
      return unsupported(fmt::format("{} is of type {}, F32, F16 and BF16 can be read", who(tensor),
                                     tensor.type_name),
                         "save the adapter in one of these types");
    }
    if (tensor.shape.size() != 2 || tensor.shape[0] == 0 || tensor.shape[1] == 0) {
      return corrupt(who(tensor) + " must be a matrix, and not an empty one");
    }
    info.type = *tensor.type;
    info.shape.assign(tensor.shape.rbegin(), tensor.shape.rend());
    info.bytes = tensor.bytes;
    origin.stored = *tensor.type;
    origin.offset = tensor.offset;
    return {};
  }

  // Of B: its rows are outputs, and those of queries and keys lie in the order of the model's.
  Result<std::uint64_t> paired_heads(const io::SafetensorsTensor& tensor, HfChange change) const {
    if (change != HfChange::kPairQuery && change != HfChange::kPairKey) return std::uint64_t{0};
    const std::uint64_t heads = change == HfChange::kPairQuery ? spec_.heads : spec_.kv_heads;
    if (tensor.shape[0] == heads * spec_.head_width) return heads;
    return corrupt(fmt::format("{} has {} rows, the model's matrix {}", who(tensor),
                               tensor.shape[0], heads * spec_.head_width),
                   "the adapter is of another model");
  }

  const io::PeftFolder& folder_;
  const BlockSpec& spec_;
  const PeftConfig& config_;
  std::map<std::string_view, const HfTensorRule*> rules_;
};

}  // namespace

Result<PeftAdapter> translate_peft(io::PeftFolder&& folder, const BlockSpec& spec) {
  PARING_TRY(const PeftConfig config, PeftConfig::read(folder.config));
  PARING_TRY(PeftAdapter adapter, Translation(folder, spec, config).run());
  adapter.parts.file_bytes = folder.map.bytes().size();
  adapter.parts.maps.push_back(std::move(folder.map));
  return adapter;
}

}  // namespace paring::model
