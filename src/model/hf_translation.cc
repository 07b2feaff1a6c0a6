// SPDX-License-Identifier: Apache-2.0
#include "model/hf_translation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "io/printable.h"
#include "model/arch/bert.h"
#include "model/architecture.h"
#include "model/experts.h"
#include "model/hf_mapping.h"
#include "model/hf_names.h"
#include "model/hf_pooling.h"
#include "model/hf_rope.h"

namespace paring::model {

namespace {

constexpr std::array<HfKeyRule, 9> kDecoderKeys = {{
    {"max_position_embeddings", "context_length", HfValue::kCount, true},
    {"hidden_size", "embedding_length", HfValue::kCount, true},
    {"num_hidden_layers", "block_count", HfValue::kCount, true},
    {"intermediate_size", "feed_forward_length", HfValue::kCount, true},
    {"num_attention_heads", "attention.head_count", HfValue::kCount, true},
    {"num_key_value_heads", "attention.head_count_kv", HfValue::kCount},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", HfValue::kReal, false, 1e-6},
    {"head_dim", "attention.key_length", HfValue::kCount},
    {"vocab_size", "vocab_size", HfValue::kCount},
}};

// Buffers that some folders keep beside the weights; they follow from hyper-parameters.
constexpr std::string_view kDerivedSuffixes[] = {".rotary_emb.inv_freq", "embeddings.position_ids"};

bool is_one_of(std::span<const char* const> names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const char* n) { return name == n; });
}

Result<const Architecture*> find_architecture(const io::Metadata& config) {
  std::string name;
  if (config.has("architectures")) {
    PARING_TRY(const auto classes, config.strings("architectures"));
    if (!classes.empty()) name = classes[0];
  }
  PARING_TRY(const std::string type, config.string_or("model_type", ""));
  std::string known;
  for (const Architecture* architecture : architectures()) {
    const HfMapping* mapping = architecture->hf;
    if (mapping == nullptr) continue;
    if (name.empty() ? type == mapping->model_type : is_one_of(mapping->classes, name)) {
      return architecture;
    }
    for (const char* each : mapping->classes)
      known += (known.empty() ? "" : ", ") + std::string(each);
  }
  return unsupported(
      fmt::format("{}: 'architectures' is '{}' (model_type '{}'), which is not known",
                  config.source(), io::printable(name), io::printable(type)),
      "known: " + known);
}

Result<void> put_keys(std::span<const HfKeyRule> rules, const io::Metadata& config,
                      const std::string& architecture, io::Metadata& out) {
  for (const HfKeyRule& rule : rules) {
    const std::string target = fmt::format("{}.{}", architecture, rule.target);
    const bool is_absent = !config.has(rule.source) && !rule.is_required;
    if (is_absent && rule.otherwise == 0) continue;
    if (rule.value == HfValue::kReal) {
      PARING_TRY(const double value, rule.is_required ? config.get_f64(rule.source)
                                                      : config.f64_or(rule.source, rule.otherwise));
      if (!std::isfinite(static_cast<float>(value))) {
        return corrupt(fmt::format("{}: '{}' is {:g}, beyond the range of an F32", config.source(),
                                   rule.source, value));
      }
      out.set(target, io::GgufValue::of_f32(static_cast<float>(value)));
      continue;
    }
    PARING_TRY(const std::uint64_t value, config.get_u64(rule.source));
    constexpr std::uint64_t kCountMax = 0x7fffffff;  // llama.cpp keeps counts in 32 bits
    if (value == 0 || value > kCountMax) {
      return corrupt(fmt::format("{}: '{}' is {}, it must be between 1 and {}", config.source(),
                                 rule.source, value, kCountMax));
    }
    out.set(target, io::GgufValue::of_u32(static_cast<std::uint32_t>(value)));
  }
  return {};
}

Result<void> check_supported(const io::Metadata& config, const HfMapping& mapping) {
  for (const auto& [key, value] : config.entries()) {
    if (!key.starts_with("quantization_config.")) continue;
    PARING_TRY(const std::string method,
               config.string_or("quantization_config.quant_method", "an unnamed method"));
    return unsupported(
        fmt::format("{}: the weights are quantized by {}", config.source(), io::printable(method)),
        "get the model in BF16, F16 or F32");
  }
  const char* key = mapping.activation_key;
  if (!config.has(key)) {
    key = config.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  }
  PARING_TRY(const std::string activation, config.string_or(key, mapping.activations[0]));
  if (is_one_of(mapping.activations, activation)) return {};
  return unsupported(fmt::format("{}: '{}' is '{}', this architecture is computed with '{}'",
                                 config.source(), key, io::printable(activation),
                                 mapping.activations[0]));
}

struct Counts {
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t experts = 0;
  std::size_t dropped_positions = 0;
  bool has_labels = false;  // the class of the folder has a classification head
};

// Names as the table of the architecture has them: without the prefix, norms as they are called
// today.
std::string usual_name(const std::string& name, const HfMapping& mapping) {
  const std::string_view prefix = mapping.prefix;
  std::string usual = name;
  if (!prefix.empty() && usual.starts_with(prefix)) usual.erase(0, prefix.size());
  if (!mapping.is_encoder) return usual;
  for (const auto& [old, now] : {std::pair(".LayerNorm.gamma", ".LayerNorm.weight"),
                                 std::pair(".LayerNorm.beta", ".LayerNorm.bias")}) {
    if (usual.ends_with(old))
      usual.replace(usual.size() - std::strlen(old), std::string::npos, now);
  }
  return usual;
}

class TensorTranslation {
 public:
  TensorTranslation(const io::HfFolder& folder, const HfMapping& mapping, Counts counts,
                    io::ModelParts& parts)
      : folder_(folder), mapping_(mapping), counts_(counts), parts_(parts) {
    for (std::size_t i = 0; i < mapping.tensors.size(); ++i) {
      rules_.emplace(mapping.tensors[i].source, i);
    }
  }

  Result<void> run() {
    if (folder_.tensors.empty()) return {};  // nothing but hyper-parameters is asked for
    PARING_TRY(const bool is_tied,
               folder_.config.bool_or("tie_word_embeddings", mapping_.is_tied_by_default));
    for (const io::HfTensor& tensor : folder_.tensors) {
      if (is_tied && tensor.info.name == "lm_head.weight") continue;
      PARING_TRY_VOID(add(tensor));
    }
    PARING_TRY_VOID(finish_stacks());
    const bool has_head = std::any_of(found_.begin(), found_.end(), [](const Found& each) {
      return each.info.name == "output.weight";
    });
    if (!mapping_.is_encoder && !is_tied && !has_head &&
        folder_.config.has("tie_word_embeddings")) {
      return corrupt(
          fmt::format("{}: 'tie_word_embeddings' is false, but there is no tensor "
                      "'lm_head.weight'",
                      folder_.config.source()));
    }
    std::sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      return std::tie(a.layer, a.rule) < std::tie(b.layer, b.rule);
    });
    for (Found& each : found_) {
      parts_.tensors.push_back(std::move(each.info));
      parts_.origins.push_back(std::move(each.origin));
    }
    return {};
  }

 private:
  struct Found {
    std::size_t layer;  // tensors outside of layers first
    std::size_t rule;
    io::TensorInfo info;
    io::TensorOrigin origin;
  };

  Result<void> add(const io::HfTensor& tensor) {
    const NumberedName name = split_numbers(usual_name(tensor.info.name, mapping_));
    const std::string& pattern = name.pattern;
    const std::optional<std::size_t>& layer = name.layer;
    const auto rule = rules_.find(pattern);
    const bool is_head =
        rule != rules_.end() && mapping_.tensors[rule->second].part == HfPart::kHead;
    if (is_head && !counts_.has_labels) return {};
    if (rule == rules_.end()) {
      for (const char* beginning : mapping_.ignored) {
        if (pattern.starts_with(beginning)) return {};
      }
      for (const std::string_view suffix : kDerivedSuffixes) {
        if (tensor.info.name.ends_with(suffix)) return {};
      }
      return unsupported(fmt::format("{}: tensor '{}' is not known for this architecture",
                                     file_of(tensor), io::printable(tensor.info.name)),
                         "leaving it out would change what the model computes");
    }
    if (layer && *layer >= counts_.layers) {
      return corrupt(fmt::format("{}: tensor '{}' is of layer {}, 'num_hidden_layers' is {}",
                                 file_of(tensor), tensor.info.name, *layer, counts_.layers));
    }
    const HfTensorRule& how = mapping_.tensors[rule->second];
    Found found{layer ? *layer + 1 : 0, rule->second, {}, {}};
    found.info.name = how.target;
    if (layer) found.info.name.replace(found.info.name.find("{}"), 2, std::to_string(*layer));
    PARING_TRY_VOID(place(tensor, found));
    PARING_TRY_VOID(change(tensor, how.change, found));
    if (name.expert) return stack(tensor, *name.expert, std::move(found));
    found_.push_back(std::move(found));
    return {};
  }

  // The matrices of the experts of one layer, by expert.
  struct Stack {
    Found first;  // what all have in common, and the place of one of them
    std::vector<std::optional<io::TensorPiece>> pieces;
  };

  Result<void> stack(const io::HfTensor& tensor, std::size_t expert, Found found) {
    const std::string who = fmt::format("{}: tensor '{}'", file_of(tensor), tensor.info.name);
    if (expert >= counts_.experts) {
      return corrupt(fmt::format("{} is of expert {}, the configuration has {}", who, expert,
                                 counts_.experts));
    }
    if (found.info.shape.size() != 2) return corrupt(who + " must have two dimensions");
    const io::TensorPiece piece{found.origin.map, found.origin.offset};
    Stack fresh{std::move(found), {}};
    fresh.pieces.resize(counts_.experts);
    const auto key = std::pair(fresh.first.layer, fresh.first.rule);
    const io::TensorInfo info = fresh.first.info;
    Stack& all = stacks_.try_emplace(key, std::move(fresh)).first->second;
    if (all.first.info.shape != info.shape || all.first.info.type != info.type) {
      return corrupt(who + " differs in shape or type from that of another expert");
    }
    all.pieces[expert] = piece;
    return {};
  }

  Result<void> finish_stacks() {
    for (auto& [key, all] : stacks_) {
      Found& found = all.first;
      for (std::size_t expert = 0; expert < all.pieces.size(); ++expert) {
        if (!all.pieces[expert]) {
          return corrupt(fmt::format("{}: of '{}' the matrix of expert {} is missing", folder_.path,
                                     found.info.name, expert),
                         "the folder is incomplete");
        }
        found.origin.pieces.push_back(*all.pieces[expert]);
      }
      found.info.shape.push_back(all.pieces.size());
      found.info.bytes *= all.pieces.size();
      found_.push_back(std::move(found));
    }
    return {};
  }

  Result<void> place(const io::HfTensor& tensor, Found& found) {
    const io::SafetensorsTensor& from = tensor.info;
    const std::string who = fmt::format("{}: tensor '{}'", file_of(tensor), from.name);
    if (!from.type) {
      return unsupported(
          fmt::format("{} is of type {}, F32, F16 and BF16 can be read", who, from.type_name),
          "get the model in one of these types");
    }
    if (from.shape.empty() || from.shape.size() > 2) {
      return corrupt(
          fmt::format("{} has {} dimensions, 1 or 2 are needed", who, from.shape.size()));
    }
    if (std::count(from.shape.begin(), from.shape.end(), std::uint64_t{0}) != 0) {
      return corrupt(who + " has a dimension of length 0");
    }
    found.info.shape.assign(from.shape.rbegin(), from.shape.rend());
    // llama.cpp computes with vectors in F32 only.
    const HfChange change = mapping_.tensors[found.rule].change;
    const bool is_widened = change == HfChange::kWiden || change == HfChange::kDropPositions;
    found.info.type = from.shape.size() == 1 || is_widened ? DType::kF32 : *from.type;
    PARING_TRY(const std::uint64_t row_bytes,
               dtype_row_bytes(found.info.type, found.info.columns()));
    found.info.bytes = row_bytes * found.info.rows();
    found.origin.map = tensor.file;
    found.origin.offset = from.offset;
    found.origin.stored = *from.type;
    return {};
  }

  Result<void> drop_positions(const io::HfTensor& tensor, Found& found) {
    const std::uint64_t dropped = counts_.dropped_positions;
    if (found.info.shape.size() != 2 || found.info.shape[1] <= dropped) {
      return corrupt(fmt::format("{}: tensor '{}' must be a table of more than {} rows",
                                 file_of(tensor), tensor.info.name, dropped));
    }
    PARING_TRY(const std::uint64_t stored_bytes,
               dtype_row_bytes(found.origin.stored, found.info.columns()));
    const std::uint64_t row_bytes = found.info.bytes / found.info.shape[1];
    found.info.shape[1] -= dropped;
    found.info.bytes -= dropped * row_bytes;
    found.origin.offset += dropped * stored_bytes;
    return {};
  }

  Result<void> change(const io::HfTensor& tensor, HfChange change, Found& found) {
    if (change == HfChange::kNone || change == HfChange::kWiden) return {};
    if (change == HfChange::kDropPositions) return drop_positions(tensor, found);
    if (change == HfChange::kPlusOne) {
      if (found.info.shape.size() != 1) {
        return corrupt(fmt::format("{}: tensor '{}' must have one dimension", file_of(tensor),
                                   tensor.info.name));
      }
      found.origin.added = 1;
      return {};
    }
    const std::size_t heads = change == HfChange::kPairQuery ? counts_.heads : counts_.kv_heads;
    if (tensor.info.shape[0] % (2 * heads) != 0) {
      return corrupt(
          fmt::format("{}: tensor '{}' has {} rows, not an even number for each of {} "
                      "heads",
                      file_of(tensor), tensor.info.name, tensor.info.shape[0], heads));
    }
    found.origin.paired_heads = heads;
    return {};
  }

  const std::string& file_of(const io::HfTensor& tensor) const {
    return folder_.files[tensor.file];
  }

  const io::HfFolder& folder_;
  const HfMapping& mapping_;
  Counts counts_;
  io::ModelParts& parts_;
  std::unordered_map<std::string_view, std::size_t> rules_;
  std::vector<Found> found_;
  std::map<std::pair<std::size_t, std::size_t>, Stack> stacks_;  // by layer and rule
};

// llama.cpp's general.file_type of the type that holds most values.
std::uint32_t file_type_of(const std::vector<io::TensorInfo>& tensors) {
  std::map<DType, std::uint64_t> values;
  for (const io::TensorInfo& tensor : tensors) values[tensor.type] += tensor.values();
  const auto most =
      std::max_element(values.begin(), values.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == values.end() || most->first == DType::kF32) return 0;
  return most->first == DType::kF16 ? 1 : 32;
}

void add_made_tensors(const HfRope& rope, io::ModelParts& parts) {
  for (const auto& [name, values] : rope.tensors) {
    io::TensorOrigin origin;
    origin.made.resize(values.size() * sizeof(float));
    std::memcpy(origin.made.data(), values.data(), origin.made.size());
    parts.tensors.push_back({name, DType::kF32, {values.size()}, 0, values.size() * sizeof(float)});
    parts.origins.push_back(std::move(origin));
  }
}

std::string folder_name(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(path, failed);
  return io::printable((failed ? std::filesystem::path(path) : whole).filename().string());
}

Result<std::size_t> head_width(const io::Metadata& config, const Counts& counts) {
  if (config.has("head_dim")) {
    PARING_TRY(const std::uint64_t width, config.get_u64("head_dim"));
    return static_cast<std::size_t>(width);
  }
  PARING_TRY(const std::uint64_t width, config.get_u64("hidden_size"));
  if (width % counts.heads != 0) {
    return corrupt(fmt::format("{}: 'hidden_size' {} is not a multiple of num_attention_heads {}",
                               config.source(), width, counts.heads));
  }
  return static_cast<std::size_t>(width / counts.heads);
}

Result<std::size_t> count_experts(const io::Metadata& metadata, const std::string& architecture) {
  const std::string key = architecture + ".expert_count";
  PARING_TRY(const std::uint64_t experts, metadata.u64_or(key, 0));
  if (experts <= kExpertsMax) return static_cast<std::size_t>(experts);
  return corrupt(fmt::format("{}: the number of experts is {}, the limit is {}", metadata.source(),
                             experts, kExpertsMax));
}

}  // namespace

std::span<const HfKeyRule> hf_decoder_keys() noexcept { return kDecoderKeys; }

Result<io::ModelParts> translate_hf(io::HfFolder& folder) {
  const io::Metadata& config = folder.config;
  PARING_TRY(const Architecture* architecture, find_architecture(config));
  const HfMapping& mapping = *architecture->hf;
  const std::string name = architecture->name;
  PARING_TRY_VOID(check_supported(config, mapping));

  io::ModelParts parts;
  parts.path = folder.path;
  io::Metadata& metadata = parts.metadata;
  metadata.set_source(folder.path);
  metadata.set("general.architecture", io::GgufValue::of_string(name));
  metadata.set("general.type", io::GgufValue::of_string("model"));
  metadata.set("general.name", io::GgufValue::of_string(folder_name(folder.path)));
  if (!mapping.is_encoder) PARING_TRY_VOID(put_keys(kDecoderKeys, config, name, metadata));
  PARING_TRY_VOID(put_keys(mapping.keys, config, name, metadata));
  Counts counts;
  PARING_TRY(counts.layers, metadata.get_u64(name + ".block_count"));
  PARING_TRY(counts.heads, metadata.get_u64(name + ".attention.head_count"));
  PARING_TRY(counts.kv_heads, metadata.u64_or(name + ".attention.head_count_kv", counts.heads));
  HfRope rope;
  if (mapping.is_encoder) {
    if (mapping.finish != nullptr) PARING_TRY_VOID(mapping.finish(config, metadata));
    PARING_TRY(counts.dropped_positions, metadata.u64_or(kPositionOffsetKey, 0));
    counts.has_labels = metadata.has(name + ".classifier.output_labels");
    PARING_TRY_VOID(put_pooling(folder, name, metadata));
  } else {
    PARING_TRY(const std::size_t width, head_width(config, counts));
    if (const io::GgufValue* key_width = metadata.find(name + ".attention.key_length")) {
      metadata.set(name + ".attention.value_length", io::GgufValue(*key_width));
    }
    PARING_TRY(rope, translate_hf_rope(config, name, width, metadata));
    if (mapping.finish != nullptr) PARING_TRY_VOID(mapping.finish(config, metadata));
    PARING_TRY(counts.experts, count_experts(metadata, name));
  }

  PARING_TRY_VOID(TensorTranslation(folder, mapping, counts, parts).run());
  add_made_tensors(rope, parts);
  metadata.set("general.file_type", io::GgufValue::of_u32(file_type_of(parts.tensors)));
  parts.layout = fmt::format("Hugging Face folder, {} safetensors file{}", folder.files.size(),
                             folder.files.size() == 1 ? "" : "s");
  parts.has_values = folder.has_values;
  parts.file_bytes = folder.tensor_file_bytes;
  parts.maps = std::move(folder.maps);
  return parts;
}

}  // namespace paring::model
