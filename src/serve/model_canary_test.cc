// SPDX-License-Identifier: Apache-2.0
// Two of a model in the registry, with small encoders.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <limits>
#include <string>
#include <thread>

#include "serve/model_registry.h"

namespace paring::serve {
namespace {

class ModelCanaryTest : public testing::Test {
 protected:
  using Answer = ApiResult<ModelUse>;

  void SetUp() override {
    // A machine that tells nothing: the budget alone bounds models.
    registry_ = std::make_unique<ModelRegistry>(loop_, *executor_, RegistryOptions{},
                                                [] { return MemoryNow(); });
    ASSERT_TRUE(registry_->add(source()));
    ASSERT_TRUE(registry_->load("a"));
  }
  static ModelSource source(std::size_t context_tokens = 4096) {
    ModelSource source;
    source.name = "a";
    source.path = PARING_SOURCE_DIR "/tests/data/encoders/bert-mean";
    source.options.context_tokens = context_tokens;
    return source;
  }
  Answer load_canary() {
    std::promise<Answer> promise;
    registry_->acquire({.name = "a",
                        .deadline = std::numeric_limits<double>::infinity(),
                        .is_operators = true,
                        .may_evict = false,
                        .is_canary = true},
                       [&](const Answer& answer) { promise.set_value(answer); });
    return promise.get_future().get();
  }
  std::size_t context_tokens() {
    return registry_->find_ready("a")->model->options().context_tokens;
  }
  // Models in memory, as their steps are looped over: what is gone is gone from there.
  static bool is_gone(const std::weak_ptr<ServedModel>& model) {
    for (int i = 0; i < 3000 && !model.expired(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return model.expired();
  }

  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 1, .pin = false}).value();
  EngineLoop loop_{[](const std::function<void()>& task) { task(); }};
  std::unique_ptr<ModelRegistry> registry_;
};

TEST_F(ModelCanaryTest, IsFoundByNobodyWhoDoesNotAskForIt) {
  EXPECT_FALSE(registry_->find_canary("a"));
  EXPECT_EQ(load_canary().error().status, 404);
  ASSERT_TRUE(registry_->add_canary(source(16)));
  EXPECT_FALSE(registry_->find_canary("a")) << "it is not in memory yet";
  ASSERT_TRUE(load_canary());
  ASSERT_TRUE(registry_->find_canary("a"));
  EXPECT_EQ(registry_->find_canary("a")->model->options().context_tokens, 16U);
  EXPECT_EQ(registry_->find_canary("a:latest")->name(), "a");
  EXPECT_GT(context_tokens(), 16U);
  EXPECT_EQ(registry_->list().size(), 1U);
  EXPECT_EQ(registry_->canary_status("a")->state, ModelState::kReady);
  EXPECT_FALSE(registry_->add_canary(source(17))) << "one a model";
  ModelSource other = source(16);
  other.name = "b";
  EXPECT_EQ(registry_->add_canary(other).error().code, ErrorCode::kNotFound);
}

TEST_F(ModelCanaryTest, WhatIsKeptTakesTheNameAndTheOldOneGoesWhenItsRequestsHaveEnded) {
  ASSERT_TRUE(registry_->add_canary(source(16)));
  EXPECT_EQ(registry_->keep_canary("a").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(load_canary());
  std::optional<ModelUse> held = registry_->find_ready("a");
  const std::weak_ptr<ServedModel> old = held->model;
  ASSERT_TRUE(registry_->keep_canary("a"));
  // No moment without it: it is ready at once, and nobody is cut short.
  ASSERT_TRUE(registry_->find_ready("a"));
  EXPECT_EQ(context_tokens(), 16U);
  EXPECT_EQ(registry_->status("a")->source.options.context_tokens, 16U);
  EXPECT_FALSE(registry_->find_canary("a"));
  EXPECT_FALSE(old.expired());
  held.reset();
  EXPECT_TRUE(is_gone(old));
  ASSERT_TRUE(registry_->add_canary(source(17))) << "the next may come";
}

TEST_F(ModelCanaryTest, WhatIsTakenBackLeavesTheModelAsItWas) {
  ASSERT_TRUE(registry_->add_canary(source(16)));
  ASSERT_TRUE(load_canary());
  const std::weak_ptr<ServedModel> tried = registry_->find_canary("a")->model;
  registry_->drop_canary("a");
  EXPECT_FALSE(registry_->find_canary("a"));
  EXPECT_TRUE(is_gone(tried));
  EXPECT_GT(context_tokens(), 16U);
  registry_->drop_canary("a");  // there is none
  EXPECT_EQ(registry_->keep_canary("a").error().code, ErrorCode::kNotFound);
}

TEST_F(ModelCanaryTest, WhatCannotBeLoadedOrDoesNotFitIsNoModel) {
  ModelSource broken = source(16);
  broken.path = PARING_SOURCE_DIR "/README.md";
  ASSERT_TRUE(registry_->add_canary(broken));
  const Answer answer = load_canary();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().status, 400);
  EXPECT_NE(answer.error().message.find("README.md"), std::string::npos);
  registry_->drop_canary("a");
  // As much as there is: no room for a second.
  registry_->set_options({.memory_budget_bytes = registry_->status("a")->memory_bytes});
  ASSERT_TRUE(registry_->add_canary(source(16)));
  const Answer full = load_canary();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, "insufficient_memory");
  registry_->drop_canary("a");
  EXPECT_TRUE(registry_->find_ready("a")) << "nothing was unloaded for it";
}

TEST_F(ModelCanaryTest, AModelThatIsNotInMemoryIsTakenOverAsWell) {
  ASSERT_TRUE(registry_->add_canary(source(16)));
  ASSERT_TRUE(load_canary());
  std::promise<void> gone;
  EXPECT_FALSE(registry_->unload("a", false, [&](const auto&) { gone.set_value(); }));
  gone.get_future().wait();
  ASSERT_TRUE(registry_->keep_canary("a"));
  EXPECT_EQ(context_tokens(), 16U);
}

}  // namespace
}  // namespace paring::serve
