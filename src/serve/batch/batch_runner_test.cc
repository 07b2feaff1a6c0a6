// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/random.h"
#include "serve/batch/batch_store.h"
#include "serve/wire/openai_batches.h"
#include "store/control_db_for_test.h"

namespace paring::serve {
namespace {

using Json = nlohmann::json;

constexpr const char* kChat = "/v1/chat/completions";

Principal tenant_named(const std::string& name) {
  return {PrincipalKind::kAnonymous, "key_" + name, name, name, default_scopes(), {}};
}

std::string input_line(const std::string& id, const std::string& prompt = "hi") {
  return fmt::format(
      R"({{"custom_id":"{}","method":"POST","url":"{}","body":{{"model":"m","prompt":"{}"}}}})", id,
      kChat, prompt);
}

std::string lines_named(int count, const std::string& prefix = "id-") {
  std::string text;
  for (int i = 0; i < count; ++i) text += input_line(prefix + std::to_string(i)) + "\n";
  return text;
}

// Answers one line after the other on a thread of its own, as `answer_of` says.
class FakeExecutor final : public LineExecutor {
 public:
  using AnswerOf = std::function<LineAnswer(const LineRequest&, LineTicket&)>;
  explicit FakeExecutor(AnswerOf answer_of, int threads = 1) : answer_of_(std::move(answer_of)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~FakeExecutor() override {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    arrived_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void start(LineRequest request, std::shared_ptr<LineTicket> ticket) override {
    const std::lock_guard lock(mutex_);
    started.push_back(request.custom_id);
    most_at_once = std::max(most_at_once, ++running_);
    queue_.emplace_back(std::move(request), std::move(ticket));
    arrived_.notify_one();
  }
  std::vector<std::string> started_so_far() {
    const std::lock_guard lock(mutex_);
    return started;
  }

  std::vector<std::string> started;
  std::size_t most_at_once = 0;

 private:
  void work() {
    while (true) {
      std::pair<LineRequest, std::shared_ptr<LineTicket>> next;
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return is_stopping_ || !queue_.empty(); });
        if (is_stopping_) return;
        next = std::move(queue_.front());
        queue_.pop_front();
      }
      LineAnswer answer = answer_of_(next.first, *next.second);
      {
        const std::lock_guard lock(mutex_);
        --running_;
      }
      next.second->finish(std::move(answer));
    }
  }

  AnswerOf answer_of_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::pair<LineRequest, std::shared_ptr<LineTicket>>> queue_;
  std::size_t running_ = 0;
  bool is_stopping_ = false;
  std::vector<std::thread> threads_;
};

LineAnswer echo(const LineRequest& request, LineTicket&) {
  LineAnswer answer;
  answer.body = Json{{"echo", request.custom_id}}.dump();
  answer.usage = {10, 4, 3, 1};
  return answer;
}

class BatchRunnerTest : public store::ControlDbTest {
 protected:
  void SetUp() override {
    ControlDbTest::SetUp();
    control_.emplace(open());
    files_ = FileStore::open(*control_, {}).value();
    batches_ = std::make_unique<BatchStore>(*control_, *files_, [this] {
      if (runner_) runner_->wake();
    });
  }
  void TearDown() override {
    runner_.reset();
    batches_.reset();
    files_.reset();
    control_.reset();
    ControlDbTest::TearDown();
  }
  // The runner, until it goes: before the executor and the clock that it uses.
  struct Running {
    BatchRunnerTest& test;
    ~Running() { test.runner_.reset(); }
  };
  [[nodiscard]] Running run(
      LineExecutor& executor, IdleGate gate = [] { return std::size_t{4}; },
      const Clock& clock = system_clock()) {
    runner_ = std::make_unique<BatchRunner>(
        *control_, *files_, executor, BatchRunner::Options{.idle_gate = std::move(gate)}, clock);
    runner_->start();
    return {*this};
  }
  std::string make(const std::string& text, const std::string& tenant = "a",
                   const std::string& window = "24h") {
    ApiResult<Upload> upload = files_->begin(tenant);
    EXPECT_FALSE(upload->append(text));
    auto file = upload->finish({"in.jsonl", "batch", std::nullopt});
    const Json body = {
        {"input_file_id", file->id}, {"endpoint", kChat}, {"completion_window", window}};
    ApiResult<BatchSpec> spec = wire::read_openai_batch(body.dump(), {});
    EXPECT_TRUE(spec) << spec.error().message;
    auto batch = batches_->create(tenant_named(tenant), *spec);
    EXPECT_TRUE(batch) << batch.error().message;
    return batch->id;
  }
  store::BatchRow row(const std::string& id, const std::string& tenant = "a") {
    return *batches_->find(tenant, id);
  }
  // Waits for an end, or for `state`.
  store::BatchRow wait_for(const std::string& id, store::BatchState state,
                           const std::string& tenant = "a") {
    for (int i = 0; i < 6000; ++i) {
      const store::BatchRow now = row(id, tenant);
      if (now.state == state) return now;
      store::sleep_us_for_test(5000);
    }
    ADD_FAILURE() << id << " stays " << store::batch_state_name(row(id, tenant).state);
    return row(id, tenant);
  }
  std::vector<Json> lines_of(const std::optional<std::string>& file_id,
                             const std::string& tenant = "a") {
    std::vector<Json> lines;
    if (!file_id) return lines;
    ApiResult<FileContent> content = files_->content(tenant, *file_id);
    std::string text = *content->read(0, content->bytes());
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      lines.push_back(Json::parse(text.substr(at, end - at)));
      at = end + 1;
    }
    return lines;
  }

  std::optional<store::ControlDb> control_;
  std::unique_ptr<FileStore> files_;
  std::unique_ptr<BatchStore> batches_;
  std::unique_ptr<BatchRunner> runner_;
};

TEST_F(BatchRunnerTest, EveryLineIsAnsweredInTheOrderOfTheFile) {
  FakeExecutor executor(echo, 3);
  const Running running = run(executor);
  const store::BatchRow done = wait_for(make(lines_named(100)), store::BatchState::kCompleted);
  EXPECT_EQ(done.total, 100);
  EXPECT_EQ(done.completed, 100);
  EXPECT_EQ(done.failed, 0);
  EXPECT_EQ(done.usage.input_tokens, 1000);
  EXPECT_EQ(done.usage.reasoning_tokens, 100);
  EXPECT_EQ(done.model, "m");
  EXPECT_FALSE(done.error_file_id.has_value());
  EXPECT_LE(executor.most_at_once, 4U);
  const std::vector<Json> lines = lines_of(done.output_file_id);
  ASSERT_EQ(lines.size(), 100U);
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(lines[i]["custom_id"], "id-" + std::to_string(i));
    EXPECT_EQ(lines[i]["response"]["status_code"], 200);
    EXPECT_EQ(lines[i]["response"]["body"]["echo"], lines[i]["custom_id"]);
    EXPECT_TRUE(lines[i]["error"].is_null());
    EXPECT_TRUE(ids.insert(lines[i]["id"]).second);
  }
  EXPECT_EQ(files_->find("a", *done.output_file_id)->purpose, "batch_output");
  EXPECT_EQ(files_->find("b", *done.output_file_id).error().status, 404);
}

TEST_F(BatchRunnerTest, LinesThatFailAreInTheErrorFile) {
  FakeExecutor executor([](const LineRequest& request, LineTicket& ticket) {
    LineAnswer answer = echo(request, ticket);
    if (request.custom_id == "id-3") answer.status = 400;
    if (request.custom_id == "id-5") answer.body = "no JSON \xff";
    return answer;
  });
  const Running running = run(executor);
  const store::BatchRow done = wait_for(make(lines_named(8)), store::BatchState::kCompleted);
  EXPECT_EQ(done.completed, 7);
  EXPECT_EQ(done.failed, 1);
  const std::vector<Json> errors = lines_of(done.error_file_id);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0]["custom_id"], "id-3");
  EXPECT_EQ(errors[0]["response"]["status_code"], 400);
  EXPECT_TRUE(lines_of(done.output_file_id)[4]["response"]["body"].is_string());
}

TEST_F(BatchRunnerTest, AFileWithWrongLinesFailsWithTheirNumbers) {
  FakeExecutor executor(echo);
  const Running running = run(executor);
  const store::BatchRow done = wait_for(make(lines_named(2) + "{\n" + input_line("id-0") + "\n"),
                                        store::BatchState::kFailed);
  const Json json = Json::parse(batch_json(done));
  EXPECT_EQ(json["errors"]["object"], "list");
  ASSERT_EQ(json["errors"]["data"].size(), 2U);
  EXPECT_EQ(json["errors"]["data"][0]["line"], 3);
  EXPECT_EQ(json["errors"]["data"][0]["code"], "invalid_json_line");
  EXPECT_EQ(json["errors"]["data"][1]["line"], 4);
  EXPECT_TRUE(executor.started_so_far().empty());
  EXPECT_GT(json["failed_at"], 0);
}

TEST_F(BatchRunnerTest, TheGateDecidesHowManyRun) {
  std::atomic<std::size_t> open{0};
  FakeExecutor executor(echo, 8);
  const Running running = run(executor, [&] { return open.load(); });
  const std::string id = make(lines_named(50));
  wait_for(id, store::BatchState::kInProgress);
  store::sleep_us_for_test(300'000);
  EXPECT_TRUE(executor.started_so_far().empty());
  open = 2;
  wait_for(id, store::BatchState::kCompleted);
  EXPECT_LE(executor.most_at_once, 2U);
}

TEST_F(BatchRunnerTest, EqualBeginningsRunOneAfterTheOther) {
  FakeExecutor executor(echo);
  const Running running = run(executor, [] { return std::size_t{1}; });
  std::string text;
  for (int i = 0; i < 20; ++i) {
    const bool is_x = i % 2 == 0;
    text +=
        input_line(fmt::format("{}{}", is_x ? 'x' : 'y', i), std::string(3000, is_x ? 'x' : 'y')) +
        "\n";
  }
  wait_for(make(text), store::BatchState::kCompleted);
  int changes = 0;
  const std::vector<std::string> order = executor.started_so_far();
  ASSERT_EQ(order.size(), 20U);
  for (std::size_t i = 1; i < order.size(); ++i) {
    changes += order[i].front() != order[i - 1].front();
  }
  EXPECT_EQ(changes, 1);
}

TEST_F(BatchRunnerTest, ABusyServerIsAskedAgain) {
  std::map<std::string, int> tries;
  FakeExecutor executor([&](const LineRequest& request, LineTicket& ticket) {
    LineAnswer answer = echo(request, ticket);
    if (++tries[request.custom_id] < 3) {
      answer.kind = LineAnswer::Kind::kTryAgain;
      answer.retry_after_seconds = 0.01;
    }
    return answer;
  });
  const Running running = run(executor);
  const store::BatchRow done = wait_for(make(lines_named(5)), store::BatchState::kCompleted);
  EXPECT_EQ(done.completed, 5);
  EXPECT_EQ(lines_of(done.output_file_id).size(), 5U);
  for (const auto& [id, count] : tries) EXPECT_EQ(count, 3) << id;
}

TEST_F(BatchRunnerTest, ALineThatIsForgottenIsAnError) {
  class Forgetful final : public LineExecutor {
    void start(LineRequest, std::shared_ptr<LineTicket>) override {}
  } executor;
  const Running running = run(executor);
  const store::BatchRow done = wait_for(make(lines_named(3)), store::BatchState::kCompleted);
  EXPECT_EQ(done.failed, 3);
  EXPECT_EQ(lines_of(done.error_file_id)[0]["response"]["status_code"], 500);
}

TEST_F(BatchRunnerTest, CancellingKeepsWhatWasAnswered) {
  std::atomic<bool> is_held{false};
  FakeExecutor executor([&](const LineRequest& request, LineTicket& ticket) {
    if (request.custom_id != "id-0") {
      is_held = true;
      while (!ticket.is_cancelled()) store::sleep_us_for_test(1000);
      LineAnswer gone;
      gone.kind = LineAnswer::Kind::kCancelled;
      return gone;
    }
    return echo(request, ticket);
  });
  const Running running = run(executor, [] { return std::size_t{1}; });
  const std::string id = make(lines_named(10));
  while (!is_held) store::sleep_us_for_test(1000);
  EXPECT_EQ(batches_->cancel("b", id).error().status, 404);
  ASSERT_TRUE(batches_->cancel("a", id));
  const store::BatchRow done = wait_for(id, store::BatchState::kCancelled);
  EXPECT_EQ(done.completed, 1);
  EXPECT_EQ(done.failed, 9);
  EXPECT_EQ(lines_of(done.output_file_id).size(), 1U);
  const std::vector<Json> errors = lines_of(done.error_file_id);
  ASSERT_EQ(errors.size(), 9U);
  EXPECT_EQ(errors[0]["error"]["code"], "batch_cancelled");
  EXPECT_TRUE(errors[0]["response"].is_null());
  EXPECT_TRUE(batches_->cancel("a", id));  // twice is no mistake
}

TEST_F(BatchRunnerTest, WhatIsNotDoneInTimeExpires) {
  FakeClock clock(static_cast<double>(system_clock().wall_seconds()));
  std::atomic<int> answered{0};
  FakeExecutor executor([&](const LineRequest& request, LineTicket& ticket) {
    if (++answered > 2) {
      while (!ticket.is_cancelled()) store::sleep_us_for_test(1000);
      LineAnswer gone;
      gone.kind = LineAnswer::Kind::kCancelled;
      return gone;
    }
    return echo(request, ticket);
  });
  const Running running = run(executor, [] { return std::size_t{1}; }, clock);
  const std::string id = make(lines_named(5), "a", "1h");
  while (answered < 3) store::sleep_us_for_test(1000);
  clock.advance(3700);
  const store::BatchRow done = wait_for(id, store::BatchState::kExpired);
  EXPECT_EQ(done.completed, 2);
  EXPECT_EQ(lines_of(done.error_file_id).size(), 3U);
  EXPECT_EQ(lines_of(done.error_file_id)[0]["error"]["code"], "batch_expired");
  EXPECT_EQ(batches_->cancel("a", id).error().status, 400);
}

TEST_F(BatchRunnerTest, AStoppedServerGoesOnWhereItWas) {
  std::string id;
  {
    FakeExecutor executor([](const LineRequest& request, LineTicket& ticket) {
      store::sleep_us_for_test(2000);
      return echo(request, ticket);
    });
    const Running running = run(executor);
    id = make(lines_named(100));
    while (row(id).completed < 10) store::sleep_us_for_test(1000);
    runner_->stop(5);
    runner_.reset();
  }
  const std::int64_t before = row(id).completed;
  EXPECT_EQ(row(id).state, store::BatchState::kInProgress);
  EXPECT_LT(before, 100);
  FakeExecutor executor(echo);
  const Running running = run(executor);
  EXPECT_EQ(wait_for(id, store::BatchState::kCompleted).completed, 100);
  EXPECT_EQ(static_cast<std::int64_t>(executor.started_so_far().size()), 100 - before);
}

TEST_F(BatchRunnerTest, TenantsTakeTurns) {
  std::atomic<bool> is_open{false};
  FakeExecutor executor(echo);
  const Running running = run(executor, [&] { return is_open ? std::size_t{1} : std::size_t{0}; });
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(make(lines_named(30, "a" + std::to_string(i) + "-")));
  const std::string other = make(lines_named(30, "b-"), "b");
  for (const std::string& id : ids) wait_for(id, store::BatchState::kInProgress);
  wait_for(other, store::BatchState::kInProgress, "b");
  is_open = true;
  wait_for(other, store::BatchState::kCompleted, "b");
  int of_b = 0;
  const std::vector<std::string> order = executor.started_so_far();
  for (std::size_t i = 0; i < 40; ++i) of_b += order[i].starts_with("b-");
  EXPECT_GE(of_b, 18);
  EXPECT_LE(of_b, 22);
}

TEST_F(BatchRunnerTest, ManyBatchesOfATenantDoNotKeepAnothersFromStarting) {
  FakeExecutor executor(echo);
  const Running running = run(executor, [] { return std::size_t{0}; });  // nothing gets done
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(make(lines_named(2, "a" + std::to_string(i) + "-")));
  for (int i = 0; i < 8; ++i)
    wait_for(ids[static_cast<std::size_t>(i)], store::BatchState::kInProgress);
  wait_for(make(lines_named(2, "b-"), "b"), store::BatchState::kInProgress, "b");
}

// The promise of this folder: killed at any moment, no line is lost and none answered twice.
TEST_F(BatchRunnerTest, KilledFiftyTimesEveryLineIsAnsweredOnce) {
  constexpr int kKills = 50;
  constexpr int kLines = 1500;
  constexpr int kSmall = 15;
  std::vector<std::pair<std::string, int>> made = {{make(lines_named(kLines)), kLines}};
  for (int i = 0; i < kSmall; ++i) made.emplace_back(make(lines_named(3), "b"), 3);
  batches_.reset();
  files_.reset();
  control_.reset();
  const auto serve = [this] {
    const store::ControlDb control = open();
    const Result<store::ServingLock> lock = store::ServingLock::take(folder_);
    if (!lock) return 1;
    const auto files = FileStore::open(control, {});
    if (!files) return 2;
    FakeExecutor executor([](const LineRequest& request, LineTicket& ticket) {
      store::sleep_us_for_test(700);
      return echo(request, ticket);
    });
    BatchRunner runner(control, **files, executor, {.idle_gate = [] { return std::size_t{4}; }});
    runner.start();
    const store::Batches batches(control);
    while (!batches.open(1, 1)->empty()) store::sleep_us_for_test(2000);
    return 0;
  };
  RandomStream random({.seed = 77});
  int kills = 0;
  for (int round = 0; round < kKills; ++round) {
    const pid_t child = store::fork_for_test(serve);
    store::sleep_us_for_test(3000 + random.below(70'000));
    ::kill(child, SIGKILL);
    if (store::wait_for_test(child) == 128 + SIGKILL) ++kills;
  }
  EXPECT_GT(kills, kKills / 2);
  EXPECT_EQ(store::wait_for_test(store::fork_for_test(serve)), 0);
  control_.emplace(open());
  files_ = FileStore::open(*control_, {}).value();
  batches_ = std::make_unique<BatchStore>(*control_, *files_, [] {});
  for (const auto& [id, lines] : made) {
    const std::string tenant = lines == kLines ? "a" : "b";
    const store::BatchRow done = row(id, tenant);
    EXPECT_EQ(done.state, store::BatchState::kCompleted);
    EXPECT_EQ(done.total, lines);
    EXPECT_EQ(done.completed, lines);
    EXPECT_EQ(done.failed, 0);
    EXPECT_EQ(done.usage.output_tokens, 3 * lines);
    const std::vector<Json> answers = lines_of(done.output_file_id, tenant);
    ASSERT_EQ(static_cast<int>(answers.size()), lines);
    for (int i = 0; i < lines; ++i) EXPECT_EQ(answers[i]["custom_id"], "id-" + std::to_string(i));
  }
}

TEST_F(BatchRunnerTest, AnInputThatIsNotThereIsTheFieldsMistake) {
  EXPECT_EQ(batches_->create(tenant_named("a"), {"file-x", kChat, "24h", 86400, std::nullopt})
                .error()
                .param,
            "input_file_id");
}

}  // namespace
}  // namespace paring::serve
