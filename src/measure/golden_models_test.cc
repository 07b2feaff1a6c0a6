// SPDX-License-Identifier: Apache-2.0
// Exact numerics against llama.cpp on real models of other architectures than the default model's:
// perplexity and log-probabilities on the pinned text (tests/data/golden, tools/make_golden.py, the
// files decoded to F32). Tokens come from the golden file, so no tokenizer is judged here. The
// models are fetched by tools/get_models.sh (./test long does); without them the tests are skipped
// and say so. One window, or all with PARING_LONG_TESTS set.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "measure/compare.h"
#include "measure/golden_for_test.h"
#include "measure/windows.h"

namespace paring::measure {
namespace {

struct Case {
  const char* golden;
  const char* file;
  const char* name;  // for tools/get_models.sh
};
constexpr Case kCases[] = {
    {"qwen2.5-coder-0.5b", "Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf", "qwen25-0.5b"},
    {"qwen2.5-coder-1.5b", "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf", "qwen25-1.5b"},
    {"gemma-3-270m", "gemma-3-270m-Q4_K_M.gguf", "gemma3"},
};

class GoldenModels : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string path = std::string(PARING_SOURCE_DIR "/models/") + GetParam().file;
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << path << " is not there; tools/get_models.sh models " << GetParam().name
                   << " fetches it";
    }
    golden_ = Json::parse(
        read(std::string(PARING_SOURCE_DIR "/tests/data/golden/") + GetParam().golden + ".json"));
    executor_ = Executor::create({}).value();
    auto file = io::ModelFile::open_gguf(path);
    ASSERT_TRUE(file) << file.error().text();
    auto model = model::Model::load(*file, *executor_);
    ASSERT_TRUE(model) << model.error().text();
    model_ = std::move(model).value();
    cut_windows_of_golden(file->metadata());
    auto evaluator = Evaluator::create(model_->spec(), windows_.context, *executor_);
    ASSERT_TRUE(evaluator) << evaluator.error().text();
    evaluator_ = std::move(*evaluator);
  }

  // As cut_windows() does it, from the golden tokens.
  void cut_windows_of_golden(const io::Metadata& metadata) {
    const auto tokens = golden_["tokens"].get<std::vector<std::int32_t>>();
    const bool add_bos = metadata.bool_or("tokenizer.ggml.add_bos_token", false).value();
    windows_.context = golden_["window"].get<std::size_t>();
    const bool all = std::getenv("PARING_LONG_TESTS") != nullptr;
    const std::size_t count = all ? golden_["windows"].get<std::size_t>() : 1;
    ASSERT_LE(count * windows_.context, tokens.size());
    for (std::size_t w = 0; w < count; ++w) {
      const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(w * windows_.context);
      windows_.windows.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(windows_.context));
      if (add_bos) {
        windows_.windows.back()[0] =
            static_cast<std::int32_t>(metadata.get_u64("tokenizer.ggml.bos_token_id").value());
      }
    }
  }

  Json golden_;
  std::unique_ptr<Executor> executor_;
  std::shared_ptr<const model::Model> model_;
  Windows windows_;
  std::unique_ptr<Evaluator> evaluator_;
};

// One pass gives both: the rows at the golden positions, and the losses of all.
class GoldenSink : public model::LogitsSink {
 public:
  GoldenSink(const Windows& windows, std::size_t window, CaptureSink& capture)
      : windows_(windows), window_(window), capture_(capture), losses_(windows.scored_rows()) {}

  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    capture_.consume(worker, chunk);
    const Range mine = worker.split(chunk.rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      const float* row = chunk.logits + r * chunk.vocabulary;
      const auto next = static_cast<std::size_t>(windows_.next_token(window_, chunk.first + r));
      losses_[chunk.first + r] =
          log_sum_exp({row, row + chunk.vocabulary}) - static_cast<double>(row[next]);
    }
  }
  double loss() const {
    double sum = 0;
    for (const double each : losses_) sum += each;
    return sum;
  }

 private:
  const Windows& windows_;
  std::size_t window_;
  CaptureSink& capture_;
  std::vector<double> losses_;
};

TEST_P(GoldenModels, ExactNumericsAgree) {
  const model::ModelView view(*model_);
  double loss = 0;
  double kl = 0;
  double worst = 0;
  std::size_t count = 0;
  for (std::size_t w = 0; w < windows_.windows.size(); ++w) {
    const auto [rows, positions] = golden_rows(golden_, w);
    CaptureSink capture(windows_.first_scored(), positions);
    GoldenSink sink(windows_, w, capture);
    model::ForwardOptions options;
    options.sink = &sink;
    const auto input = windows_.input(w);
    const auto ran =
        evaluator_->run(view, {&input, 1}, windows_.scored_rows(), kExactOptions, options);
    ASSERT_TRUE(ran) << ran.error().text();
    loss += sink.loss();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_FALSE(capture.rows[i].empty()) << "no logits at position " << positions[i];
      kl += divergence(*rows[i], capture.rows[i], &worst);
      ++count;
    }
  }
  ASSERT_EQ(count, windows_.windows.size() * 4);
  const double perplexity = std::exp(loss / static_cast<double>(windows_.scored_tokens()));
  const double expected =
      golden_["perplexity_after_window"][windows_.windows.size() - 1].get<double>();
  RecordProperty("perplexity", std::to_string(perplexity));
  RecordProperty("kl_mean_1e9", std::to_string(kl / static_cast<double>(count) * 1e9));
  RecordProperty("log_probability_error_max", std::to_string(worst));
  EXPECT_NEAR(perplexity / expected, 1.0, 5e-4);
  EXPECT_LT(kl / static_cast<double>(count), 1e-5);
  EXPECT_GT(kl / static_cast<double>(count), -1e-6);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModels, testing::ValuesIn(kCases),
                         [](const auto& parameter) {
                           std::string name = parameter.param.name;
                           for (char& c : name) {
                             if (c == '-' || c == '.') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace paring::measure
