// SPDX-License-Identifier: Apache-2.0
// BERT (arXiv:1810.04805), and the sentence embedding models, cross-encoders and classifiers made
// of it: MiniLM, bge, e5, gte.
#include "model/arch/bert.h"

#include <fmt/format.h>

#include <utility>

#include "io/printable.h"
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/encoder_weights.h"

namespace paring::model {

namespace {

// Names of one thing in GGUF or config.json and here.
template <class Value>
struct Named {
  const char* name;
  Value value;
};

// The first of each kind is what is written.
constexpr Named<EncoderActivation> kActivations[] = {
    {"gelu", EncoderActivation::kGeluErf},
    {"gelu_new", EncoderActivation::kGeluTanh},
    {"gelu_pytorch_tanh", EncoderActivation::kGeluTanh},
    {"gelu_fast", EncoderActivation::kGeluTanh},
    {"relu", EncoderActivation::kRelu},
};
constexpr Named<HeadActivation> kHeadActivations[] = {
    {"tanh", HeadActivation::kTanh},
    {"relu", HeadActivation::kRelu},
};
constexpr Named<LabelKind> kLabelKinds[] = {
    {"single_label_classification", LabelKind::kOneOf},
    {"multi_label_classification", LabelKind::kAnyOf},
    {"regression", LabelKind::kValue},
};
template <class Value, std::size_t N>
Result<Value> by_name(const io::Metadata& metadata, const char* key, const Named<Value> (&names)[N],
                      const char* otherwise) {
  PARING_TRY(const std::string name, metadata.string_or(key, otherwise));
  std::string known;
  for (const Named<Value>& each : names) {
    if (name == each.name) return each.value;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  return unsupported(fmt::format("{} is '{}', which is not known", key, io::printable(name)),
                     "known: " + known);
}

// Values of GGUF's pooling_type beyond Pooling: outputs of a classification head.
constexpr std::uint64_t kPoolingRank = 4;

Result<Pooling> read_pooling(const HyperParameters& p) {
  const std::string key = p.key("pooling_type");
  PARING_TRY(const std::uint64_t value,
             p.metadata().u64_or(key, static_cast<std::uint64_t>(Pooling::kMean)));
  if (value == kPoolingRank) return Pooling::kFirst;
  if (value > static_cast<std::uint64_t>(Pooling::kLast)) {
    return unsupported(fmt::format("{} is {}, which is not known", key, value),
                       "known: 0 none, 1 mean, 2 first token, 3 last token, 4 classification");
  }
  return static_cast<Pooling>(value);
}

// Keys whose value asks for something that the forward pass does not compute.
Result<void> check_supported(const HyperParameters& p) {
  PARING_TRY(const bool causal, p.metadata().bool_or(p.key("attention.causal"), false));
  if (causal) {
    return unsupported(p.key("attention.causal") + " = true is not supported",
                       "this architecture sees in both directions");
  }
  for (const char* suffix : {"attention.max_alibi_bias", "expert_count"}) {
    if (!p.has(suffix)) continue;
    PARING_TRY(const double value, p.metadata().get_f64(p.key(suffix)));
    if (value != 0) {
      return unsupported(fmt::format("{} = {:g} is not supported", p.key(suffix), value));
    }
  }
  return {};
}

Result<void> read_sizes(const HyperParameters& p, BlockSpec& spec) {
  PARING_TRY(spec.layers, p.size("block_count", kLayersMax));
  PARING_TRY(spec.width, p.size("embedding_length", kWidthMax));
  PARING_TRY(spec.ffn_width, p.size("feed_forward_length", kWidthMax));
  PARING_TRY(spec.heads, p.size("attention.head_count", kHeadsMax));
  PARING_TRY(spec.context_max, p.size("context_length", kContextMax));
  spec.kv_heads = spec.heads;
  PARING_TRY(const std::size_t kv_heads,
             p.size_or("attention.head_count_kv", kHeadsMax, spec.heads));
  if (kv_heads != spec.heads) {
    return unsupported(fmt::format("{} {} differs from head_count {}",
                                   p.key("attention.head_count_kv"), kv_heads, spec.heads));
  }
  if (spec.width % spec.heads != 0) {
    return corrupt(fmt::format("{} {} is not a multiple of head_count {}",
                               p.key("embedding_length"), spec.width, spec.heads));
  }
  spec.head_width = spec.width / spec.heads;
  if (spec.head_width % 32 != 0) {
    return unsupported(
        fmt::format("a head width of {} ({} values in {} heads) is not a multiple "
                    "of 32",
                    spec.head_width, spec.width, spec.heads));
  }
  return {};
}

}  // namespace

Result<BlockSpec> read_bert(const io::Metadata& metadata) {
  const HyperParameters p(metadata, kBertName);
  BlockSpec spec;
  spec.architecture = kBertName;
  PARING_TRY_VOID(check_supported(p));
  PARING_TRY_VOID(read_sizes(p, spec));
  PARING_TRY(spec.norm_epsilon, p.real("attention.layer_norm_epsilon", 0, 1));
  EncoderSpec encoder;
  PARING_TRY(encoder.pooling, read_pooling(p));
  PARING_TRY(encoder.is_normalized, metadata.bool_or(kNormalizeKey, true));
  PARING_TRY(encoder.activation,
             by_name(metadata, kActivationKey, kActivations, kActivations[0].name));
  PARING_TRY(encoder.head_activation,
             by_name(metadata, kHeadActivationKey, kHeadActivations, kHeadActivations[0].name));
  const std::string labels = p.key("classifier.output_labels");
  if (metadata.has(labels)) {
    PARING_TRY(const auto names, metadata.strings(labels));
    encoder.label_names.assign(names.begin(), names.end());
  }
  PARING_TRY(encoder.label_kind,
             by_name(metadata, kLabelKindKey, kLabelKinds, kLabelKinds[0].name));
  spec.encoder = std::move(encoder);
  return spec;
}

namespace {

// "id2label" is {"0": "NEGATIVE", "1": "POSITIVE"}; without it there are two unnamed labels.
Result<void> put_labels(const io::Metadata& config, io::Metadata& out) {
  constexpr std::string_view kPrefix = "id2label.";
  std::vector<std::string> names;
  for (std::size_t i = 0;; ++i) {
    const std::string key = fmt::format("{}{}", kPrefix, i);
    if (!config.has(key)) break;
    PARING_TRY(std::string name, config.get_string(key));
    names.push_back(std::move(name));
  }
  std::size_t given = 0;
  for (const auto& [key, value] : config.entries()) given += key.starts_with(kPrefix) ? 1U : 0U;
  if (given != names.size()) {
    return corrupt(
        fmt::format("{}: the keys of 'id2label' are not 0 to {}", config.source(), given - 1));
  }
  PARING_TRY(const std::uint64_t count,
             config.u64_or("num_labels", names.empty() ? 2 : names.size()));
  if (names.empty()) {
    if (count > 1024) {
      return corrupt(fmt::format("{}: 'num_labels' is {}", config.source(), count));
    }
    for (std::size_t i = 0; i < count; ++i) names.push_back(fmt::format("LABEL_{}", i));
  }
  out.set(fmt::format("{}.classifier.output_labels", kBertName),
          io::GgufValue::of_strings(std::move(names)));
  out.set(fmt::format("{}.pooling_type", kBertName), io::GgufValue::of_u32(kPoolingRank));
  if (!config.has("problem_type")) return {};
  PARING_TRY(const std::string problem, config.get_string("problem_type"));
  out.set(kLabelKindKey, io::GgufValue::of_string(problem));
  return {};
}

Result<bool> is_classifier(const io::Metadata& config) {
  if (!config.has("architectures")) return false;
  PARING_TRY(const auto classes, config.strings("architectures"));
  return !classes.empty() && classes[0].ends_with("ForSequenceClassification");
}

}  // namespace

Result<void> finish_bert(const io::Metadata& config, io::Metadata& out) {
  PARING_TRY(const std::string positions, config.string_or("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return unsupported(fmt::format("{}: 'position_embedding_type' is '{}', 'absolute' is computed",
                                   config.source(), io::printable(positions)));
  }
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    PARING_TRY(const bool is_set, config.bool_or(key, false));
    if (is_set) {
      return unsupported(
          fmt::format("{}: '{}' is true, encoders are computed", config.source(), key));
    }
  }
  out.set(fmt::format("{}.attention.causal", kBertName), io::GgufValue::of_bool(false));
  constexpr std::uint32_t kUsualTypes = 2;  // BertConfig's own
  PARING_TRY(const std::uint64_t types, config.u64_or("type_vocab_size", kUsualTypes));
  if (types == 0 || types > kTokenTypesMax) {
    return corrupt(fmt::format("{}: 'type_vocab_size' is {}, it must be between 1 and {}",
                               config.source(), types, kTokenTypesMax));
  }
  out.set(kTypeCountKey, io::GgufValue::of_u32(static_cast<std::uint32_t>(types)));
  const char* key = config.has("activation") ? "activation" : "hidden_act";
  // The mapping's list has been held against it.
  if (const io::GgufValue* activation = config.find(key)) {
    out.set(kActivationKey, io::GgufValue(*activation));
  }
  PARING_TRY(const bool has_labels, is_classifier(config));
  return has_labels ? put_labels(config, out) : Result<void>();
}

Result<void> finish_bert_export(const io::Metadata& metadata, io::Metadata& config) {
  const std::string labels = fmt::format("{}.classifier.output_labels", kBertName);
  if (metadata.has(labels)) {
    PARING_TRY(const auto names, metadata.strings(labels));
    for (std::size_t i = 0; i < names.size(); ++i) {
      config.set(fmt::format("id2label.{}", i), io::GgufValue::of_string(names[i]));
    }
  }
  PARING_TRY(const std::string problem, metadata.string_or(kLabelKindKey, ""));
  if (!problem.empty()) config.set("problem_type", io::GgufValue::of_string(problem));
  return {};
}

namespace {

constexpr const char* kClasses[] = {"BertModel", "BertForSequenceClassification", "BertForMaskedLM",
                                    "BertForPreTraining"};

constexpr HfTensorRule kTensors[] = {
    {"embeddings.word_embeddings.weight", "token_embd.weight"},
    {"embeddings.position_embeddings.weight", "position_embd.weight", HfChange::kWiden},
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
    {"pooler.dense.weight", "cls.weight", HfChange::kNone, HfPart::kHead},
    {"pooler.dense.bias", "cls.bias", HfChange::kNone, HfPart::kHead},
    {"classifier.weight", "cls.output.weight", HfChange::kNone, HfPart::kHead},
    {"classifier.bias", "cls.output.bias", HfChange::kNone, HfPart::kHead},
};

// The heads of pre-training: they come behind the states that this program computes.
constexpr const char* kIgnored[] = {"cls."};

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "bert",
                        .activation_key = "hidden_act",
                        .activations = kBertActivations,
                        .keys = kBertKeys,
                        .tensors = kTensors,
                        .finish = finish_bert,
                        .finish_export = finish_bert_export,
                        .is_encoder = true,
                        .prefix = "bert.",
                        .ignored = kIgnored};

}  // namespace

const Architecture kBert{kBertName, read_bert, &kHf, /*is_encoder=*/true};

}  // namespace paring::model
