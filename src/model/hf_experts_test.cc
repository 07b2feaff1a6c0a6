// SPDX-License-Identifier: Apache-2.0
// Folders whose matrices of experts lie apart: read as one tensor, and refused when they lie. What
// is computed of them is held to transformers in architectures_golden_test.cc and by
// tests/test_hf_folder.py.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "io/folder_for_test.h"
#include "io/safetensors_writer.h"
#include "model/architecture.h"
#include "model/hf_translation.h"

namespace paring::model {
namespace {

using io::SafetensorsDeclaration;
using Tensors = std::vector<SafetensorsDeclaration>;

constexpr const char* kConfig = R"({
  "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_act": "silu",
  "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 3,
  "num_experts_per_tok": 2, "norm_topk_prob": true, "decoder_sparse_step": 1,
  "mlp_only_layers": [], "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 1, "max_position_embeddings": 256, "vocab_size": 8
})";

std::string name_of(std::size_t expert, const char* part) {
  return "model.layers.0.mlp.experts." + std::to_string(expert) + "." + part + "_proj.weight";
}

// Of the experts alone: the translation does not ask for the others.
Tensors expert_tensors() {
  Tensors tensors = {{"model.layers.0.mlp.gate.weight", DType::kBF16, {3, 64}}};
  for (const std::size_t expert : {2U, 0U, 1U}) {
    tensors.push_back({name_of(expert, "gate"), DType::kBF16, {32, 64}});
    tensors.push_back({name_of(expert, "up"), DType::kBF16, {32, 64}});
    tensors.push_back({name_of(expert, "down"), DType::kBF16, {64, 32}});
  }
  return tensors;
}

class HfExperts : public io::FolderTest {
 protected:
  // Every value of a tensor is a BF16 of the tensor's place in the list.
  Result<io::ModelFile> open(const Tensors& tensors, const std::string& config = kConfig) {
    write("config.json", config);
    PARING_TRY(
        io::SafetensorsWriter writer,
        io::SafetensorsWriter::create(path("model.safetensors"), io::Overwrite::kReplace, tensors));
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      std::vector<std::byte> bytes(tensors[i].bytes(), static_cast<std::byte>(i));
      PARING_TRY_VOID(writer.append(bytes));
    }
    PARING_TRY_VOID(writer.commit());
    PARING_TRY(io::HfFolder folder, io::HfFolder::open(folder_.string()));
    PARING_TRY(io::ModelParts parts, translate_hf(folder));
    return io::ModelFile(std::move(parts));
  }
  std::string refused(const std::function<void(Tensors&)>& change) {
    Tensors tensors = expert_tensors();
    change(tensors);
    const auto file = open(tensors);
    return file ? "" : file.error().text();
  }
  std::string refused_config(const std::string& from, const std::string& to) {
    std::string config = kConfig;
    const std::size_t at = config.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    const auto file = open(expert_tensors(), config.replace(at, from.size(), to));
    return file ? "" : file.error().text();
  }
};

#define EXPECT_IN(part, text) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(HfExperts, MatricesApartAreOneTensorInTheirOrder) {
  const auto file = open(expert_tensors());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  const io::TensorInfo* up = file->find("blk.0.ffn_up_exps.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->shape, (std::vector<std::uint64_t>{64, 32, 3}));
  const io::TensorBytes bytes = file->data(*up);
  ASSERT_EQ(bytes.size(), 3U * 32 * 64 * 2);
  // Expert 2 is written first: its matrix "up" is tensor 2; those of 0 and 1 are 5 and 8.
  EXPECT_EQ(bytes.span()[0], std::byte{5});
  EXPECT_EQ(bytes.span()[bytes.size() / 2], std::byte{8});
  EXPECT_EQ(bytes.span()[bytes.size() - 1], std::byte{2});
  const io::TensorInfo* router = file->find("blk.0.ffn_gate_inp.weight");
  ASSERT_NE(router, nullptr);
  EXPECT_EQ(router->type, DType::kF32);
  EXPECT_EQ(file->metadata().get_u64("qwen3moe.expert_count").value(), 3U);
  EXPECT_FALSE(file->metadata().has("qwen3moe.expert_weights_norm"));
}

TEST_F(HfExperts, TensorsThatCannotBeAreRefusedByName) {
  EXPECT_IN("the matrix of expert 1 is missing", refused([](Tensors& t) {
              std::erase_if(t, [](const auto& each) { return each.name == name_of(1, "up"); });
            }));
  EXPECT_IN("is of expert 3, the configuration has 3",
            refused([](Tensors& t) { t.push_back({name_of(3, "up"), DType::kBF16, {32, 64}}); }));
  EXPECT_IN("is of expert 4000000000", refused([](Tensors& t) {
              t.push_back({name_of(4'000'000'000U, "up"), DType::kBF16, {32, 64}});
            }));
  EXPECT_IN("differs in shape or type", refused([](Tensors& t) { t.back().shape = {32, 32}; }));
  EXPECT_IN("differs in shape or type", refused([](Tensors& t) { t.back().type = DType::kF16; }));
  EXPECT_IN("must have two dimensions", refused([](Tensors& t) { t[1].shape = {2048}; }));
  EXPECT_IN("is not known for this architecture", refused([](Tensors& t) {
              t.push_back({"model.layers.0.mlp.experts.0.1.weight", DType::kBF16, {32, 64}});
            }));
}

TEST_F(HfExperts, NumbersThatCannotBeAreRefusedByName) {
  EXPECT_IN("'num_experts' is 0", refused_config("\"num_experts\": 3", "\"num_experts\": 0"));
  EXPECT_IN("'num_experts' is 1000000",
            refused_config("\"num_experts\": 3", "\"num_experts\": 1000000"));
  EXPECT_IN("'decoder_sparse_step' is 2",
            refused_config("\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2"));
  EXPECT_IN("'mlp_only_layers' is not empty",
            refused_config("\"mlp_only_layers\": []", "\"mlp_only_layers\": [0]"));
  EXPECT_EQ(refused_config("\"num_experts\"", "\"num_local_experts\""), "");
}

TEST_F(HfExperts, WeightsThatAreNotNormalizedAreSaid) {
  std::string config = kConfig;
  const std::string key = "\"norm_topk_prob\": true, ";
  config.erase(config.find(key), key.size());  // transformers' default is false
  const auto file = open(expert_tensors(), config);
  ASSERT_TRUE(file.has_value()) << file.error().text();
  EXPECT_FALSE(file->metadata().bool_or("qwen3moe.expert_weights_norm", true).value());
}

}  // namespace
}  // namespace paring::model
