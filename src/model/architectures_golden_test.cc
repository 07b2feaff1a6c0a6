// SPDX-License-Identifier: Apache-2.0
// Every architecture and every way to stretch rotary embedding against Hugging Face's
// implementation in double precision, on tiny random models (tests/data/architectures, made by
// tools/make_architectures.py): windows shorter than the text, soft caps that bend, fewer key/value
// heads than query heads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/forward.h"
#include "model/testing/run_model.h"

namespace paring::model {
namespace {

using Json = nlohmann::json;
using testing::CollectSink;

const std::string kFolder = PARING_SOURCE_DIR "/tests/data/architectures/";

const Json& golden() {
  static const Json json = [] {
    std::ifstream file(kFolder + "logits.json");
    return Json::parse(file);
  }();
  return json;
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& [name, rows] : golden()["models"].items()) names.push_back(name);
  return names;
}

struct Settings {
  Numerics numerics = Numerics::kExact;
  kernels::KvType kv = kernels::KvType::kF32;
  std::vector<std::size_t> chunks;  // repeated; empty: one
  std::size_t threads = 2;
};

class ArchitectureGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto file = io::ModelFile::open_gguf(kFolder + GetParam() + ".gguf");
    ASSERT_TRUE(file) << file.error().text();
    const auto executor = Executor::create({.threads = 2, .pin = false}).value();
    auto model = Model::load(*file, *executor);
    ASSERT_TRUE(model) << model.error().text();
    model_ = std::move(model).value();
    tokens_ = golden()["tokens"].get<std::vector<std::int32_t>>();
  }

  // Logits of every token.
  std::vector<float> logits(const Settings& run) const {
    const auto executor = Executor::create({.threads = run.threads, .pin = false}).value();
    const ModelView view(*model_);
    auto forward =
        Forward::create(model_->spec(),
                        {.tokens_max = tokens_.size(), .context_tokens = tokens_.size()}, *executor)
            .value();
    KvPool pool = KvPool::create(model_->spec(), run.kv, {.tokens = tokens_.size()}).value();
    KvSequence sequence(pool);
    CollectSink sink;
    ForwardOptions options;
    options.numerics = run.numerics;
    options.sink = &sink;
    std::size_t done = 0;
    for (std::size_t i = 0; done < tokens_.size(); ++i) {
      const std::size_t wanted =
          run.chunks.empty() ? tokens_.size() : run.chunks[i % run.chunks.size()];
      const std::size_t count = std::min(wanted, tokens_.size() - done);
      EXPECT_TRUE(sequence.grow(count).has_value());
      const Segment segment{&sequence, std::span(tokens_).subspan(done, count), count};
      forward->run(view, {&segment, 1}, options);
      done += count;
    }
    return sink.rows;
  }

  // sqrt(sum of squared differences / sum of squares) over the golden positions.
  double error(const std::vector<float>& found) const {
    const Json& rows = golden()["models"][GetParam()];
    const std::size_t vocabulary = model_->spec().vocabulary;
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto position = golden()["positions"][i].get<std::size_t>();
      for (std::size_t v = 0; v < vocabulary; ++v) {
        const double want = rows[i][v].get<double>();
        const double got = found[position * vocabulary + v];
        difference += (got - want) * (got - want);
        size += want * want;
      }
    }
    return std::sqrt(difference / size);
  }

  std::shared_ptr<const Model> model_;
  std::vector<std::int32_t> tokens_;
};

TEST_P(ArchitectureGolden, ExactLogitsAgree) {
  // Sums in float, angles rounded to float: a few units of the sixth digit.
  EXPECT_LT(error(logits({})), 5e-6);
}

TEST_P(ArchitectureGolden, ServedLogitsAreNear) {
  const double found = error(logits({Numerics::kServed, kernels::KvType::kQ8, {}, 2}));
  EXPECT_LT(found, 0.08);
  EXPECT_GT(found, 1e-5) << "int8 activations or cache were not used";
}

TEST_P(ArchitectureGolden, ChunksAndThreadsGiveTheSameBits) {
  for (const auto& [numerics, kv] : {std::pair{Numerics::kExact, kernels::KvType::kF32},
                                     std::pair{Numerics::kServed, kernels::KvType::kQ8}}) {
    const auto want = logits({numerics, kv, {}, 1});
    EXPECT_EQ(logits({numerics, kv, {1}, 2}), want);
    EXPECT_EQ(logits({numerics, kv, {7, 33, 2}, 3}), want);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ArchitectureGolden, ::testing::ValuesIn(model_names()),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

TEST(Architectures, EachHasATinyModel) {
  std::set<std::string> seen;
  for (const std::string& name : model_names()) {
    auto file = io::ModelFile::open_gguf(kFolder + name + ".gguf");
    ASSERT_TRUE(file) << file.error().text();
    seen.insert(file->metadata().get_string("general.architecture").value());
  }
  // Encoders are compared with transformers in tests/ and in encoder_test.cc.
  for (const Architecture* architecture : architectures()) {
    if (architecture->is_encoder) continue;
    EXPECT_TRUE(seen.contains(architecture->name)) << architecture->name;
  }
}

}  // namespace
}  // namespace paring::model
