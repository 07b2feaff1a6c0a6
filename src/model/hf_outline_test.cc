// SPDX-License-Identifier: Apache-2.0
// What a config.json implies is what the model has: against a small model of every architecture.
#include "model/hf_outline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "io/outline.h"
#include "model/architecture.h"
#include "model/hf_export.h"
#include "model/hf_translation.h"

namespace paring::model {
namespace {

using Row = std::tuple<std::string, std::vector<std::uint64_t>>;

std::vector<Row> rows(const io::ModelFile& file) {
  std::vector<Row> found;
  for (const io::TensorInfo& tensor : file.tensors()) found.emplace_back(tensor.name, tensor.shape);
  std::sort(found.begin(), found.end());
  return found;
}

Result<io::ModelFile> outline(const std::string& config) {
  PARING_TRY(io::HfFolder folder, io::outline_hf_config(config, "config.json"));
  PARING_TRY_VOID(imply_hf_tensors(folder));
  PARING_TRY(io::ModelParts parts, translate_hf(folder));
  return io::ModelFile(std::move(parts));
}

class Architectures : public testing::TestWithParam<std::string> {};

TEST(HfConfig, ATokenThatTheModelLacksIsNullAndNotLeftOut) {
  const auto file = io::ModelFile::open_gguf("tests/data/architectures/phi3.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().text();
  ASSERT_FALSE(file->metadata().has("tokenizer.ggml.padding_token_id"));
  const auto config = hf_config_json(*file, {});
  ASSERT_TRUE(config.has_value()) << config.error().text();
  EXPECT_NE(config->find("\"pad_token_id\": null"), std::string::npos) << *config;
}

TEST_P(Architectures, TensorsAreThoseOfTheModel) {
  const auto file = io::ModelFile::open_gguf("tests/data/architectures/" + GetParam());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  const auto config = hf_config_json(*file, {});
  ASSERT_TRUE(config.has_value()) << config.error().text();
  const auto implied = outline(*config);
  ASSERT_TRUE(implied.has_value()) << implied.error().text();
  EXPECT_FALSE(implied->has_values());
  EXPECT_EQ(rows(*implied), rows(*file));
  const auto spec = read_block_spec(*implied);
  const auto expected = read_block_spec(*file);
  ASSERT_TRUE(spec.has_value()) << spec.error().text();
  EXPECT_EQ(spec->tied_head, expected->tied_head);
  EXPECT_EQ(spec->scopes, expected->scopes);
  EXPECT_EQ(spec->ropes[0].divisors.size(), expected->ropes[0].divisors.size());
}

// Those whose config.json can be written; published configurations of the others are in
// tests/test_remote_models.py.
INSTANTIATE_TEST_SUITE_P(EveryOne, Architectures,
                         testing::Values("llama-linear.gguf", "llama-llama3.gguf",
                                         "llama-yarn.gguf", "mistral-window.gguf", "qwen2.gguf",
                                         "qwen2-yarn-betas.gguf", "qwen3.gguf", "gemma2.gguf",
                                         "gemma3.gguf", "phi3.gguf", "phi3-short.gguf",
                                         "phi3-long.gguf", "mixtral.gguf", "qwen3moe.gguf",
                                         "qwen3moe-unnormed.gguf"),
                         [](const auto& each) {
                           std::string name = each.param.substr(0, each.param.find('.'));
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace paring::model
