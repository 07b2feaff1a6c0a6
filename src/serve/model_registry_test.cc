// SPDX-License-Identifier: Apache-2.0
// The states of models, with small encoders; what clients see of it is in
// tests/test_serve_models.py.
#include "serve/model_registry.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace paring::serve {
namespace {

constexpr double kLong = 60;  // seconds, that nothing here takes

class ModelRegistryTest : public testing::Test {
 protected:
  using Answer = ApiResult<ModelUse>;

  std::unique_ptr<ModelRegistry> make(const RegistryOptions& options) {
    // A machine that tells nothing: the budget alone bounds models.
    return std::make_unique<ModelRegistry>(loop_, *executor_, options, [] { return MemoryNow(); });
  }
  static ModelSource source(const std::string& name) {
    ModelSource source;
    source.name = name;
    source.path = PARING_SOURCE_DIR "/tests/data/encoders/bert-mean";
    return source;
  }
  std::uint64_t bytes() const {
    return ServedModel::plan(source("x").path, {}, executor_->threads(), std::nullopt)
        .value()
        .total_bytes();
  }
  static std::future<Answer> ask(ModelRegistry& registry, const std::string& name,
                                 double seconds = kLong) {
    const auto promise = std::make_shared<std::promise<Answer>>();
    registry.acquire({.name = name, .deadline = system_clock().monotonic_seconds() + seconds},
                     [promise](const Answer& answer) { promise->set_value(answer); });
    return promise->get_future();
  }
  // Asks, and waits until nobody holds the model any more: those that are in use do not make room.
  static bool use(ModelRegistry& registry, const std::string& name) {
    if (!ask(registry, name).get()) return false;
    constexpr long kHolders = 3;  // the registry, the loop and the status itself
    for (int i = 0; i < 3000; ++i) {
      if (registry.status(name)->model.use_count() == kHolders) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  static ModelState state(const ModelRegistry& registry, const std::string& name) {
    return registry.status(name)->state;
  }
  static bool becomes(const ModelRegistry& registry, const std::string& name, ModelState wanted) {
    for (int i = 0; i < 3000 && state(registry, name) != wanted; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return state(registry, name) == wanted;
  }

  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 1, .pin = false}).value();
  EngineLoop loop_{[](const std::function<void()>& task) { task(); }};
};

TEST_F(ModelRegistryTest, IsLoadedOnceForAllWhoAsk) {
  const auto registry = make({});
  ASSERT_TRUE(registry->add(source("a")));
  EXPECT_EQ(state(*registry, "a"), ModelState::kUnloaded);
  EXPECT_FALSE(registry->find_ready("a"));
  std::vector<std::future<Answer>> asked;
  for (int i = 0; i < 8; ++i) asked.push_back(ask(*registry, i % 2 == 0 ? "a" : ""));
  ServedModel* first = nullptr;
  for (auto& each : asked) {
    const Answer answer = each.get();
    ASSERT_TRUE(answer) << answer.error().message;
    if (first == nullptr) first = answer->model.get();
    EXPECT_EQ(answer->model.get(), first);
  }
  EXPECT_EQ(state(*registry, "a"), ModelState::kReady);
  EXPECT_EQ(ask(*registry, "b").get().error().status, 404);
}

TEST_F(ModelRegistryTest, NobodyLosesAModelThatIsUnloaded) {
  const auto registry = make({});
  ASSERT_TRUE(registry->add(source("a")));
  Answer held = ask(*registry, "a").get();
  ASSERT_TRUE(held);
  std::promise<bool> gone;
  auto is_gone = gone.get_future();
  EXPECT_FALSE(registry->unload("a", false, [&](const auto& error) { gone.set_value(!error); }));
  EXPECT_EQ(is_gone.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  EXPECT_EQ(state(*registry, "a"), ModelState::kUnloading);
  auto late = ask(*registry, "a");  // waits until it is there again
  EXPECT_EQ(late.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  held = Answer(ModelUse());
  EXPECT_TRUE(is_gone.get());
  EXPECT_TRUE(late.get());
  // Who forgets it takes its name away at once.
  EXPECT_FALSE(registry->unload("a", true, [](const auto&) {}));
  EXPECT_EQ(registry->status("a").error().status, 404);
  EXPECT_EQ(registry->unload("a", true, [](const auto&) {})->status, 404);
}

TEST_F(ModelRegistryTest, TheLeastRecentlyUsedMakesRoom) {
  const auto registry = make({.memory_budget_bytes = bytes() * 5 / 2});
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(registry->add(source(name)));
  ASSERT_TRUE(use(*registry, "a"));
  ASSERT_TRUE(use(*registry, "b"));
  ASSERT_TRUE(use(*registry, "a"));
  ASSERT_TRUE(use(*registry, "c"));
  EXPECT_EQ(state(*registry, "a"), ModelState::kReady);
  EXPECT_EQ(state(*registry, "b"), ModelState::kUnloaded);
  // What is there from the start is never made room for so.
  const Result<void> beside = registry->load("b");
  ASSERT_FALSE(beside);
  EXPECT_NE(beside.error().message.find("are free for models"), std::string::npos);
}

TEST_F(ModelRegistryTest, ABusyModelIsWaitedFor) {
  const auto registry = make({.loaded_max = 1});
  for (const char* name : {"a", "b"}) ASSERT_TRUE(registry->add(source(name)));
  Answer held = ask(*registry, "a").get();
  ASSERT_TRUE(held);
  EXPECT_EQ(ask(*registry, "b", 0.2).get().error().status, 504);
  EXPECT_TRUE(becomes(*registry, "b", ModelState::kUnloaded));  // nobody waits any more
  auto waits = ask(*registry, "b");
  EXPECT_EQ(waits.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  EXPECT_EQ(state(*registry, "a"), ModelState::kReady);
  held = Answer(ModelUse());
  EXPECT_TRUE(waits.get());
}

TEST_F(ModelRegistryTest, WhatCanNeverFitIsRefusedAndNothingIsUnloadedForIt) {
  const auto registry = make({.memory_budget_bytes = bytes() * 3 / 2});
  ModelSource large = source("large");
  large.path = PARING_SOURCE_DIR "/tests/data/encoders/bert-mean";
  ASSERT_TRUE(registry->add(source("a")));
  ASSERT_TRUE(use(*registry, "a"));
  registry->set_options({.memory_budget_bytes = bytes() / 2});
  ASSERT_TRUE(registry->add(large));
  const Answer answer = ask(*registry, "large").get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, "insufficient_memory");
  EXPECT_EQ(state(*registry, "a"), ModelState::kReady);
}

TEST_F(ModelRegistryTest, WhoeverIsIdleGoes) {
  const auto registry = make({.idle_seconds = 0.1});
  ASSERT_TRUE(registry->add(source("a")));
  ASSERT_TRUE(registry->load("a"));
  EXPECT_TRUE(becomes(*registry, "a", ModelState::kUnloaded));
  EXPECT_TRUE(registry->set_idle("a", -1));
  const Answer held = ask(*registry, "a").get();
  ASSERT_TRUE(held);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  EXPECT_EQ(state(*registry, "a"), ModelState::kReady);
}

TEST_F(ModelRegistryTest, TheEndAnswersWhoWaits) {
  auto registry = make({.loaded_max = 1});
  for (const char* name : {"a", "b"}) ASSERT_TRUE(registry->add(source(name)));
  const Answer held = ask(*registry, "a").get();
  auto waits = ask(*registry, "b");
  registry->stop();
  EXPECT_EQ(waits.get().error().status, 503);
  EXPECT_EQ(ask(*registry, "b").get().error().status, 503);
  registry.reset();
}

TEST_F(ModelRegistryTest, NamesAreNamesAndEachMeansOneThing) {
  const auto registry = make({});
  ASSERT_TRUE(registry->add(source("a")));
  EXPECT_FALSE(registry->add(source("a")));
  EXPECT_FALSE(registry->add(source("")));
  EXPECT_FALSE(registry->add(source("a\nb")));
  EXPECT_FALSE(registry->add(source(std::string(300, 'x'))));
  ModelSource adapted = source("b");
  adapted.options.adapters = {{.name = "a", .path = "x"}};
  EXPECT_FALSE(registry->add(adapted));
  adapted.options.adapters = {{.name = "b", .path = "x"}};
  EXPECT_FALSE(registry->add(adapted));
  EXPECT_EQ(registry->list().size(), 1U);
}

}  // namespace
}  // namespace paring::serve
