// SPDX-License-Identifier: Apache-2.0
// How a Hugging Face folder of one architecture is read as GGUF, as tables: hyper-parameters of
// config.json, names of tensors, and what is done to their values. Each table lies in the file of
// its architecture (arch/). hf_translation.h reads folders by them, hf_export.h writes folders by
// them, backwards. Plain data.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "io/metadata.h"

namespace paring::model {

// What happens to a tensor on the way from the folder to GGUF; vectors become F32 in any case.
enum class HfChange : std::uint8_t {
  kNone,
  kPairQuery,  // rows of query heads go from rotated halves to rotated pairs
  kPairKey,    // the same for key heads
  kPlusOne,    // 1 is added: the folder keeps norm weights as differences to 1
  // Becomes F32: tables whose rows llama.cpp adds to F32, and routers of experts.
  kWiden,
  // As kWiden, and the first rows of a table of positions are left out: ids of padding and before
  // it, which no text has (as many as kPositionOffsetKey in arch/bert.h says).
  kDropPositions,
};

// What a tensor belongs to.
enum class HfPart : std::uint8_t {
  kModel,
  kHead,  // of a classifier; left out where the class of the folder is none
};

struct HfTensorRule {
  // "{}" stands for the layer, a second one for the expert: the matrices of all experts become one
  // tensor of three dimensions.
  const char* source;
  const char* target;
  HfChange change = HfChange::kNone;
  HfPart part = HfPart::kModel;
};

enum class HfValue : std::uint8_t { kCount, kReal };

struct HfKeyRule {
  const char* source;  // key of config.json
  const char* target;  // key after "<architecture>."
  HfValue value;
  bool is_required = false;
  double otherwise = 0;  // not 0: what transformers takes when the key is absent
};

struct HfMapping {
  std::span<const char* const> classes;      // of "architectures" in config.json; [0] is exported
  const char* model_type;                    // of "model_type"
  const char* activation_key;                // "hidden_act" or "hidden_activation"
  std::span<const char* const> activations;  // "hidden_activation" or "hidden_act"; [0] is exported
  std::span<const HfKeyRule> keys;           // of decoders: beside hf_decoder_keys()
  std::span<const HfTensorRule> tensors;
  bool is_tied_by_default = false;  // "tie_word_embeddings" when absent
  // Checks and keys that no table can say: `config` is config.json, `out` the metadata made so far.
  // Null: none.
  Result<void> (*finish)(const io::Metadata& config, io::Metadata& out) = nullptr;
  // The way back: keys of config.json beside the tables'. Null: none.
  Result<void> (*finish_export)(const io::Metadata& metadata, io::Metadata& config) = nullptr;
  bool is_encoder = false;
  bool has_experts = false;  // BlockSpec::experts is set
  // Stands in front of all names but those of heads when the folder's class has a head; "": never.
  const char* prefix = "";
  // Beginnings of names that are left out, as nothing that is computed depends on them.
  std::span<const char* const> ignored{};
};

// Keys that all decoders share.
std::span<const HfKeyRule> hf_decoder_keys() noexcept;

}  // namespace paring::model
