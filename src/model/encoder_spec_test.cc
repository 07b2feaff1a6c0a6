// SPDX-License-Identifier: Apache-2.0
// What an encoder's metadata says, which hyper-parameters are refused, and that the small folders
// of tests/data/encoders are what their config.json alone implies.
#include "model/encoder_spec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "io/hf_folder.h"
#include "io/outline.h"
#include "model/arch/bert.h"
#include "model/architecture.h"
#include "model/hf_mapping.h"
#include "model/hf_outline.h"
#include "model/hf_translation.h"

namespace paring::model {
namespace {

using io::GgufValue;
using io::Metadata;

Result<BlockSpec> read(const std::function<void(Metadata&)>& change = nullptr) {
  Metadata metadata;
  metadata.set("bert.block_count", GgufValue::of_u32(6));
  metadata.set("bert.context_length", GgufValue::of_u32(512));
  metadata.set("bert.embedding_length", GgufValue::of_u32(384));
  metadata.set("bert.feed_forward_length", GgufValue::of_u32(1536));
  metadata.set("bert.attention.head_count", GgufValue::of_u32(12));
  metadata.set("bert.attention.layer_norm_epsilon", GgufValue::of_f32(1e-12F));
  if (change) change(metadata);
  return read_bert(metadata);
}

TEST(EncoderSpec, ReadsSizesAndTakesDefaultsOfTheAuthors) {
  const auto spec = read();
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(spec->layers, 6U);
  EXPECT_EQ(spec->width, 384U);
  EXPECT_EQ(spec->ffn_width, 1536U);
  EXPECT_EQ(spec->heads, 12U);
  EXPECT_EQ(spec->kv_heads, 12U);
  EXPECT_EQ(spec->head_width, 32U);
  EXPECT_EQ(spec->context_max, 512U);
  EXPECT_FLOAT_EQ(spec->norm_epsilon, 1e-12F);
  ASSERT_TRUE(spec->encoder.has_value());
  EXPECT_EQ(spec->encoder->activation, EncoderActivation::kGeluErf);
  EXPECT_EQ(spec->encoder->pooling, Pooling::kMean);
  EXPECT_TRUE(spec->encoder->is_normalized);
}

TEST(EncoderSpec, PoolingIsAsGgufCountsIt) {
  const Pooling poolings[] = {Pooling::kNone, Pooling::kMean, Pooling::kFirst, Pooling::kLast,
                              Pooling::kFirst};
  for (std::uint32_t type = 0; type < std::size(poolings); ++type) {
    const auto spec =
        read([&](Metadata& m) { m.set("bert.pooling_type", GgufValue::of_u32(type)); });
    ASSERT_TRUE(spec) << spec.error().text();
    EXPECT_EQ(spec->encoder->pooling, poolings[type]) << type;
  }
}

TEST(EncoderSpec, AbsurdHyperParametersAreRefused) {
  struct Refusal {
    const char* key;
    GgufValue value;
    ErrorCode code;
  };
  const Refusal refusals[] = {
      {"bert.block_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"bert.block_count", GgufValue::of_u64(kLayersMax + 1), ErrorCode::kCorrupt},
      {"bert.embedding_length", GgufValue::of_u64(std::uint64_t{1} << 40), ErrorCode::kCorrupt},
      {"bert.embedding_length", GgufValue::of_u32(385), ErrorCode::kCorrupt},
      {"bert.attention.head_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"bert.attention.head_count_kv", GgufValue::of_u32(6), ErrorCode::kUnsupported},
      {"bert.context_length", GgufValue::of_u64(kContextMax + 1), ErrorCode::kCorrupt},
      {"bert.attention.layer_norm_epsilon", GgufValue::of_f32(NAN), ErrorCode::kCorrupt},
      {"bert.attention.layer_norm_epsilon", GgufValue::of_f32(-1.0F), ErrorCode::kCorrupt},
      {"bert.attention.causal", GgufValue::of_bool(true), ErrorCode::kUnsupported},
      {"bert.attention.max_alibi_bias", GgufValue::of_f32(8.0F), ErrorCode::kUnsupported},
      {"bert.expert_count", GgufValue::of_u32(8), ErrorCode::kUnsupported},
      {"bert.pooling_type", GgufValue::of_u32(5), ErrorCode::kUnsupported},
      {kActivationKey, GgufValue::of_string("swish"), ErrorCode::kUnsupported},
      {kHeadActivationKey, GgufValue::of_string("gelu"), ErrorCode::kUnsupported},
      {kLabelKindKey, GgufValue::of_string("guess"), ErrorCode::kUnsupported},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.key);
    const auto spec = read([&](Metadata& m) { m.set(refusal.key, refusal.value); });
    ASSERT_FALSE(spec);
    EXPECT_EQ(spec.error().code, refusal.code) << spec.error().text();
    EXPECT_NE(spec.error().message.find(refusal.key), std::string::npos) << spec.error().text();
  }
  const auto heads =
      read([](Metadata& m) { m.set("bert.attention.head_count", GgufValue::of_u32(24)); });
  ASSERT_FALSE(heads);
  EXPECT_EQ(heads.error().message,
            "a head width of 16 (384 values in 24 heads) is not a multiple of 32");
}

TEST(EncoderSpec, MissingHyperParametersAreNamed) {
  for (const char* key : {"bert.block_count", "bert.context_length", "bert.embedding_length",
                          "bert.feed_forward_length", "bert.attention.head_count",
                          "bert.attention.layer_norm_epsilon"}) {
    const auto spec = read([&](Metadata& m) { m.erase(key); });
    ASSERT_FALSE(spec) << key;
    EXPECT_NE(spec.error().message.find(key), std::string::npos) << spec.error().text();
  }
}

constexpr const char* kFolders[] = {"bert-mean",      "bert-cls",   "bert-rank",
                                    "bert-classes",   "distilbert", "distilbert-labels",
                                    "roberta-classes"};

std::string folder_path(const std::string& name) {
  return PARING_SOURCE_DIR "/tests/data/encoders/" + name;
}

std::string model_type_of(const io::ModelFile& file) {
  return file.metadata().string_or(kModelTypeKey, "bert").value();
}

TEST(Encoders, EachKindOfFolderHasATinyModel) {
  std::set<std::string> seen;
  for (const char* name : kFolders) {
    auto folder = io::HfFolder::open(folder_path(name));
    ASSERT_TRUE(folder) << folder.error().text();
    auto parts = translate_hf(*folder);
    ASSERT_TRUE(parts) << parts.error().text();
    seen.insert(model_type_of(io::ModelFile(std::move(*parts))));
  }
  for (const Architecture* architecture : architectures()) {
    if (architecture->hf == nullptr || !architecture->hf->is_encoder) continue;
    const std::string type = architecture->hf->model_type;
    // The same tables as RoBERTa's, under other class names.
    EXPECT_TRUE(seen.contains(type) || type == "xlm-roberta") << type;
  }
}

using Row = std::tuple<std::string, std::vector<std::uint64_t>>;

std::set<Row> rows(const io::ModelFile& file) {
  std::set<Row> found;
  for (const io::TensorInfo& tensor : file.tensors()) found.emplace(tensor.name, tensor.shape);
  return found;
}

TEST(Encoders, TensorsAreThoseThatTheConfigurationImplies) {
  for (const char* name : kFolders) {
    SCOPED_TRACE(name);
    auto folder = io::HfFolder::open(folder_path(name));
    ASSERT_TRUE(folder) << folder.error().text();
    io::HfFolder bare;
    bare.path = folder->path;
    bare.config = folder->config;
    bare.has_values = false;
    auto parts = translate_hf(*folder);
    ASSERT_TRUE(parts) << parts.error().text();
    const io::ModelFile whole(std::move(*parts));
    const auto implied = imply_hf_tensors(bare);
    ASSERT_TRUE(implied) << implied.error().text();
    auto bare_parts = translate_hf(bare);
    ASSERT_TRUE(bare_parts) << bare_parts.error().text();
    EXPECT_EQ(rows(io::ModelFile(std::move(*bare_parts))), rows(whole));
  }
}

}  // namespace
}  // namespace paring::model
