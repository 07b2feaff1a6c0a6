// SPDX-License-Identifier: Apache-2.0
// What BERT and the models of its block share (DistilBERT, RoBERTa, XLM-RoBERTa): in GGUF they are
// one architecture, "bert", as llama.cpp has it; their folders differ in names.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "io/metadata.h"
#include "model/block_spec.h"
#include "model/hf_mapping.h"

namespace paring::model {

inline constexpr const char* kBertName = "bert";

// llama.cpp reads no model of this architecture without it.
inline constexpr const char* kTypeCountKey = "tokenizer.ggml.token_type_count";

// Keys of our own, for what GGUF has no key for; absent: the default in brackets.
inline constexpr const char* kActivationKey = "paring.encoder.activation";           // [gelu]
inline constexpr const char* kNormalizeKey = "paring.encoder.normalize";             // [true]
inline constexpr const char* kHeadActivationKey = "paring.encoder.head_activation";  // [tanh]
inline constexpr const char* kLabelKindKey = "paring.encoder.problem_type";
// The folder that a model came from: its model_type [bert, or distilbert without token types], and
// how many rows its table of positions has in front of the first one that is used [0].
inline constexpr const char* kModelTypeKey = "paring.encoder.model_type";
inline constexpr const char* kPositionOffsetKey = "paring.encoder.position_offset";

// general.architecture "bert".
Result<BlockSpec> read_bert(const io::Metadata& metadata);

// What the tables below cannot say: activation, labels, problem type. For `finish` of a mapping.
Result<void> finish_bert(const io::Metadata& config, io::Metadata& out);
// The way back.
Result<void> finish_bert_export(const io::Metadata& metadata, io::Metadata& config);

// Names of activations in config.json; the first is written.
inline constexpr const char* kBertActivations[] = {"gelu", "gelu_new", "gelu_pytorch_tanh",
                                                   "gelu_fast", "relu"};

inline constexpr HfKeyRule kBertKeys[] = {
    {"max_position_embeddings", "context_length", HfValue::kCount, true},
    {"hidden_size", "embedding_length", HfValue::kCount, true},
    {"num_hidden_layers", "block_count", HfValue::kCount, true},
    {"intermediate_size", "feed_forward_length", HfValue::kCount, true},
    {"num_attention_heads", "attention.head_count", HfValue::kCount, true},
    {"layer_norm_eps", "attention.layer_norm_epsilon", HfValue::kReal, false, 1e-12},
    {"vocab_size", "vocab_size", HfValue::kCount},
};

}  // namespace paring::model
