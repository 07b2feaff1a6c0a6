// SPDX-License-Identifier: Apache-2.0
// What each architecture makes of its metadata, and which hyper-parameters are refused.
#include "model/architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace paring::model {
namespace {

using io::GgufValue;
using io::Metadata;

const Architecture& find(const std::string& name) {
  for (const Architecture* architecture : architectures()) {
    if (name == architecture->name) return *architecture;
  }
  throw std::runtime_error("no architecture " + name);
}

bool has_experts(const std::string& name) { return name == "qwen3moe"; }

// The keys that every file has.
Metadata minimal(const std::string& name) {
  Metadata metadata;
  const auto set = [&](const char* key, GgufValue value) {
    metadata.set(name + "." + key, std::move(value));
  };
  set("block_count", GgufValue::of_u32(6));
  set("context_length", GgufValue::of_u32(4096));
  set("embedding_length", GgufValue::of_u32(256));
  set("feed_forward_length", GgufValue::of_u32(512));
  set("attention.head_count", GgufValue::of_u32(4));
  set("attention.head_count_kv", GgufValue::of_u32(2));
  set("attention.layer_norm_rms_epsilon", GgufValue::of_f32(1e-6F));
  if (has_experts(name)) {
    set("expert_count", GgufValue::of_u32(8));
    set("expert_used_count", GgufValue::of_u32(2));
  }
  return metadata;
}

Result<BlockSpec> read(const std::string& name,
                       const std::function<void(Metadata&)>& change = nullptr) {
  Metadata metadata = minimal(name);
  if (change) change(metadata);
  return find(name).read(metadata);
}

std::vector<const Architecture*> decoders() {
  std::vector<const Architecture*> found;
  for (const Architecture* architecture : architectures()) {
    if (!architecture->is_encoder) found.push_back(architecture);
  }
  return found;
}

std::vector<std::size_t> windows(const BlockSpec& spec) {
  std::vector<std::size_t> all;
  for (std::size_t layer = 0; layer < spec.layers; ++layer) all.push_back(spec.scope(layer).window);
  return all;
}

TEST(Architecture, EveryOneReadsTheCommonKeys) {
  for (const Architecture* architecture : decoders()) {
    SCOPED_TRACE(architecture->name);
    const auto spec = read(architecture->name);
    ASSERT_TRUE(spec) << spec.error().text();
    EXPECT_EQ(spec->architecture, architecture->name);
    EXPECT_EQ(spec->layers, 6U);
    EXPECT_EQ(spec->width, 256U);
    EXPECT_EQ(spec->ffn_width, 512U);
    EXPECT_EQ(spec->heads, 4U);
    EXPECT_EQ(spec->kv_heads, 2U);
    EXPECT_EQ(spec->head_width, 64U);
    EXPECT_EQ(spec->context_max, 4096U);
    EXPECT_FLOAT_EQ(spec->norm_epsilon, 1e-6F);
    ASSERT_FALSE(spec->ropes.empty());
    EXPECT_EQ(spec->ropes[0].width, 64U);
    EXPECT_FLOAT_EQ(spec->ropes[0].base, 10000.0F);
    EXPECT_EQ(spec->ropes[0].scaling, RopeScaling::kNone);
    EXPECT_EQ(spec->ropes[0].pairing,
              spec->architecture == "llama" ? RopePairing::kAdjacent : RopePairing::kHalves);
    EXPECT_FLOAT_EQ(spec->score_scale(), 0.125F);
  }
}

TEST(Architecture, TheDifferencesOfTheFamilies) {
  const auto qwen2 = read("qwen2").value();
  EXPECT_TRUE(qwen2.has_qkv_biases);
  EXPECT_FALSE(qwen2.has_head_norms);
  const auto qwen3 = read("qwen3").value();
  EXPECT_FALSE(qwen3.has_qkv_biases);
  EXPECT_TRUE(qwen3.has_head_norms);
  const auto phi3 = read("phi3").value();
  EXPECT_TRUE(phi3.has_fused_qkv);
  EXPECT_TRUE(phi3.has_fused_gate);
  const auto llama = read("llama").value();
  EXPECT_FALSE(llama.has_post_norms || llama.has_head_norms || llama.has_qkv_biases ||
               llama.has_fused_qkv || llama.has_fused_gate);
  EXPECT_EQ(llama.activation, GateActivation::kSilu);
  EXPECT_EQ(llama.logit_soft_cap, 0.0F);
  EXPECT_EQ(llama.embedding_scale, 1.0F);
}

TEST(Architecture, Gemma2AlternatesWindowsAndCapsScores) {
  const auto spec = read("gemma2", [](Metadata& m) {
                      m.set("gemma2.attention.sliding_window", GgufValue::of_u32(128));
                      m.set("gemma2.attn_logit_softcapping", GgufValue::of_f32(20.0F));
                    }).value();
  EXPECT_EQ(windows(spec), (std::vector<std::size_t>{128, 0, 128, 0, 128, 0}));
  EXPECT_FLOAT_EQ(spec.attention_soft_cap, 20.0F);
  EXPECT_FLOAT_EQ(spec.logit_soft_cap, 30.0F);
  EXPECT_FLOAT_EQ(spec.embedding_scale, 16.0F);
  EXPECT_EQ(spec.activation, GateActivation::kGeluTanh);
  EXPECT_TRUE(spec.has_post_norms);
  EXPECT_EQ(read("gemma2").value().scope(0).window, 4096U);
  // 27B: the score scale is not that of the head width.
  const auto wide = read("gemma2", [](Metadata& m) {
                      m.set("gemma2.block_count", GgufValue::of_u32(46));
                      m.set("gemma2.attention.key_length", GgufValue::of_u32(128));
                      m.set("gemma2.attention.value_length", GgufValue::of_u32(128));
                    }).value();
  EXPECT_EQ(wide.head_width, 128U);
  EXPECT_FLOAT_EQ(wide.score_scale(), 0.125F);
}

TEST(Architecture, Gemma3GivesWindowedLayersTheirOwnRope) {
  const auto spec = read("gemma3", [](Metadata& m) {
                      m.set("gemma3.attention.sliding_window", GgufValue::of_u32(512));
                      m.set("gemma3.rope.freq_base", GgufValue::of_f32(1e6F));
                      m.set("gemma3.rope.scaling.type", GgufValue::of_string("linear"));
                      m.set("gemma3.rope.scaling.factor", GgufValue::of_f32(8.0F));
                    }).value();
  EXPECT_EQ(windows(spec), (std::vector<std::size_t>{512, 512, 512, 512, 512, 0}));
  ASSERT_EQ(spec.ropes.size(), 2U);
  EXPECT_FLOAT_EQ(spec.ropes[spec.scope(5).rope].base, 1e6F);
  EXPECT_EQ(spec.ropes[spec.scope(5).rope].scaling, RopeScaling::kLinear);
  EXPECT_FLOAT_EQ(spec.ropes[spec.scope(0).rope].base, 10000.0F);
  EXPECT_EQ(spec.ropes[spec.scope(0).rope].scaling, RopeScaling::kNone);
  EXPECT_TRUE(spec.has_head_norms);
  EXPECT_EQ(windows(read("gemma3").value()), std::vector<std::size_t>(6, 0));
}

TEST(Architecture, WindowsCanBeListedOrPeriodic) {
  const auto with_window = [](Metadata& m) {
    m.set("gemma3.attention.sliding_window", GgufValue::of_u32(64));
  };
  const std::string key = "gemma3.attention.sliding_window_pattern";
  const auto periodic = read("gemma3", [&](Metadata& m) {
                          with_window(m);
                          m.set(key, GgufValue::of_u32(3));
                        }).value();
  EXPECT_EQ(windows(periodic), (std::vector<std::size_t>{64, 64, 0, 64, 64, 0}));
  const auto listed = read("gemma3", [&](Metadata& m) {
                        with_window(m);
                        const std::vector<std::int32_t> flags = {0, 1, 1, 0, 0, 1};
                        m.set(key, GgufValue::of_i32_array(flags));
                      }).value();
  EXPECT_EQ(windows(listed), (std::vector<std::size_t>{0, 64, 64, 0, 0, 64}));
  const auto cut = read("gemma3", [&](Metadata& m) {
    with_window(m);
    const std::vector<std::int32_t> flags = {0, 1};
    m.set(key, GgufValue::of_i32_array(flags));
  });
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(cut.error().message.find("2 items"), std::string::npos) << cut.error().message;
  const auto mistral = read("llama", [](Metadata& m) {
                         m.set("llama.attention.sliding_window", GgufValue::of_u32(4096));
                       }).value();
  EXPECT_EQ(windows(mistral), std::vector<std::size_t>(6, 4096));
}

TEST(Architecture, RopeScalings) {
  const auto yarn = read("qwen2", [](Metadata& m) {
                      m.set("qwen2.rope.scaling.type", GgufValue::of_string("yarn"));
                      m.set("qwen2.rope.scaling.factor", GgufValue::of_f32(4.0F));
                      m.set("qwen2.rope.scaling.original_context_length", GgufValue::of_u32(1024));
                    }).value();
  EXPECT_EQ(yarn.ropes[0].scaling, RopeScaling::kYarn);
  EXPECT_EQ(yarn.ropes[0].original_context, 1024U);
  EXPECT_NEAR(yarn.ropes[0].magnitude, 0.1 * std::log(4.0) + 1, 1e-6);
  const auto own = read("qwen2", [](Metadata& m) {
                     m.set("qwen2.rope.scaling.type", GgufValue::of_string("yarn"));
                     m.set("qwen2.rope.scaling.factor", GgufValue::of_f32(4.0F));
                     m.set("qwen2.rope.scaling.yarn_attn_factor", GgufValue::of_f32(1.5F));
                     m.set("qwen2.rope.scaling.yarn_beta_fast", GgufValue::of_f32(16.0F));
                   }).value();
  EXPECT_FLOAT_EQ(own.ropes[0].magnitude, 1.5F);
  EXPECT_FLOAT_EQ(own.ropes[0].beta_fast, 16.0F);
  // A factor without a type is linear, as files of 2023 have it.
  const auto old = read("llama", [](Metadata& m) {
                     m.set("llama.rope.scale_linear", GgufValue::of_f32(2.0F));
                   }).value();
  EXPECT_EQ(old.ropes[0].scaling, RopeScaling::kLinear);
  EXPECT_FLOAT_EQ(old.ropes[0].factor, 2.0F);
  const auto none = read("llama", [](Metadata& m) {
                      m.set("llama.rope.scaling.type", GgufValue::of_string("none"));
                      m.set("llama.rope.scaling.factor", GgufValue::of_f32(2.0F));
                    }).value();
  EXPECT_EQ(none.ropes[0].scaling, RopeScaling::kNone);
  const auto long_rope = read("phi3", [](Metadata& m) {
                           m.set("phi3.rope.scaling.type", GgufValue::of_string("longrope"));
                           m.set("phi3.rope.scaling.attn_factor", GgufValue::of_f32(1.19F));
                         }).value();
  EXPECT_EQ(long_rope.ropes[0].scaling, RopeScaling::kLongRope);
  EXPECT_FLOAT_EQ(long_rope.ropes[0].magnitude, 1.19F);
}

struct Refusal {
  const char* key;  // after the architecture's name
  GgufValue value;
  ErrorCode code;
};

// Each must be refused by every architecture with the whole key in the message.
TEST(Architecture, AbsurdHyperParametersAreRefused) {
  const Refusal refusals[] = {
      {"block_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"block_count", GgufValue::of_u32(1U << 31), ErrorCode::kCorrupt},
      {"block_count", GgufValue::of_string("six"), ErrorCode::kCorrupt},
      {"block_count", GgufValue::of_i32(-1), ErrorCode::kCorrupt},
      {"embedding_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"embedding_length", GgufValue::of_u64(std::uint64_t{1} << 62), ErrorCode::kCorrupt},
      {"embedding_length", GgufValue::of_u32(257), ErrorCode::kCorrupt},
      {"feed_forward_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"context_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"context_length", GgufValue::of_u64(std::uint64_t{1} << 60), ErrorCode::kCorrupt},
      {"attention.head_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"attention.head_count", GgufValue::of_u32(3), ErrorCode::kCorrupt},
      {"attention.head_count", GgufValue::of_u32(1U << 30), ErrorCode::kCorrupt},
      {"attention.head_count_kv", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"attention.head_count_kv", GgufValue::of_u32(8), ErrorCode::kCorrupt},
      {"attention.key_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"attention.key_length", GgufValue::of_u64(std::uint64_t{1} << 40), ErrorCode::kCorrupt},
      {"attention.value_length", GgufValue::of_u32(32), ErrorCode::kUnsupported},
      {"attention.layer_norm_rms_epsilon", GgufValue::of_f32(NAN), ErrorCode::kCorrupt},
      {"attention.layer_norm_rms_epsilon", GgufValue::of_f32(-1.0F), ErrorCode::kCorrupt},
      {"attention.layer_norm_rms_epsilon", GgufValue::of_f32(INFINITY), ErrorCode::kCorrupt},
      {"attention.causal", GgufValue::of_bool(false), ErrorCode::kUnsupported},
      {"rope.freq_base", GgufValue::of_f32(0.0F), ErrorCode::kCorrupt},
      {"rope.freq_base", GgufValue::of_f32(1.0F), ErrorCode::kCorrupt},
      {"rope.freq_base", GgufValue::of_f32(NAN), ErrorCode::kCorrupt},
      {"rope.freq_base", GgufValue::of_f32(INFINITY), ErrorCode::kCorrupt},
      {"rope.dimension_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"rope.dimension_count", GgufValue::of_u32(63), ErrorCode::kCorrupt},
      {"rope.dimension_count", GgufValue::of_u32(66), ErrorCode::kCorrupt},
      {"rope.scaling.type", GgufValue::of_string("dynamic"), ErrorCode::kUnsupported},
      {"rope.scaling.factor", GgufValue::of_f32(-2.0F), ErrorCode::kCorrupt},
      {"rope.scaling.factor", GgufValue::of_f32(NAN), ErrorCode::kCorrupt},
      {"rope.scaling.attn_factor", GgufValue::of_f32(0.0F), ErrorCode::kCorrupt},
      {"rope.scaling.original_context_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"logit_scale", GgufValue::of_f32(0.5F), ErrorCode::kUnsupported},
  };
  for (const Architecture* architecture : decoders()) {
    const std::string name = architecture->name;
    for (const Refusal& refusal : refusals) {
      const auto spec =
          read(name, [&](Metadata& m) { m.set(name + "." + refusal.key, refusal.value); });
      SCOPED_TRACE(name + "." + refusal.key);
      ASSERT_FALSE(spec);
      EXPECT_EQ(spec.error().code, refusal.code) << spec.error().text();
      EXPECT_NE(spec.error().message.find(name + "."), std::string::npos) << spec.error().text();
    }
  }
}

TEST(Architecture, ExpertsAreRead) {
  for (const std::string name : {"llama", "qwen3moe"}) {
    const auto with = [&](const std::function<void(Metadata&)>& change) {
      return read(name, [&](Metadata& m) {
        m.set(name + ".expert_count", GgufValue::of_u32(8));
        m.set(name + ".expert_used_count", GgufValue::of_u32(2));
        change(m);
      });
    };
    const auto plain = with([](Metadata&) {});
    ASSERT_TRUE(plain) << plain.error().text();
    ASSERT_TRUE(plain->experts);
    EXPECT_EQ(plain->experts->count, 8U);
    EXPECT_EQ(plain->experts->used, 2U);
    EXPECT_TRUE(plain->experts->is_renormalized);
    EXPECT_EQ(plain->experts->scores, ExpertScores::kSoftmaxOfAll);
    EXPECT_EQ(plain->ffn_width, 512U);
    const auto other = with([&](Metadata& m) {
      m.set(name + ".expert_feed_forward_length", GgufValue::of_u32(96));
      m.set(name + ".expert_weights_norm", GgufValue::of_bool(false));
      m.set(name + ".expert_gating_func", GgufValue::of_u32(3));
    });
    ASSERT_TRUE(other) << other.error().text();
    EXPECT_EQ(other->ffn_width, 96U);
    EXPECT_FALSE(other->experts->is_renormalized);
    EXPECT_EQ(other->experts->scores, ExpertScores::kSoftmaxOfChosen);
  }
  const auto dense =
      read("llama", [](Metadata& m) { m.set("llama.expert_count", GgufValue::of_u32(0)); });
  ASSERT_TRUE(dense) << dense.error().text();
  EXPECT_FALSE(dense->experts);
}

TEST(Architecture, AbsurdExpertsAreRefused) {
  const Refusal refusals[] = {
      {"expert_count", GgufValue::of_u32(1025), ErrorCode::kCorrupt},
      {"expert_count", GgufValue::of_u64(std::uint64_t{1} << 60), ErrorCode::kCorrupt},
      {"expert_count", GgufValue::of_i32(-8), ErrorCode::kCorrupt},
      {"expert_used_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"expert_used_count", GgufValue::of_u32(9), ErrorCode::kCorrupt},
      {"expert_feed_forward_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"expert_feed_forward_length", GgufValue::of_u32(72), ErrorCode::kUnsupported},
      {"expert_gating_func", GgufValue::of_u32(2), ErrorCode::kUnsupported},
      {"expert_weights_scale", GgufValue::of_f32(2.5F), ErrorCode::kUnsupported},
      {"expert_shared_count", GgufValue::of_u32(1), ErrorCode::kUnsupported},
      {"expert_group_count", GgufValue::of_u32(4), ErrorCode::kUnsupported},
      {"leading_dense_block_count", GgufValue::of_u32(1), ErrorCode::kUnsupported},
      {"interleave_moe_layer_step", GgufValue::of_u32(2), ErrorCode::kUnsupported},
  };
  for (const std::string name : {"llama", "qwen3moe"}) {
    for (const Refusal& refusal : refusals) {
      const auto spec = read(name, [&](Metadata& m) {
        m.set(name + ".expert_count", GgufValue::of_u32(8));
        m.set(name + ".expert_used_count", GgufValue::of_u32(2));
        m.set(name + "." + refusal.key, refusal.value);
      });
      SCOPED_TRACE(name + "." + refusal.key);
      ASSERT_FALSE(spec);
      EXPECT_EQ(spec.error().code, refusal.code) << spec.error().text();
      EXPECT_NE(spec.error().message.find(name + "."), std::string::npos) << spec.error().text();
    }
  }
  const auto none =
      read("qwen3moe", [](Metadata& m) { m.set("qwen3moe.expert_count", GgufValue::of_u32(0)); });
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("expert_count is 0"), std::string::npos);
  for (const Architecture* architecture : decoders()) {
    const std::string name = architecture->name;
    if (name == "llama" || has_experts(name)) continue;
    const auto spec =
        read(name, [&](Metadata& m) { m.set(name + ".expert_count", GgufValue::of_u32(8)); });
    ASSERT_FALSE(spec) << name;
    EXPECT_EQ(spec.error().code, ErrorCode::kUnsupported) << spec.error().text();
  }
}

// Of encoders, with the keys that they read.
TEST(Architecture, AbsurdHyperParametersOfEncodersAreRefused) {
  const auto read_encoder = [](const std::function<void(Metadata&)>& change) {
    return read("bert", [&](Metadata& m) {
      m.erase("bert.attention.head_count_kv");
      m.set("bert.attention.layer_norm_epsilon", GgufValue::of_f32(1e-12F));
      change(m);
    });
  };
  const auto plain = read_encoder([](Metadata&) {});
  ASSERT_TRUE(plain) << plain.error().text();
  EXPECT_TRUE(plain->encoder);
  EXPECT_EQ(plain->kv_heads, plain->heads);
  const Refusal refusals[] = {
      {"block_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"block_count", GgufValue::of_u32(1U << 31), ErrorCode::kCorrupt},
      {"embedding_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"embedding_length", GgufValue::of_u32(257), ErrorCode::kCorrupt},
      {"feed_forward_length", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"context_length", GgufValue::of_u64(std::uint64_t{1} << 60), ErrorCode::kCorrupt},
      {"attention.head_count", GgufValue::of_u32(0), ErrorCode::kCorrupt},
      {"attention.head_count", GgufValue::of_u32(16), ErrorCode::kUnsupported},
      {"attention.head_count_kv", GgufValue::of_u32(2), ErrorCode::kUnsupported},
      {"attention.layer_norm_epsilon", GgufValue::of_f32(NAN), ErrorCode::kCorrupt},
      {"attention.layer_norm_epsilon", GgufValue::of_f32(-1.0F), ErrorCode::kCorrupt},
      {"attention.causal", GgufValue::of_bool(true), ErrorCode::kUnsupported},
      {"expert_count", GgufValue::of_u32(8), ErrorCode::kUnsupported},
      {"pooling_type", GgufValue::of_u32(9), ErrorCode::kUnsupported},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.key);
    const auto spec = read_encoder(
        [&](Metadata& m) { m.set(std::string("bert.") + refusal.key, refusal.value); });
    ASSERT_FALSE(spec);
    EXPECT_EQ(spec.error().code, refusal.code) << spec.error().text();
  }
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "feed_forward_length",
        "attention.head_count", "attention.layer_norm_epsilon"}) {
    const std::string name = std::string("bert.") + key;
    const auto spec = read_encoder([&](Metadata& m) { m.erase(name); });
    ASSERT_FALSE(spec) << name;
    EXPECT_NE(spec.error().message.find(name), std::string::npos) << spec.error().text();
  }
}

TEST(Architecture, MissingHyperParametersAreNamed) {
  for (const Architecture* architecture : decoders()) {
    const std::string name = architecture->name;
    for (const char* suffix :
         {"block_count", "context_length", "embedding_length", "feed_forward_length",
          "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
      const std::string key = name + "." + suffix;
      const auto spec = read(name, [&](Metadata& m) { m.erase(key); });
      ASSERT_FALSE(spec) << key;
      EXPECT_NE(spec.error().message.find(key), std::string::npos) << spec.error().text();
    }
  }
}

TEST(Architecture, SpecialHyperParametersAreBounded) {
  const auto refused = [](const std::string& name, const std::string& key, GgufValue value) {
    const auto spec = read(name, [&](Metadata& m) {
      m.set(name + ".attention.sliding_window", GgufValue::of_u32(16));
      m.set(name + ".rope.scaling.type", GgufValue::of_string("yarn"));
      m.set(name + ".rope.scaling.factor", GgufValue::of_f32(2.0F));
      m.set(key, value);
    });
    return !spec && spec.error().message.find(key) != std::string::npos;
  };
  EXPECT_TRUE(refused("gemma2", "gemma2.attn_logit_softcapping", GgufValue::of_f32(-1.0F)));
  EXPECT_TRUE(refused("gemma2", "gemma2.final_logit_softcapping", GgufValue::of_f32(NAN)));
  EXPECT_TRUE(refused("gemma3", "gemma3.attention.sliding_window",
                      GgufValue::of_u64(std::uint64_t{1} << 63)));
  EXPECT_TRUE(refused("gemma3", "gemma3.attention.sliding_window_pattern", GgufValue::of_u32(0)));
  EXPECT_TRUE(refused("gemma3", "gemma3.rope.freq_base_swa", GgufValue::of_f32(0.5F)));
  EXPECT_TRUE(refused("qwen2", "qwen2.rope.scaling.factor", GgufValue::of_f32(0.5F)));
  EXPECT_TRUE(refused("qwen2", "qwen2.rope.scaling.yarn_beta_slow", GgufValue::of_f32(64.0F)));
  EXPECT_TRUE(refused("qwen2", "qwen2.rope.scaling.yarn_ext_factor", GgufValue::of_f32(0.5F)));
  EXPECT_TRUE(refused("phi3", "phi3.feed_forward_length", GgufValue::of_u32(500)));
}

}  // namespace
}  // namespace paring::model
