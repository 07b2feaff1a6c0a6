// SPDX-License-Identifier: Apache-2.0
// Folders of RoBERTa (arXiv:1907.11692) and XLM-RoBERTa (arXiv:1911.02116): BERT's block, positions
// counted from behind the padding token's id, so that the first rows of the table stand for no
// position. In GGUF they are "bert", and the table begins with the first position.
#include <fmt/format.h>

#include "model/arch/arch.h"
#include "model/arch/bert.h"

namespace paring::model {

namespace {

Result<void> finish(const io::Metadata& config, io::Metadata& out, const char* model_type) {
  PARING_TRY_VOID(finish_bert(config, out));
  out.set(kModelTypeKey, io::GgufValue::of_string(model_type));
  const std::string key = fmt::format("{}.context_length", kBertName);
  PARING_TRY(const std::uint64_t rows, out.get_u64(key));
  PARING_TRY(const std::uint64_t padding, config.u64_or("pad_token_id", 1));
  if (padding >= rows - 1) {
    return corrupt(fmt::format("{}: 'pad_token_id' {} leaves none of 'max_position_embeddings' {}",
                               config.source(), padding, rows));
  }
  out.set(kPositionOffsetKey, io::GgufValue::of_u32(static_cast<std::uint32_t>(padding + 1)));
  out.set(key, io::GgufValue::of_u32(static_cast<std::uint32_t>(rows - padding - 1)));
  return {};
}

Result<void> finish_roberta(const io::Metadata& config, io::Metadata& out) {
  return finish(config, out, "roberta");
}
Result<void> finish_xlm_roberta(const io::Metadata& config, io::Metadata& out) {
  return finish(config, out, "xlm-roberta");
}

// The way back: the rows of the table that stand for no position count again.
Result<void> finish_export(const io::Metadata& metadata, io::Metadata& config) {
  PARING_TRY_VOID(finish_bert_export(metadata, config));
  PARING_TRY(const std::uint64_t positions,
             metadata.get_u64(fmt::format("{}.context_length", kBertName)));
  PARING_TRY(const std::uint64_t offset, metadata.u64_or(kPositionOffsetKey, 2));
  if (offset == 0) return corrupt(fmt::format("{} is 0", kPositionOffsetKey));
  config.set("max_position_embeddings", io::GgufValue::of_u64(positions + offset));
  config.set("pad_token_id", io::GgufValue::of_u64(offset - 1));
  return {};
}

constexpr const char* kClasses[] = {"RobertaModel", "RobertaForSequenceClassification",
                                    "RobertaForMaskedLM"};
constexpr const char* kXlmClasses[] = {"XLMRobertaModel", "XLMRobertaForSequenceClassification",
                                       "XLMRobertaForMaskedLM"};

constexpr HfTensorRule kTensors[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight"},
    {"embeddings.position_embeddings.weight", "position_embd.weight", HfChange::kDropPositions},
    {"embeddings.token_type_embeddings.weight", "token_types.weight", HfChange::kWiden},
    {"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
    {"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
    {"encoder.layer.{}.attention.self.query.weight", "blk.{}.attn_q.weight"},
    {"encoder.layer.{}.attention.self.query.bias", "blk.{}.attn_q.bias"},
    {"encoder.layer.{}.attention.self.key.weight", "blk.{}.attn_k.weight"},
    {"encoder.layer.{}.attention.self.key.bias", "blk.{}.attn_k.bias"},
    {"encoder.layer.{}.attention.self.value.weight", "blk.{}.attn_v.weight"},
    {"encoder.layer.{}.attention.self.value.bias", "blk.{}.attn_v.bias"},
    {"encoder.layer.{}.attention.output.dense.weight", "blk.{}.attn_output.weight"},
    {"encoder.layer.{}.attention.output.dense.bias", "blk.{}.attn_output.bias"},
    {"encoder.layer.{}.attention.output.LayerNorm.weight", "blk.{}.attn_output_norm.weight"},
    {"encoder.layer.{}.attention.output.LayerNorm.bias", "blk.{}.attn_output_norm.bias"},
    {"encoder.layer.{}.intermediate.dense.weight", "blk.{}.ffn_up.weight"},
    {"encoder.layer.{}.intermediate.dense.bias", "blk.{}.ffn_up.bias"},
    {"encoder.layer.{}.output.dense.weight", "blk.{}.ffn_down.weight"},
    {"encoder.layer.{}.output.dense.bias", "blk.{}.ffn_down.bias"},
    {"encoder.layer.{}.output.LayerNorm.weight", "blk.{}.layer_output_norm.weight"},
    {"encoder.layer.{}.output.LayerNorm.bias", "blk.{}.layer_output_norm.bias"},
    {"classifier.dense.weight", "cls.weight", HfChange::kNone, HfPart::kHead},
    {"classifier.dense.bias", "cls.bias", HfChange::kNone, HfPart::kHead},
    {"classifier.out_proj.weight", "cls.output.weight", HfChange::kNone, HfPart::kHead},
    {"classifier.out_proj.bias", "cls.output.bias", HfChange::kNone, HfPart::kHead},
};

// What comes behind the states that this program computes: the head of pre-training, and a pooler
// that no class with a head of its own reads.
constexpr const char* kIgnored[] = {"lm_head.", "pooler."};

constexpr HfMapping mapping(std::span<const char* const> classes, const char* model_type,
                            Result<void> (*finish_read)(const io::Metadata&, io::Metadata&)) {
  return {.classes = classes,
          .model_type = model_type,
          .activation_key = "hidden_act",
          .activations = kBertActivations,
          .keys = kBertKeys,
          .tensors = kTensors,
          .finish = finish_read,
          .finish_export = finish_export,
          .is_encoder = true,
          .prefix = "roberta.",
          .ignored = kIgnored};
}

constexpr HfMapping kHf = mapping(kClasses, "roberta", finish_roberta);
constexpr HfMapping kXlmHf = mapping(kXlmClasses, "xlm-roberta", finish_xlm_roberta);

}  // namespace

const Architecture kRoberta{kBertName, read_bert, &kHf, /*is_encoder=*/true};
const Architecture kXlmRoberta{kBertName, read_bert, &kXlmHf, /*is_encoder=*/true};

}  // namespace paring::model
