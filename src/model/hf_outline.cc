// SPDX-License-Identifier: Apache-2.0
#include "model/hf_outline.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/printable.h"
#include "model/arch/bert.h"
#include "model/architecture.h"
#include "model/hf_mapping.h"
#include "model/hf_translation.h"
#include "model/weights.h"

namespace paring::model {

namespace {

using Shape = std::vector<std::uint64_t>;  // rows first, as safetensors has them

constexpr std::string_view kLayerMark = "{}";

Result<DType> type_of(const io::Metadata& config) {
  const char* key = config.has("dtype") ? "dtype" : "torch_dtype";
  PARING_TRY(const std::string name, config.string_or(key, "float32"));
  if (name == "float32") return DType::kF32;
  if (name == "float16") return DType::kF16;
  if (name == "bfloat16") return DType::kBF16;
  return unsupported(fmt::format("{}: '{}' is '{}'", config.source(), key, io::printable(name)),
                     "float32, float16 and bfloat16 can be read");
}

// Biases that only some models of an architecture have.
struct OptionalBiases {
  bool attention = false;
};

Result<OptionalBiases> read_biases(const io::Metadata& config) {
  OptionalBiases biases;
  PARING_TRY(biases.attention, config.bool_or("attention_bias", false));
  PARING_TRY(const bool has_mlp, config.bool_or("mlp_bias", false));
  if (has_mlp) {
    return unsupported(
        fmt::format("{}: 'mlp_bias' is true, which is not supported", config.source()));
  }
  return biases;
}

// The shape of the tensor that a rule makes, by what follows "blk.N."; nothing when this model has
// no such tensor. Matrices are the weights' own business (matrix_slots).
std::optional<Shape> vector_shape(const BlockSpec& spec, const OptionalBiases& biases,
                                  std::string_view suffix) {
  if (suffix == "attn_norm.weight" || suffix == "ffn_norm.weight") return Shape{spec.width};
  if (suffix == "post_attention_norm.weight" || suffix == "post_ffw_norm.weight") {
    return spec.has_post_norms ? std::optional(Shape{spec.width}) : std::nullopt;
  }
  if (suffix == "ffn_gate_inp.weight") {
    return spec.experts ? std::optional(Shape{spec.experts->count, spec.width}) : std::nullopt;
  }
  if (suffix == "attn_q_norm.weight" || suffix == "attn_k_norm.weight") {
    return spec.has_head_norms ? std::optional(Shape{spec.head_width}) : std::nullopt;
  }
  if (!suffix.ends_with(".bias")) return std::nullopt;
  if (suffix == "attn_output.bias") {
    return biases.attention ? std::optional(Shape{spec.width}) : std::nullopt;
  }
  if (!biases.attention && !spec.has_qkv_biases) return std::nullopt;
  return Shape{suffix == "attn_q.bias" ? spec.query_width() : spec.kv_width()};
}

class Implied {
 public:
  Implied(const BlockSpec& spec, OptionalBiases biases, DType type, std::uint64_t dropped_positions,
          io::HfFolder& folder)
      : spec_(spec),
        biases_(biases),
        type_(type),
        dropped_positions_(dropped_positions),
        folder_(folder) {
    for (const MatrixSlot& slot : matrix_slots(spec)) {
      matrices_.emplace(slot.name, Shape{slot.rows, slot.cols});
    }
  }

  // The tensor of a rule, in every layer if it stands for one.
  void add(const HfTensorRule& rule) {
    const bool is_layered =
        std::string_view(rule.source).find(kLayerMark) != std::string_view::npos;
    for (std::size_t layer = 0; layer < (is_layered ? spec_.layers : 1); ++layer) {
      const std::string target = placed(rule.target, layer);
      std::optional<Shape> shape = shape_of(target);
      if (shape && rule.change == HfChange::kDropPositions) (*shape)[0] += dropped_positions_;
      const std::string name = placed(rule.source, layer);
      const bool is_of_experts = name.find(kLayerMark) != std::string::npos;
      if (shape && is_of_experts) {
        add_experts(name, *shape);
      } else if (shape) {
        add(name, *shape);
      }
    }
  }

 private:
  // The matrices of all experts, one below the other in `shape`, as the folder has them.
  void add_experts(const std::string& name, const Shape& shape) {
    const std::size_t experts = spec_.experts->count;
    for (std::size_t expert = 0; expert < experts; ++expert) {
      add(placed(name, expert), Shape{shape[0] / experts, shape[1]});
    }
  }

  // With the first "{}" of the pattern replaced.
  static std::string placed(std::string_view pattern, std::size_t layer) {
    std::string name(pattern);
    const std::size_t at = name.find(kLayerMark);
    if (at != std::string::npos) name.replace(at, kLayerMark.size(), std::to_string(layer));
    return name;
  }

  std::optional<Shape> shape_of(const std::string& target) const {
    if (spec_.encoder) return encoder_shape(target);
    if (target == "output_norm.weight") return Shape{spec_.width};
    if (const auto matrix = matrices_.find(target); matrix != matrices_.end()) {
      return matrix->second;
    }
    const std::size_t begin = target.find('.', std::string_view("blk.").size());
    if (!target.starts_with("blk.") || begin == std::string::npos) return std::nullopt;
    return vector_shape(spec_, biases_, std::string_view(target).substr(begin + 1));
  }

  // Every matrix has a bias; the embedding, whose rows are looked up, has none.
  std::optional<Shape> encoder_shape(const std::string& target) const {
    for (const EncoderTensor& tensor : encoder_tensors(spec_)) {
      if (tensor.name == target) return Shape{tensor.shape.rbegin(), tensor.shape.rend()};
    }
    const bool is_bias = target.ends_with(".bias");
    const std::string matrix_name = target.substr(0, target.rfind('.')) + ".weight";
    const auto matrix = matrices_.find(matrix_name);
    if (matrix == matrices_.end()) return std::nullopt;
    return is_bias ? Shape{matrix->second[0]} : matrix->second;
  }

  void add(std::string name, const Shape& shape) {
    io::HfTensor tensor;
    tensor.info.name = std::move(name);
    tensor.info.type = type_;
    tensor.info.type_name = io::safetensors_type_name(type_);
    tensor.info.shape = shape;
    tensor.info.bytes = dtype_info(type_).block_bytes;
    for (const std::uint64_t length : shape) tensor.info.bytes *= length;
    folder_.tensor_file_bytes += tensor.info.bytes;
    folder_.tensors.push_back(std::move(tensor));
  }

  const BlockSpec& spec_;
  OptionalBiases biases_;
  DType type_;
  std::uint64_t dropped_positions_;  // rows of a folder's table of positions that GGUF leaves out
  io::HfFolder& folder_;
  std::unordered_map<std::string, Shape> matrices_;  // by GGUF name
};

// What else only tensors tell (read_encoder_tensors).
Result<void> imply_encoder(const io::Metadata& config, const HfMapping& mapping, BlockSpec& spec) {
  EncoderSpec& encoder = *spec.encoder;
  const bool has_types =
      std::any_of(mapping.tensors.begin(), mapping.tensors.end(), [](const HfTensorRule& rule) {
        return std::string_view(rule.target) == "token_types.weight";
      });
  if (has_types) {
    PARING_TRY(const std::uint64_t types, config.u64_or("type_vocab_size", 2));
    if (types == 0 || types > kTokenTypesMax) {
      return corrupt(fmt::format("{}: 'type_vocab_size' is {}, it must be between 1 and {}",
                                 config.source(), types, kTokenTypesMax));
    }
    encoder.token_types = types;
  }
  encoder.labels = encoder.label_names.size();
  encoder.has_head_dense = encoder.labels != 0;
  return {};
}

}  // namespace

Result<void> imply_hf_tensors(io::HfFolder& folder) {
  PARING_TRY(const DType type, type_of(folder.config));
  PARING_TRY(const OptionalBiases biases, read_biases(folder.config));
  PARING_TRY(const io::ModelParts parts, translate_hf(folder));
  PARING_TRY(const std::string name, parts.metadata.get_string("general.architecture"));
  const auto all = architectures();
  PARING_TRY(const std::string model_type, parts.metadata.string_or(kModelTypeKey, ""));
  const auto found = std::find_if(all.begin(), all.end(), [&](const Architecture* each) {
    // Of those that share a name, the one of the folder's own type.
    const bool is_of_type = each->hf != nullptr && model_type == each->hf->model_type;
    const bool has_experts = parts.metadata.has(name + ".expert_count");
    const bool is_alike = each->hf != nullptr && each->hf->has_experts == has_experts;
    return name == each->name && (model_type.empty() ? is_alike : is_of_type);
  });
  PARING_CHECK(found != all.end() && (*found)->hf != nullptr, "a translated architecture is known");
  auto spec = (*found)->read(parts.metadata);
  if (!spec) return std::move(spec.error()).with_context(folder.config.source());
  PARING_TRY(const std::uint64_t vocabulary, folder.config.get_u64("vocab_size"));
  if (vocabulary == 0 || vocabulary > kVocabularyMax) {
    return corrupt(fmt::format("{}: 'vocab_size' is {}, it must be between 1 and {}",
                               folder.config.source(), vocabulary, kVocabularyMax));
  }
  spec->vocabulary = vocabulary;
  if (spec->encoder) {
    PARING_TRY_VOID(imply_encoder(folder.config, *(*found)->hf, *spec));
  } else {
    PARING_TRY(spec->tied_head,
               folder.config.bool_or("tie_word_embeddings", (*found)->hf->is_tied_by_default));
  }
  PARING_TRY(const std::uint64_t dropped, parts.metadata.u64_or(kPositionOffsetKey, 0));
  folder.files.push_back(folder.config.source());  // as messages call where tensors come from
  Implied implied(*spec, biases, type, dropped, folder);
  for (const HfTensorRule& rule : (*found)->hf->tensors) implied.add(rule);
  return {};
}

}  // namespace paring::model
