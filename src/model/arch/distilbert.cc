// SPDX-License-Identifier: Apache-2.0
// Folders of DistilBERT (arXiv:1910.01108): BERT's block without token types; its classification
// head bends with relu. In GGUF it is "bert".
#include "model/arch/arch.h"
#include "model/arch/bert.h"

namespace paring::model {

namespace {

Result<void> finish(const io::Metadata& config, io::Metadata& out) {
  PARING_TRY_VOID(finish_bert(config, out));
  out.set(kModelTypeKey, io::GgufValue::of_string("distilbert"));
  out.set(kTypeCountKey, io::GgufValue::of_u32(1));  // it has none; llama.cpp asks for a number
  out.set(kHeadActivationKey, io::GgufValue::of_string("relu"));
  return {};
}

constexpr const char* kClasses[] = {"DistilBertModel", "DistilBertForSequenceClassification",
                                    "DistilBertForMaskedLM"};

constexpr HfKeyRule kKeys[] = {
    {"max_position_embeddings", "context_length", HfValue::kCount, true},
    {"dim", "embedding_length", HfValue::kCount, true},
    {"n_layers", "block_count", HfValue::kCount, true},
    {"hidden_dim", "feed_forward_length", HfValue::kCount, true},
    {"n_heads", "attention.head_count", HfValue::kCount, true},
    {"layer_norm_eps", "attention.layer_norm_epsilon", HfValue::kReal, false, 1e-12},
    {"vocab_size", "vocab_size", HfValue::kCount},
};

constexpr HfTensorRule kTensors[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight"},
    {"embeddings.position_embeddings.weight", "position_embd.weight", HfChange::kWiden},
    {"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
    {"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
    {"transformer.layer.{}.attention.q_lin.weight", "blk.{}.attn_q.weight"},
    {"transformer.layer.{}.attention.q_lin.bias", "blk.{}.attn_q.bias"},
    {"transformer.layer.{}.attention.k_lin.weight", "blk.{}.attn_k.weight"},
    {"transformer.layer.{}.attention.k_lin.bias", "blk.{}.attn_k.bias"},
    {"transformer.layer.{}.attention.v_lin.weight", "blk.{}.attn_v.weight"},
    {"transformer.layer.{}.attention.v_lin.bias", "blk.{}.attn_v.bias"},
    {"transformer.layer.{}.attention.out_lin.weight", "blk.{}.attn_output.weight"},
    {"transformer.layer.{}.attention.out_lin.bias", "blk.{}.attn_output.bias"},
    {"transformer.layer.{}.sa_layer_norm.weight", "blk.{}.attn_output_norm.weight"},
    {"transformer.layer.{}.sa_layer_norm.bias", "blk.{}.attn_output_norm.bias"},
    {"transformer.layer.{}.ffn.lin1.weight", "blk.{}.ffn_up.weight"},
    {"transformer.layer.{}.ffn.lin1.bias", "blk.{}.ffn_up.bias"},
    {"transformer.layer.{}.ffn.lin2.weight", "blk.{}.ffn_down.weight"},
    {"transformer.layer.{}.ffn.lin2.bias", "blk.{}.ffn_down.bias"},
    {"transformer.layer.{}.output_layer_norm.weight", "blk.{}.layer_output_norm.weight"},
    {"transformer.layer.{}.output_layer_norm.bias", "blk.{}.layer_output_norm.bias"},
    {"pre_classifier.weight", "cls.weight", HfChange::kNone, HfPart::kHead},
    {"pre_classifier.bias", "cls.bias", HfChange::kNone, HfPart::kHead},
    {"classifier.weight", "cls.output.weight", HfChange::kNone, HfPart::kHead},
    {"classifier.bias", "cls.output.bias", HfChange::kNone, HfPart::kHead},
};

// The head of pre-training: it comes behind the states that this program computes.
constexpr const char* kIgnored[] = {"vocab_"};

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "distilbert",
                        .activation_key = "activation",
                        .activations = kBertActivations,
                        .keys = kKeys,
                        .tensors = kTensors,
                        .finish = finish,
                        .finish_export = finish_bert_export,
                        .is_encoder = true,
                        .prefix = "distilbert.",
                        .ignored = kIgnored};

}  // namespace

const Architecture kDistilBert{kBertName, read_bert, &kHf, /*is_encoder=*/true};

}  // namespace paring::model
