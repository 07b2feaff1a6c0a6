// SPDX-License-Identifier: Apache-2.0
// Adapters as PEFT saves them: against PEFT's own computation in double precision on tiny random
// models (tests/data/adapters, made by tools/make_adapters.py), and folders that must be refused.
#include "model/peft_adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "io/folder_for_test.h"
#include "io/safetensors_writer.h"
#include "model/adapter_file.h"
#include "model/architecture.h"
#include "model/forward.h"
#include "model/lora.h"
#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::model {
namespace {

using Json = nlohmann::json;
using testing::CollectSink;

const std::string kData = PARING_SOURCE_DIR "/tests/data/";

const Json& golden() {
  static const Json json = [] {
    std::ifstream file(kData + "adapters/logits.json");
    return Json::parse(file);
  }();
  return json;
}

std::vector<std::string> adapter_names() {
  std::vector<std::string> names;
  for (const auto& [name, rows] : golden()["adapters"].items()) names.push_back(name);
  return names;
}

// Logits of all tokens, in one step.
std::vector<float> logits(const Model& model, const Lora* adapter,
                          const std::vector<std::int32_t>& tokens) {
  const auto executor = testing::make_executor(2);
  const ModelView view(model);
  const ForwardShape shape{.tokens_max = tokens.size(),
                           .context_tokens = tokens.size(),
                           .lora_rank = adapter == nullptr ? 0 : adapter->rank_max()};
  auto forward = Forward::create(model.spec(), shape, *executor).value();
  KvPool pool =
      KvPool::create(model.spec(), kernels::KvType::kF32, {.tokens = tokens.size()}).value();
  KvSequence sequence(pool);
  EXPECT_TRUE(sequence.grow(tokens.size()).has_value());
  CollectSink sink;
  ForwardOptions options;
  options.numerics = Numerics::kExact;
  options.sink = &sink;
  const Segment segment{&sequence, tokens, tokens.size(), adapter};
  forward->run(view, {&segment, 1}, options);
  return sink.rows;
}

class PeftGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(PeftGolden, LogitsAreThoseOfPeft) {
  const Json& wanted = golden()["adapters"][GetParam()];
  const std::string base = wanted["base"].get<std::string>();
  const auto file = io::ModelFile::open_gguf(kData + "architectures/" + base + ".gguf").value();
  const auto executor = testing::make_executor(2);
  const auto model = Model::load(file, *executor).value();
  const auto opened = AdapterFile::open(kData + "adapters/" + GetParam(), model->spec());
  ASSERT_TRUE(opened) << opened.error().text();
  const auto adapter = Lora::load(*opened, *model, 1.0F);
  ASSERT_TRUE(adapter) << adapter.error().text();
  const auto tokens = golden()["tokens"].get<std::vector<std::int32_t>>();
  const auto apart = [&](const std::vector<float>& found) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < wanted["logits"].size(); ++i) {
      const std::size_t row =
          golden()["positions"][i].get<std::size_t>() * model->spec().vocabulary;
      for (std::size_t v = 0; v < model->spec().vocabulary; ++v) {
        const double want = wanted["logits"][i][v].get<double>();
        difference += (found[row + v] - want) * (found[row + v] - want);
        size += want * want;
      }
    }
    return std::sqrt(difference / size);
  };
  EXPECT_LT(apart(logits(*model, adapter->get(), tokens)), 5e-6);
  EXPECT_GT(apart(logits(*model, nullptr, tokens)), 0.02);
}

INSTANTIATE_TEST_SUITE_P(All, PeftGolden, ::testing::ValuesIn(adapter_names()),
                         [](const auto& name) {
                           std::string text = name.param;
                           std::replace(text.begin(), text.end(), '-', '_');
                           return text;
                         });

struct Tensor {
  io::SafetensorsDeclaration declaration;
  std::vector<float> values;
};

// A folder for testing::tiny_spec(), rank 2 and alpha 6, on the queries of layer 0 and on the
// feed-forward output of layer 1.
struct Folder {
  Json config = {{"peft_type", "LORA"},
                 {"r", 2},
                 {"lora_alpha", 6},
                 {"target_modules", {"q_proj", "down_proj"}}};
  std::vector<Tensor> tensors;

  Folder() {
    add("model.layers.0.self_attn.q_proj", 2, 128, 96);
    add("model.layers.1.mlp.down_proj", 2, 96, 160);
  }
  void add(const std::string& module, std::uint64_t rank, std::uint64_t rows,
           std::uint64_t columns) {
    add_one(module + ".lora_A.weight", rank, columns);
    add_one(module + ".lora_B.weight", rows, rank);
  }
  void add_one(const std::string& name, std::uint64_t rows, std::uint64_t columns) {
    tensors.push_back({{"base_model.model." + name, DType::kF32, {rows, columns}},
                       testing::random_values(rows * columns, tensors.size(), 0.1)});
  }
};

class PeftAdapterTest : public io::FolderTest {
 protected:
  void save(const Folder& folder) const {
    write("adapter_config.json", folder.config.dump());
    std::vector<io::SafetensorsDeclaration> declared;
    for (const Tensor& tensor : folder.tensors) declared.push_back(tensor.declaration);
    auto writer = io::SafetensorsWriter::create(path("adapter_model.safetensors"),
                                                io::Overwrite::kReplace, declared)
                      .value();
    for (const Tensor& tensor : folder.tensors) {
      ASSERT_TRUE(writer.append(std::as_bytes(std::span(tensor.values))));
    }
    ASSERT_TRUE(writer.commit());
  }
  Result<AdapterFile> open() const {
    return AdapterFile::open(folder_.string(), testing::tiny_spec());
  }
  void refuses(const std::function<void(Folder&)>& change, ErrorCode code,
               const std::vector<std::string>& says) const {
    Folder folder;
    change(folder);
    save(folder);
    expect(open(), code, says);
  }
  template <typename T>
  static void expect(const Result<T>& result, ErrorCode code,
                     const std::vector<std::string>& says) {
    ASSERT_FALSE(result) << says.front();
    EXPECT_EQ(result.error().code, code) << result.error().text();
    for (const std::string& part : says) {
      EXPECT_NE(result.error().text().find(part), std::string::npos)
          << "no '" << part << "' in: " << result.error().text();
    }
  }
  static std::function<void(Folder&)> with(const char* field, Json value) {
    return [=](Folder& folder) { folder.config[field] = value; };
  }
};

TEST_F(PeftAdapterTest, NamesShapesAndScalesBecomeThoseOfGguf) {
  Folder folder;
  folder.config["use_rslora"] = true;
  folder.config["alpha_pattern"] = {{"layers.0.self_attn.q_proj", 8}};
  save(folder);
  const auto file = open();
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_EQ(file->pairs().size(), 2U);
  EXPECT_EQ(file->pairs()[0].down->name, "blk.0.attn_q.weight.lora_a");
  EXPECT_FLOAT_EQ(file->pairs()[0].scale, 8 / std::sqrt(2.0F));
  EXPECT_EQ(file->pairs()[1].up->name, "blk.1.ffn_down.weight.lora_b");
  EXPECT_FLOAT_EQ(file->pairs()[1].scale, 6 / std::sqrt(2.0F));
  EXPECT_EQ(file->rank_max(), 2U);
  // Rows of a matrix come in panels of 16: (16 x 96 + 128 x 2 + 16 x 160 + 96 x 2) values, and the
  // largest tensor, 2 x 160, before it is packed.
  EXPECT_EQ(file->memory_bytes(), 4U * (16 * 96 + 128 * 2 + 16 * 160 + 96 * 2 + 2 * 160));
}

TEST_F(PeftAdapterTest, RowsOfQueriesAreThoseOfTheModelsLayout) {
  const Folder folder;
  save(folder);
  const auto file = open();
  ASSERT_TRUE(file) << file.error().text();
  const io::TensorBytes bytes = file->file().data(*file->pairs()[0].up);
  const auto* rows = reinterpret_cast<const float*>(bytes.data());
  const std::vector<float>& stored = folder.tensors[1].values;
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t pair = 0; pair < 16; ++pair) {
      EXPECT_EQ(rows[(head * 32 + 2 * pair) * 2], stored[(head * 32 + pair) * 2]);
      EXPECT_EQ(rows[(head * 32 + 2 * pair + 1) * 2], stored[(head * 32 + 16 + pair) * 2]);
    }
  }
}

TEST_F(PeftAdapterTest, FieldsThatChangeTheResultAreRefusedByNameAndValue) {
  const auto no = ErrorCode::kUnsupported;
  refuses(with("peft_type", "IA3"), no, {"'peft_type' is 'IA3'", "merge"});
  refuses(with("use_dora", true), no, {"'use_dora' is true"});
  refuses(with("bias", "lora_only"), no, {"'bias' is 'lora_only'"});
  refuses(with("lora_bias", true), no, {"'lora_bias' is true"});
  refuses(with("modules_to_save", {"lm_head"}), no, {"'modules_to_save' is a list of 1"});
  refuses(with("init_lora_weights", "pissa_niter_16"), no, {"'pissa_niter_16'"});
  refuses(with("layer_replication", {{0, 1}, {1, 2}}), no, {"'layer_replication.0'"});
  refuses(with("trainable_token_indices", {3, 4}), no, {"trainable_token_indices"});
  refuses(with("arrow_config", {{"top_k", 3}}), no, {"'arrow_config.top_k' is 3"});
  refuses(with("of_a_later_version", "twice"), no, {"'of_a_later_version' is 'twice'"});
  refuses(with("alpha_pattern", {{"layers\\.(0|1)", 3}}), no, {"regular expression"});
  // What says nothing, and what says how it was trained, is no reason.
  Folder folder;
  for (const char* field : {"use_dora", "lora_bias", "use_qalora"}) folder.config[field] = false;
  for (const char* field : {"modules_to_save", "layer_replication"}) folder.config[field] = Json();
  folder.config["target_parameters"] = Json::array();
  folder.config["loftq_config"] = Json::object();
  folder.config["init_lora_weights"] = "gaussian";
  folder.config["fan_in_fan_out"] = true;
  folder.config["lora_dropout"] = 0.05;
  save(folder);
  const auto file = open();
  EXPECT_TRUE(file) << file.error().text();
}

TEST_F(PeftAdapterTest, ValuesOutOfRangeAreRefused) {
  const auto bad = ErrorCode::kCorrupt;
  refuses(with("r", 0), bad, {"'r' is 0", "1024"});
  refuses(with("r", 1025), bad, {"'r' is 1025"});
  refuses(with("r", "four"), bad, {"'r'"});
  refuses(with("lora_alpha", 1e300), bad, {"'lora_alpha'"});
  refuses(with("rank_pattern", {{"q_proj", 0}}), bad, {"'rank_pattern.q_proj' is 0"});
  refuses(with("rank_pattern", {{"q_proj", 3}}), bad,
          {"rank of 'model.layers.0.self_attn.q_proj' is 3"});
  refuses(with("r", 3), bad, {"is 3, its tensors have 2"});
  refuses([](Folder& f) { f.config.erase("peft_type"); }, ErrorCode::kNotFound, {"peft_type"});
}

TEST_F(PeftAdapterTest, TensorsThatDoNotFitAreRefusedByName) {
  const auto bad = ErrorCode::kCorrupt;
  const auto no = ErrorCode::kUnsupported;
  refuses([](Folder& f) { f.tensors.pop_back(); }, bad, {"ffn_down", "no counterpart"});
  refuses([](Folder& f) { f.tensors.clear(); }, bad, {"no tensors"});
  refuses([](Folder& f) { f.add_one("model.embed_tokens.lora_embedding_A", 2, 83); }, no,
          {"lora_embedding_A", "neither A nor B"});
  refuses([](Folder& f) { f.add_one("model.layers.0.self_attn.q_proj.bias", 1, 128); }, no,
          {"q_proj.bias"});
  refuses([](Folder& f) { f.add("model.layers.2.mlp.down_proj", 2, 96, 160); }, bad,
          {"is of layer 2, the model has 2"});
  refuses([](Folder& f) { f.add("transformer.h.0.mlp.down_proj", 2, 96, 160); }, bad,
          {"'transformer.h.0.mlp.down_proj'", "another model"});
  refuses([](Folder& f) { f.add("model.layers.1.mlp.experts.0.down_proj", 2, 96, 160); }, bad,
          {"experts"});
  refuses([](Folder& f) { f.add("model.layers.1.self_attn.k_proj", 2, 64, 96); }, bad,
          {"k_proj", "leaves alone"});
  refuses([](Folder& f) { f.config["layers_to_transform"] = {0}; }, bad, {"layers_to_transform"});
  refuses([](Folder& f) { f.config["exclude_modules"] = {"down_proj"}; }, bad, {"down_proj"});
  refuses([](Folder& f) { f.tensors[1].declaration.shape = {64, 4}; }, bad, {"has 64 rows", "128"});
  refuses([](Folder& f) { f.tensors[2].declaration.shape = {2, 80, 2}; }, bad,
          {"must be a matrix"});
  refuses(
      [](Folder& f) {
        f.tensors[3].declaration.shape = {95, 2};
        f.tensors[3].values.resize(190);
      },
      bad, {"95 x 2", "the model's matrix is 96 x 160"});
  refuses(
      [](Folder& f) {
        f.tensors[0].declaration.name = "model.layers.0.self_attn.q_proj.lora_A.weight";
      },
      no, {"base_model.model."});
}

TEST_F(PeftAdapterTest, ValuesThatAreNoNumbersAndScalesBeyondAllAreRefused) {
  const auto model = testing::random_model(testing::tiny_spec(), DType::kF32, 53).model;
  Folder folder;
  save(folder);
  expect(Lora::load(*open(), *model, 3e38F), ErrorCode::kInvalidArgument,
         {"times 3 (alpha / rank)", "3e+38", folder_.string()});
  folder.tensors[1].values[7] = NAN;
  save(folder);
  expect(Lora::load(*open(), *model, 1), ErrorCode::kCorrupt, {"lora_b", "not finite"});
}

TEST_F(PeftAdapterTest, MissingAndCutFilesAreNamed) {
  expect(open(), ErrorCode::kNotFound, {"holds no adapter_config.json"});
  write("adapter_config.json", "{\"peft_type\": \"LORA\"");
  expect(open(), ErrorCode::kCorrupt, {"adapter_config.json", "was cut"});
  write("adapter_config.json", "{\"peft_type\": \"LORA\"}");
  expect(open(), ErrorCode::kNotFound, {"holds no adapter_model.safetensors", "incomplete"});
  write("adapter_model.bin", "pickle");
  expect(open(), ErrorCode::kNotFound, {"can run any program"});
  const Folder folder;
  save(folder);
  std::filesystem::resize_file(path("adapter_model.safetensors"), 900);
  expect(open(), ErrorCode::kCorrupt, {"adapter_model.safetensors"});
  std::filesystem::remove(path("adapter_model.safetensors"));
  std::filesystem::create_symlink("/etc/hostname", path("adapter_model.safetensors"));
  expect(open(), ErrorCode::kInvalidArgument, {"outside of its folder"});
}

TEST_F(PeftAdapterTest, EncodersHaveNone) {
  save(Folder());
  BlockSpec spec = testing::tiny_spec();
  spec.encoder.emplace();
  expect(AdapterFile::open(folder_.string(), spec), ErrorCode::kUnsupported, {"encoder"});
}

}  // namespace
}  // namespace paring::model
