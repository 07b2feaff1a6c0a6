// SPDX-License-Identifier: Apache-2.0
// Tables of files, batches and settings.
#include "store/batches.h"

#include "store/control_db_for_test.h"
#include "store/files.h"
#include "store/runtime_settings.h"

namespace paring::store {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

class BatchTablesTest : public ControlDbTest {
 protected:
  static FileRow file_row(const std::string& id, const std::string& tenant = "a",
                          std::int64_t bytes = 10) {
    return {id, tenant, "x.jsonl", "batch", bytes, std::string(64, 'a'), kNow, std::nullopt};
  }
  static BatchRow batch_row(const std::string& id, const std::string& tenant = "a") {
    BatchRow batch;
    batch.id = id;
    batch.tenant = tenant;
    batch.key_id = "key_1";
    batch.endpoint = "/v1/chat/completions";
    batch.input_file_id = "file-1";
    batch.completion_window = "24h";
    batch.created_s = kNow;
    batch.expires_s = kNow + 86400;
    return batch;
  }
  static BatchState state(const ControlDb& control, const std::string& id) {
    return (*Batches(control).find("a", id))->state;
  }
};

TEST_F(BatchTablesTest, ATenantSeesItsOwnFilesOnly) {
  const ControlDb control = open();
  const Files files(control);
  ASSERT_TRUE(files.insert(file_row("file-1"), {1000, 100}).has_value());
  ASSERT_TRUE(files.insert(file_row("file-2", "b"), {1000, 100}).has_value());
  EXPECT_TRUE(files.find("a", "file-1")->has_value());
  EXPECT_FALSE(files.find("b", "file-1")->has_value());
  EXPECT_EQ(files.list("a", "", {})->rows.size(), 1U);
  EXPECT_EQ(files.remove("b", "file-1").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files.list("b", "", {.after = "file-1"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(*files.bytes_of("a"), 10);
}

TEST_F(BatchTablesTest, QuotasHoldToTheByte) {
  const ControlDb control = open();
  const Files files(control);
  ASSERT_TRUE(files.insert(file_row("file-1", "a", 60), {100, 100}).has_value());
  EXPECT_EQ(files.insert(file_row("file-2", "a", 41), {100, 100}).error().code,
            ErrorCode::kExhausted);
  EXPECT_TRUE(files.insert(file_row("file-3", "b", 41), {100, 100}).has_value());
  EXPECT_TRUE(files.insert(file_row("file-4", "a", 40), {100, 100}).has_value());
}

TEST_F(BatchTablesTest, ListsComeInPagesBothWays) {
  const ControlDb control = open();
  const Files files(control);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(files.insert(file_row("file-" + std::to_string(i)), {1000, 100}).has_value());
  }
  const auto first = files.list("a", "", {.after = "", .limit = 2, .oldest_first = true});
  EXPECT_EQ(first->rows[1].id, "file-1");
  EXPECT_TRUE(first->has_more);
  const auto last = files.list("a", "", {.after = "file-2", .limit = 2, .oldest_first = true});
  EXPECT_EQ(last->rows.back().id, "file-4");
  EXPECT_FALSE(last->has_more);
  EXPECT_EQ(files.list("a", "", {.after = "", .limit = 1})->rows.front().id, "file-4");
  EXPECT_EQ(files.list("a", "", {.after = "file-1", .limit = 9})->rows.size(), 1U);
  EXPECT_TRUE(files.list("a", "vision", {})->rows.empty());
}

TEST_F(BatchTablesTest, AFileThatABatchReadsStays) {
  const ControlDb control = open();
  const Files files(control);
  const Batches batches(control);
  FileRow row = file_row("file-1");
  row.expires_s = kNow;
  ASSERT_TRUE(files.insert(row, {1000, 100}).has_value());
  ASSERT_TRUE(batches.insert(batch_row("batch_1"), 10).has_value());
  EXPECT_EQ(files.remove("a", "file-1").error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(files.remove_expired(kNow + 1)->empty());
  ASSERT_TRUE(*batches.fail("batch_1", "[]", kNow));
  EXPECT_EQ(files.remove_expired(kNow + 1)->size(), 1U);
  EXPECT_FALSE(files.find("a", "file-1")->has_value());
}

TEST_F(BatchTablesTest, StatesGoForwardOnly) {
  const ControlDb control = open();
  const Batches batches(control);
  ASSERT_TRUE(batches.insert(batch_row("batch_1"), 10).has_value());
  EXPECT_FALSE(*batches.begin_finalizing("batch_1", kNow));
  EXPECT_TRUE(*batches.start("batch_1", 3, "m", kNow + 1));
  EXPECT_FALSE(*batches.start("batch_1", 3, "m", kNow + 1));
  EXPECT_FALSE(*batches.fail("batch_1", "[]", kNow));
  EXPECT_FALSE(*batches.finish("batch_1", {}, kNow));
  EXPECT_TRUE(*batches.begin_finalizing("batch_1", kNow + 2));
  EXPECT_FALSE(*batches.cancel("a", "batch_1", kNow));
  EXPECT_TRUE(*batches.finish("batch_1",
                              {.state = BatchState::kCompleted,
                               .output = file_row("o"),
                               .errors = std::nullopt,
                               .unanswered = 0},
                              kNow + 3));
  EXPECT_FALSE(*batches.finish("batch_1",
                               {.state = BatchState::kCompleted,
                                .output = file_row("p"),
                                .errors = std::nullopt,
                                .unanswered = 0},
                               kNow + 4));
  const BatchRow row = **batches.find("a", "batch_1");
  EXPECT_EQ(row.state, BatchState::kCompleted);
  EXPECT_EQ(row.in_progress_s, kNow + 1);
  EXPECT_EQ(row.finalizing_s, kNow + 2);
  EXPECT_EQ(row.completed_s, kNow + 3);
  EXPECT_EQ(row.output_file_id, "o");
  EXPECT_FALSE(row.error_file_id.has_value());
  EXPECT_TRUE(Files(control).find("a", "o")->has_value());
  EXPECT_FALSE(Files(control).find("a", "p")->has_value());
}

TEST_F(BatchTablesTest, CancellingEndsInCancelled) {
  const ControlDb control = open();
  const Batches batches(control);
  ASSERT_TRUE(batches.insert(batch_row("batch_1"), 10).has_value());
  EXPECT_EQ(batches.cancel("b", "batch_1", kNow).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(*batches.cancel("a", "batch_1", kNow + 5));
  EXPECT_FALSE(*batches.cancel("a", "batch_1", kNow + 6));
  EXPECT_FALSE(*batches.start("batch_1", 1, "m", kNow));
  EXPECT_EQ(state(control, "batch_1"), BatchState::kCancelling);
  EXPECT_EQ(batches.open(10, 10)->size(), 1U);
  Batches::Ending ending;
  ending.state = BatchState::kCancelled;
  ending.unanswered = 2;
  EXPECT_TRUE(*batches.finish("batch_1", ending, kNow + 7));
  EXPECT_EQ((*batches.find("a", "batch_1"))->cancelled_s, kNow + 7);
  EXPECT_EQ((*batches.find("a", "batch_1"))->failed, 2);
  EXPECT_TRUE(batches.open(10, 10)->empty());
}

TEST_F(BatchTablesTest, ALineIsAnsweredOnce) {
  const ControlDb control = open();
  const Batches batches(control);
  ASSERT_TRUE(batches.insert(batch_row("batch_1"), 10).has_value());
  ASSERT_TRUE(*batches.start("batch_1", 3, "m", kNow));
  EXPECT_EQ(
      *batches.add_results("batch_1", {{1, false, "one", {5, 2, 3, 1}}, {3, true, "three", {}}}),
      2);
  EXPECT_EQ(*batches.add_results("batch_1", {{1, true, "again", {9, 9, 9, 9}}}), 0);
  const BatchRow row = **batches.find("a", "batch_1");
  EXPECT_EQ(row.completed, 1);
  EXPECT_EQ(row.failed, 1);
  EXPECT_EQ(row.usage.input_tokens, 5);
  EXPECT_EQ(row.usage.reasoning_tokens, 1);
  EXPECT_EQ(*batches.answered("batch_1"), (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(batches.results("batch_1", 0, 10)->front().body, "one");
  EXPECT_EQ(batches.results("batch_1", 1, 10)->front().line, 3);
  EXPECT_FALSE(batches.add_results("nobody", {{1, false, "x", {}}}).has_value());
}

TEST_F(BatchTablesTest, OpenBatchesOfATenantAreBounded) {
  const ControlDb control = open();
  const Batches batches(control);
  ASSERT_TRUE(batches.insert(batch_row("batch_1"), 2).has_value());
  ASSERT_TRUE(batches.insert(batch_row("batch_2"), 2).has_value());
  EXPECT_EQ(batches.insert(batch_row("batch_3"), 2).error().code, ErrorCode::kExhausted);
  EXPECT_TRUE(batches.insert(batch_row("batch_3", "b"), 2).has_value());
  ASSERT_TRUE(*batches.fail("batch_1", "[]", kNow));
  EXPECT_TRUE(batches.insert(batch_row("batch_4"), 2).has_value());
  EXPECT_EQ(batches.list("a", {.after = "", .limit = 2})->rows.front().id, "batch_4");
  EXPECT_TRUE(batches.list("a", {.after = "", .limit = 2})->has_more);
  EXPECT_EQ(batches.list("a", {.after = "batch_2"})->rows.front().id, "batch_1");
}

TEST_F(BatchTablesTest, SettingsOutliveTheProcess) {
  {
    const ControlDb control = open();
    const RuntimeSettings settings(control);
    ASSERT_TRUE(settings.set({"log_level", "debug", kNow, "key_1"}).has_value());
    ASSERT_TRUE(settings.set({"log_level", "error", kNow + 1, "key_2"}).has_value());
    ASSERT_TRUE(settings.set({"a", "b", kNow, "key_1"}).has_value());
    EXPECT_TRUE(*settings.clear("a"));
    EXPECT_FALSE(*settings.clear("a"));
  }
  const ControlDb control = open();
  const auto rows = RuntimeSettings(control).list();
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(rows->front().value, "error");
  EXPECT_EQ(rows->front().changed_by, "key_2");
}

}  // namespace
}  // namespace paring::store
