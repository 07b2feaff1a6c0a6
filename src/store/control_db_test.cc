// SPDX-License-Identifier: Apache-2.0
#include "store/control_db.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <vector>

#include "base/random.h"
#include "store/audit.h"
#include "store/control_db_for_test.h"
#include "store/detail/connections.h"
#include "store/ledger.h"

namespace paring::store {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777;
}

TEST_F(ControlDbTest, ItsFilesAreForTheOwnerOnly) {
  const mode_t old_mask = ::umask(0);
  const ControlDb control = open();
  ::umask(old_mask);
  ASSERT_TRUE(Keys(control).insert(key_for_test("key_1")).has_value());
  EXPECT_EQ(mode_of(folder_), 0700U);
  EXPECT_EQ(mode_of(file()), 0600U);
  EXPECT_EQ(mode_of(file() + "-wal"), 0600U);
  EXPECT_EQ(mode_of(file() + "-shm"), 0600U);
}

TEST_F(ControlDbTest, RightsOfOthersAreTakenAway) {
  {
    (void)open();
  }
  ASSERT_EQ(::chmod(file().c_str(), 0644), 0);
  {
    (void)open();
  }
  EXPECT_EQ(mode_of(file()), 0600U);
}

TEST_F(ControlDbTest, RowsOutliveIt) {
  {
    const ControlDb control = open();
    KeyRow key = key_for_test("key_1");
    key.expires_s = 12;
    key.limits = {.requests_per_minute = 1,
                  .tokens_per_minute = std::nullopt,
                  .concurrent_requests = 3,
                  .weight = 4,
                  .budgets = {{BudgetPeriod::kDay, 5}, {BudgetPeriod::kTotal, 6}}};
    ASSERT_TRUE(Keys(control).insert(key).has_value());
  }
  const Result<ControlDb> control = open_checked();
  ASSERT_TRUE(control.has_value());
  const auto found = Keys(*control).find_by_lookup("lookup_key_1");
  ASSERT_TRUE(found.has_value() && found->has_value());
  const KeyRow& key = **found;
  EXPECT_EQ(key.expires_s, 12);
  EXPECT_FALSE(key.revoked_s.has_value());
  EXPECT_EQ(key.limits.requests_per_minute, 1);
  EXPECT_FALSE(key.limits.tokens_per_minute.has_value());
  EXPECT_EQ(key.limits.concurrent_requests, 3);
  EXPECT_EQ(key.limits.weight, 4);
  ASSERT_EQ(key.limits.budgets.size(), 2U);
  EXPECT_EQ(key.hash, key_for_test("x").hash);
}

TEST_F(ControlDbTest, TextFromOutsideIsNeverSql) {
  const ControlDb control = open();
  const std::string hostile = "x'); DROP TABLE keys; --";
  KeyRow key = key_for_test(hostile);
  key.name = std::string("null\0inside", 11);
  ASSERT_TRUE(Keys(control).insert(key).has_value());
  EXPECT_FALSE(Keys(control).find("' OR '1'='1")->has_value());
  const auto found = Keys(control).find(hostile);
  ASSERT_TRUE(found.has_value() && found->has_value());
  EXPECT_EQ((*found)->name, key.name);
  EXPECT_EQ(Keys(control).list()->size(), 1U);
}

TEST_F(ControlDbTest, AKeyIsInsertedOnce) {
  const ControlDb control = open();
  ASSERT_TRUE(Keys(control).insert(key_for_test("key_1")).has_value());
  const Result<void> again = Keys(control).insert(key_for_test("key_1"));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kInvalidArgument);
  KeyRow zero = key_for_test("key_2");
  zero.limits.weight = 0;
  EXPECT_EQ(Keys(control).insert(zero).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Keys(control).list()->size(), 1U);
}

TEST_F(ControlDbTest, ARevokedKeyIsSeenByAnotherConnectionAtOnce) {
  const ControlDb here = open();
  const ControlDb there = open();
  ASSERT_TRUE(Keys(here).insert(key_for_test("key_1")).has_value());
  EXPECT_FALSE((*Keys(there).find("key_1"))->revoked_s.has_value());
  EXPECT_TRUE(*Keys(here).revoke("key_1", 77));
  EXPECT_EQ((*Keys(there).find("key_1"))->revoked_s, 77);
  EXPECT_FALSE(*Keys(here).revoke("key_1", 99));
  EXPECT_EQ((*Keys(there).find("key_1"))->revoked_s, 77);
  EXPECT_EQ(Keys(here).revoke("key_2", 1).error().code, ErrorCode::kNotFound);
}

TEST_F(ControlDbTest, LastUseNeverGoesBack) {
  const ControlDb control = open();
  ASSERT_TRUE(Keys(control).insert(key_for_test("key_1")).has_value());
  ASSERT_TRUE(Keys(control).set_last_used("key_1", 50).has_value());
  ASSERT_TRUE(Keys(control).set_last_used("key_1", 40).has_value());
  EXPECT_EQ((*Keys(control).find("key_1"))->last_used_s, 50);
}

TEST_F(ControlDbTest, TheAuditLogAndTheLedgerCannotBeChanged) {
  const ControlDb control = open();
  ASSERT_TRUE(Keys(control).insert(key_for_test("key_1")).has_value());
  ASSERT_TRUE(AuditLog(control).append({0, 1, "cli", "key.create", "key_1", "ok", ""}).has_value());
  const auto reserved = Ledger(control).reserve({"key_1", "r", 5, 5, 1});
  ASSERT_TRUE(Ledger(control).settle(*reserved->id, 5, 1).has_value());
  const auto refused = [&](detail::Sql sql) {
    const auto done = control.connections().write(
        detail::Durability::kProcess,
        [&](detail::Connection& connection) { return connection.execute(sql); });
    return !done && done.error().message.find("append-only") != std::string::npos;
  };
  EXPECT_TRUE(refused("DELETE FROM audit"));
  EXPECT_TRUE(refused("UPDATE audit SET actor = 'nobody'"));
  EXPECT_TRUE(refused("DELETE FROM ledger"));
  EXPECT_TRUE(refused("UPDATE ledger SET tokens = 0"));
  const auto rows = AuditLog(control).read(0, 10);
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(rows->front().actor, "cli");
}

TEST_F(ControlDbTest, AReaderCannotWrite) {
  const ControlDb control = open();
  const auto done = control.connections().read(
      [](detail::Connection& connection) { return connection.execute("DELETE FROM keys"); });
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kIo);
}

TEST_F(ControlDbTest, AForeignKeyThatLeadsNowhereIsRefused) {
  const ControlDb control = open();
  const auto done =
      control.connections().write(detail::Durability::kProcess, [](detail::Connection& connection) {
        return connection.execute("INSERT INTO budgets VALUES('nobody', 'day', 1)");
      });
  EXPECT_FALSE(done.has_value());
}

TEST_F(ControlDbTest, AHeldDatabaseIsUnavailableAfterTheTimeout) {
  const ControlDb control = open();
  const ControlDb impatient = ControlDb::open({.folder = folder_, .busy_ms = 30}).value();
  (void)control.connections().write(
      detail::Durability::kProcess, [&](detail::Connection&) -> Result<void> {
        const Result<void> waits = Keys(impatient).insert(key_for_test("key_1"));
        EXPECT_FALSE(waits.has_value());
        EXPECT_EQ(waits.error().code, ErrorCode::kUnavailable);
        // Readers do not wait for writers.
        EXPECT_TRUE(Keys(impatient).list().has_value());
        return {};
      });
  EXPECT_TRUE(Keys(impatient).insert(key_for_test("key_1")).has_value());
}

TEST_F(ControlDbTest, WhatFailsInATransactionIsTakenBack) {
  const ControlDb control = open();
  KeyRow key = key_for_test("key_1");
  key.limits.budgets = {{BudgetPeriod::kDay, 5}, {BudgetPeriod::kDay, 6}};  // twice
  EXPECT_FALSE(Keys(control).insert(key).has_value());
  EXPECT_FALSE(Keys(control).find("key_1")->has_value());
  key.limits.budgets.pop_back();
  EXPECT_TRUE(Keys(control).insert(key).has_value());
}

TEST_F(ControlDbTest, TextThatIsNoDatabaseIsCorrupt) {
  std::filesystem::create_directory(folder_);
  std::ofstream(file()) << std::string(8192, 'x');
  ::chmod(file().c_str(), 0600);
  const Result<ControlDb> control = open_checked();
  ASSERT_FALSE(control.has_value());
  EXPECT_EQ(control.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(std::filesystem::file_size(file()), 8192U);
}

void fill(const ControlDb& control, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(Keys(control).insert(key_for_test("key_" + std::to_string(i))).has_value());
  }
}

TEST_F(ControlDbTest, DamagedFilesAreErrorsNeverCrashes) {
  {
    fill(open(), 200);
  }
  std::ifstream in(file(), std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(whole.size(), 40000U);
  RandomStream random({.seed = 6});
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = whole;
    if (round % 3 == 0) {
      damaged.resize(random.below(static_cast<std::uint32_t>(whole.size())));
    } else {
      for (int i = 0; i < 40; ++i) {
        damaged[random.below(static_cast<std::uint32_t>(whole.size()))] =
            static_cast<char>(random.next_u32());
      }
    }
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    std::ofstream(file(), std::ios::binary) << damaged;
    ::chmod(file().c_str(), 0600);
    const Result<ControlDb> checked = open_checked();
    if (!checked) ++found;
    // Without the check the damage is met later, or never.
    const Result<ControlDb> control = ControlDb::open({.folder = folder_, .busy_ms = 10});
    if (!control) continue;
    (void)Keys(*control).list();
    (void)Keys(*control).insert(key_for_test("new"));
    (void)Ledger(*control).check();
  }
  EXPECT_GT(found, 200);
}

TEST_F(ControlDbTest, AFullDiskIsExhaustedAndWhatWasThereStays) {
  {
    fill(open(), 20);
  }
  const int code = wait_for_test(fork_for_test([this] {
    std::signal(SIGXFSZ, SIG_IGN);
    const ControlDb control = open();
    const rlim_t limit = std::filesystem::file_size(file()) + 65536;
    const rlimit file_size{limit, limit};
    if (::setrlimit(RLIMIT_FSIZE, &file_size) != 0) return 2;
    KeyRow key = key_for_test("big");
    key.name = std::string(200'000, 'x');
    const Result<void> done = Keys(control).insert(key);
    if (done) return 3;
    if (done.error().code != ErrorCode::kExhausted) {
      std::cerr << done.error().text() << "\n";
      return 4;
    }
    // Still usable.
    if (!Keys(control).list() || Keys(control).list()->size() != 20) return 5;
    return Keys(control).insert(key_for_test("small")) ? 0 : 6;
  }));
  EXPECT_EQ(code, 0);
  const Result<ControlDb> control = open_checked();
  ASSERT_TRUE(control.has_value()) << control.error().text();
  EXPECT_EQ(Keys(*control).list()->size(), 21U);
}

TEST_F(ControlDbTest, ADiskWithoutAnyRoomIsExhaustedAtOpening) {
  const int code = wait_for_test(fork_for_test([this] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit file_size{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &file_size) != 0) return 2;
    const Result<ControlDb> control = ControlDb::open({.folder = folder_});
    if (control) return 3;
    if (control.error().code == ErrorCode::kExhausted) return 0;
    std::cerr << control.error().text() << "\n";
    return 4;
  }));
  EXPECT_EQ(code, 0);
}

TEST_F(ControlDbTest, AFolderWithoutRightsIsAnError) {
  {
    (void)open();
  }
  ASSERT_EQ(::chmod(root_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0555), 0);
  ASSERT_EQ(::chmod(file().c_str(), 0444), 0);
  const int code = wait_for_test(fork_for_test([this] {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) return 2;
    const Result<ControlDb> old = ControlDb::open({.folder = folder_});
    if (old || old.error().code != ErrorCode::kIo) return 3;
    const Result<ControlDb> fresh = ControlDb::open({.folder = folder_ + "/below"});
    return fresh || fresh.error().code != ErrorCode::kIo ? 4 : 0;
  }));
  EXPECT_EQ(code, 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
}

TEST_F(ControlDbTest, OneProcessServesAndItsDeathFreesTheLock) {
  std::filesystem::create_directory(folder_);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = fork_for_test([&] {
    const Result<ServingLock> lock = ServingLock::take(folder_);
    const char said = lock ? 'y' : 'n';
    if (::write(ready[1], &said, 1) != 1) return 1;
    ::pause();
    return 0;
  });
  char said = 0;
  ASSERT_EQ(::read(ready[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  const Result<ServingLock> second = ServingLock::take(folder_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find(std::to_string(child)), std::string::npos);
  ::kill(child, SIGKILL);
  wait_for_test(child);
  EXPECT_TRUE(ServingLock::take(folder_).has_value());
  ::close(ready[0]);
  ::close(ready[1]);
}

// What a child has committed when it is killed is there, and nothing half.
TEST_F(ControlDbTest, KilledAtAnyMomentNothingThatWasCommittedIsLost) {
  constexpr int kRounds = 40;
  RandomStream random({.seed = 9});
  {
    ASSERT_TRUE(Keys(open()).insert(key_for_test("key_1")).has_value());
  }
  std::int64_t acknowledged_tokens = 0;
  std::int64_t kills_in_work = 0;
  for (int round = 0; round < kRounds; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = fork_for_test([&] {
      const ControlDb control = open();
      const Ledger ledger(control);
      if (!ledger.recover(1)) return 1;
      for (std::int64_t i = 0; i < 100'000; ++i) {
        const auto reserved = ledger.reserve({"key_1", "r" + std::to_string(i), 10, 0, 1});
        if (!reserved || !reserved->id) return 2;
        if (!ledger.settle(*reserved->id, 3, 1)) return 3;
        const char said = 'x';
        if (::write(pipe_ends[1], &said, 1) != 1) return 4;
      }
      return 5;
    });
    sleep_us_for_test(2000 + random.below(30'000));
    ::kill(child, SIGKILL);
    EXPECT_EQ(wait_for_test(child), 128 + SIGKILL);
    ::close(pipe_ends[1]);
    char buffer[4096];
    std::int64_t acknowledged = 0;
    for (ssize_t n = 0; (n = ::read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) acknowledged += n;
    ::close(pipe_ends[0]);
    acknowledged_tokens += 3 * acknowledged;
    if (acknowledged > 0) ++kills_in_work;
    const Result<ControlDb> control = open_checked();
    ASSERT_TRUE(control.has_value()) << control.error().text();
    ASSERT_TRUE(Ledger(*control).check().has_value());
    const std::int64_t charged = *Ledger(*control).total_charged("key_1");
    EXPECT_GE(charged, acknowledged_tokens);
    EXPECT_LE(charged, acknowledged_tokens + 3);
    acknowledged_tokens = charged;
  }
  EXPECT_GT(kills_in_work, kRounds / 4);
}

}  // namespace
}  // namespace paring::store
