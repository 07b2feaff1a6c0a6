// SPDX-License-Identifier: Apache-2.0
#include "model/lora.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/gguf_writer.h"
#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::model {
namespace {

using testing::CollectSink;
using testing::make_executor;
using testing::random_model;
using testing::random_values;
using testing::RandomModel;
using testing::test_tokens;

constexpr std::size_t kRank = 5;
constexpr float kAlpha = 10.0F;

struct Tensor {
  std::string name;
  std::uint64_t columns;
  std::uint64_t rows;
  std::vector<float> values;
};

struct AdapterContent {
  io::Metadata metadata;
  std::vector<Tensor> tensors;
};

// Random A and B of every matrix that may be adapted.
AdapterContent adapter_for(const Model& model, std::uint64_t seed) {
  AdapterContent file;
  file.metadata.set("general.type", io::GgufValue::of_string("adapter"));
  file.metadata.set("general.architecture", io::GgufValue::of_string(model.spec().architecture));
  file.metadata.set("adapter.type", io::GgufValue::of_string("lora"));
  file.metadata.set("adapter.lora.alpha", io::GgufValue::of_f32(kAlpha));
  for (const MatrixSlot& slot : model.slots()) {
    if (slot.name.find("blk.") != 0) continue;
    file.tensors.push_back(
        {slot.name + ".lora_a", slot.cols, kRank, random_values(kRank * slot.cols, ++seed, 0.05)});
    file.tensors.push_back(
        {slot.name + ".lora_b", kRank, slot.rows, random_values(kRank * slot.rows, ++seed, 0.05)});
  }
  return file;
}

class LoraTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("paring_lora_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<std::shared_ptr<const Lora>> load(const AdapterContent& file, const Model& model,
                                           float scale = 1) {
    const std::string path = (folder_ / "adapter.gguf").string();
    PARING_TRY(auto writer, io::GgufWriter::create(path, io::Overwrite::kReplace));
    writer.set_metadata(file.metadata);
    for (const Tensor& tensor : file.tensors) {
      PARING_TRY_VOID(writer.declare({tensor.name, DType::kF32, {tensor.columns, tensor.rows}}));
    }
    PARING_TRY_VOID(writer.begin());
    for (const Tensor& tensor : file.tensors) {
      PARING_TRY_VOID(writer.append(tensor.name, std::as_bytes(std::span(tensor.values))));
    }
    PARING_TRY_VOID(writer.commit());
    PARING_TRY(const AdapterFile opened, AdapterFile::open(path, model.spec()));
    return Lora::load(opened, model, scale);
  }

  std::filesystem::path folder_;
};

// Logits of all tokens of each text, in one step.
std::vector<std::vector<float>> run(const Model& model,
                                    const std::vector<std::vector<std::int32_t>>& texts,
                                    const std::vector<const Lora*>& adapters, Numerics numerics,
                                    std::size_t threads) {
  const auto executor = make_executor(threads);
  const ModelView view(model);
  auto forward =
      Forward::create(model.spec(), {.tokens_max = 128, .lora_rank = kRank}, *executor).value();
  KvPool pool = KvPool::create(model.spec(), kernels::KvType::kF32, {.tokens = 512}).value();
  std::vector<std::unique_ptr<KvSequence>> sequences;
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    sequences.push_back(std::make_unique<KvSequence>(pool));
    EXPECT_TRUE(sequences.back()->grow(texts[i].size()).has_value());
    segments.push_back({sequences.back().get(), texts[i], texts[i].size(), adapters[i]});
  }
  CollectSink sink;
  ForwardOptions options;
  options.numerics = numerics;
  options.sink = &sink;
  forward->run(view, segments, options);
  std::vector<std::vector<float>> logits;
  auto next = sink.rows.begin();
  for (const auto& text : texts) {
    const auto end = next + static_cast<std::ptrdiff_t>(text.size() * model.spec().vocabulary);
    logits.emplace_back(next, end);
    next = end;
  }
  return logits;
}

// The model with W + scale alpha / r B A in the place of each W.
std::shared_ptr<const Model> merged(const RandomModel& random, const AdapterContent& file,
                                    float scale) {
  std::vector<kernels::PackedMatrix> matrices;
  ModelVectors vectors;
  for (std::size_t i = 0; i < random.model->matrix_count(); ++i) {
    const MatrixSlot& slot = random.model->slot(i);
    std::vector<float> values = random.decoded[i];
    for (std::size_t t = 0; t + 1 < file.tensors.size(); t += 2) {
      if (file.tensors[t].name != slot.name + ".lora_a") continue;
      const std::vector<float>& down = file.tensors[t].values;
      const std::vector<float>& up = file.tensors[t + 1].values;
      for (std::size_t row = 0; row < slot.rows; ++row) {
        for (std::size_t column = 0; column < slot.cols; ++column) {
          double sum = 0;
          for (std::size_t r = 0; r < kRank; ++r) {
            sum += double{up[row * kRank + r]} * double{down[r * slot.cols + column]};
          }
          values[row * slot.cols + column] +=
              static_cast<float>(sum * double{scale * kAlpha} / double{kRank});
        }
      }
    }
    matrices.push_back(kernels::pack(DType::kF32, reinterpret_cast<const std::byte*>(values.data()),
                                     slot.rows, slot.cols)
                           .value());
  }
  for (std::size_t layer = 0; layer < random.model->spec().layers; ++layer) {
    vectors.norms.push_back(random.model->norms(layer));
  }
  vectors.final_norm = random.model->final_norm();
  vectors.biases.resize(random.model->matrix_count());
  for (std::size_t i = 0; i < vectors.biases.size(); ++i) {
    vectors.biases[i] = random.model->bias(i);
  }
  return Model::from_parts(random.model->spec(), std::move(matrices), std::move(vectors)).value();
}

TEST_F(LoraTest, ComputesWhatMergedWeightsCompute) {
  for (const BlockSpec& spec : {testing::tiny_spec(), testing::rich_spec()}) {
    const RandomModel random = random_model(spec, DType::kF32, 51);
    const AdapterContent file = adapter_for(*random.model, 300);
    const auto adapter = load(file, *random.model, 0.5F);
    ASSERT_TRUE(adapter.has_value()) << adapter.error().text();
    const auto tokens = test_tokens(40, spec.vocabulary, 3);
    const auto ours = run(*random.model, {tokens}, {adapter->get()}, Numerics::kExact, 2)[0];
    const auto plain = run(*random.model, {tokens}, {nullptr}, Numerics::kExact, 2)[0];
    const auto want = run(*merged(random, file, 0.5F), {tokens}, {nullptr}, Numerics::kExact, 2)[0];
    double apart = 0;
    double moved = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      apart = std::max(apart, std::abs(double{ours[i]} - double{want[i]}));
      moved = std::max(moved, std::abs(double{plain[i]} - double{want[i]}));
    }
    EXPECT_LT(apart, 2e-4) << spec.architecture;
    EXPECT_GT(moved, 0.1) << spec.architecture;
  }
}

TEST_F(LoraTest, SegmentsOfABatchDoNotMatterToEachOther) {
  for (const DType type : {DType::kF16, DType::kQ8_0}) {
    const RandomModel random = random_model(testing::tiny_spec(), type, 52);
    const Model& model = *random.model;
    const auto first = load(adapter_for(model, 400), model);
    const auto second = load(adapter_for(model, 500), model, 2.0F);
    ASSERT_TRUE(first.has_value() && second.has_value());
    EXPECT_NE((*first)->id(), (*second)->id());
    const std::vector<const Lora*> adapters = {first->get(), nullptr, second->get(), second->get(),
                                               nullptr};
    std::vector<std::vector<std::int32_t>> texts;
    for (std::size_t i = 0; i < adapters.size(); ++i) {
      texts.push_back(test_tokens(i == 2 ? 30 : 1 + i, model.spec().vocabulary, 60 + i));
    }
    for (const std::size_t threads : {1, 2, 3}) {
      const auto together = run(model, texts, adapters, Numerics::kServed, threads);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(together[i], run(model, {texts[i]}, {adapters[i]}, Numerics::kServed, 1)[0])
            << "text " << i << ", " << threads << " threads";
      }
      EXPECT_EQ(together[1], run(model, {texts[1]}, {nullptr}, Numerics::kServed, 1)[0]);
    }
  }
}

TEST_F(LoraTest, RefusesWhatDoesNotFit) {
  const RandomModel random = random_model(testing::tiny_spec(), DType::kF32, 53);
  const Model& model = *random.model;
  const auto refuses = [&](const std::function<void(AdapterContent&)>& change, ErrorCode code,
                           const std::string& says) {
    AdapterContent file = adapter_for(model, 600);
    change(file);
    const auto loaded = load(file, model);
    ASSERT_FALSE(loaded.has_value()) << says;
    EXPECT_EQ(loaded.error().code, code) << loaded.error().text();
    EXPECT_NE(loaded.error().text().find(says), std::string::npos) << loaded.error().text();
  };
  const auto set = [](const char* key, const char* value) {
    return [=](AdapterContent& file) { file.metadata.set(key, io::GgufValue::of_string(value)); };
  };
  refuses(set("general.type", "model"), ErrorCode::kInvalidArgument, "is no adapter");
  refuses(set("adapter.type", "ia3"), ErrorCode::kUnsupported, "'ia3'");
  refuses(set("general.architecture", "qwen2"), ErrorCode::kInvalidArgument, "'qwen2'");
  refuses([](AdapterContent& file) { file.tensors.clear(); }, ErrorCode::kCorrupt, "no tensors");
  refuses([](AdapterContent& file) { file.tensors.pop_back(); }, ErrorCode::kCorrupt,
          "has no counterpart");
  refuses([](AdapterContent& file) { file.tensors[0].name = "blk.7.attn_q.weight.lora_a"; },
          ErrorCode::kCorrupt, "does not have");
  refuses([](AdapterContent& file) { file.tensors[0].name = "token_embd.weight.lora_a"; },
          ErrorCode::kUnsupported, "an embedding");
  refuses([](AdapterContent& file) { file.tensors[0].name = "blk.0.attn_q.weight"; },
          ErrorCode::kUnsupported, "neither A nor B");
  refuses([](AdapterContent& file) { file.tensors[0].values[3] = NAN; }, ErrorCode::kCorrupt,
          "not finite");
  refuses(
      [](AdapterContent& file) {
        file.tensors[0].rows = kRank - 1;
        file.tensors[0].values.resize((kRank - 1) * file.tensors[0].columns);
      },
      ErrorCode::kCorrupt, "the model's matrix is");
  refuses(
      [](AdapterContent& file) {
        file.metadata.set("adapter.lora.alpha", io::GgufValue::of_f32(INFINITY));
      },
      ErrorCode::kCorrupt, "adapter.lora.alpha");
  EXPECT_FALSE(load(adapter_for(model, 600), model, NAN).has_value());
}

}  // namespace
}  // namespace paring::model
