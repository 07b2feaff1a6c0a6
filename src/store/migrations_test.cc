// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include "store/control_db_for_test.h"
#include "store/detail/connections.h"
#include "store/detail/migrations.h"
#include "store/ledger.h"

namespace paring::store {
namespace {

using detail::Connection;

class MigrationsTest : public ControlDbTest {
 protected:
  void SetUp() override {
    ControlDbTest::SetUp();
    std::filesystem::create_directory(folder_);
  }
  // An empty file that SQLite opens.
  std::unique_ptr<Connection> connect() {
    std::ofstream(file(), std::ios::app).flush();
    std::filesystem::permissions(file(), std::filesystem::perms(0600));
    return Connection::open(file(), 1000).value();
  }
};

TEST_F(MigrationsTest, VersionsCountUpFromOne) {
  for (const detail::Schema* schema : {&detail::control_schema(), &detail::traffic_schema()}) {
    std::int64_t version = 0;
    for (const detail::Migration& migration : schema->versions) {
      EXPECT_EQ(migration.version, ++version);
    }
  }
}

TEST_F(MigrationsTest, EveryEarlierVersionComesUpWithItsRows) {
  for (std::int64_t from = 1; from <= detail::control_schema().latest(); ++from) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    {
      const auto connection = connect();
      ASSERT_TRUE(detail::migrate(*connection, detail::control_schema(), from).has_value());
      // What version 1 could hold.
      ASSERT_TRUE(connection
                      ->script("INSERT INTO keys VALUES('key_1', 'default', 'old', 'abc', "
                               "zeroblob(32), 'inference', 5, NULL, NULL, NULL, 60, NULL, NULL, 7);"
                               "INSERT INTO budgets VALUES('key_1', 'day', 1000);"
                               "INSERT INTO spend VALUES('key_1', 'day', 0, 0, 30);"
                               "INSERT INTO spend VALUES('key_1', 'month', 0, 0, 30);"
                               "INSERT INTO spend VALUES('key_1', 'total', 0, 0, 30);"
                               "INSERT INTO ledger VALUES(1, 1, 'key_1', 'r', 9, 0, 0, 30, 0);"
                               "INSERT INTO audit VALUES(1, 5, 'cli', 'key.create', 'key_1', "
                               "'ok', '');")
                      .has_value());
    }
    const Result<ControlDb> control = open_checked();
    ASSERT_TRUE(control.has_value()) << "from " << from << ": " << control.error().text();
    const auto key = Keys(*control).find("key_1");
    ASSERT_TRUE(key.has_value() && key->has_value());
    EXPECT_EQ((*key)->name, "old");
    EXPECT_EQ((*key)->limits.weight, 7);
    ASSERT_EQ((*key)->limits.budgets.size(), 1U);
    EXPECT_TRUE(Ledger(*control).check().has_value());
    EXPECT_EQ(*Ledger(*control).total_charged("key_1"), 30);
  }
}

TEST_F(MigrationsTest, ANewerDatabaseIsRefusedByBothVersions) {
  {
    (void)open();
  }
  ASSERT_TRUE(connect()->script("PRAGMA user_version = 999").has_value());
  const Result<ControlDb> control = open_checked();
  ASSERT_FALSE(control.has_value());
  EXPECT_EQ(control.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(control.error().message.find("version 999"), std::string::npos);
  EXPECT_NE(control.error().message.find(std::to_string(detail::control_schema().latest())),
            std::string::npos);
  // And stays as it was.
  EXPECT_EQ(*connect()->integer("PRAGMA user_version"), 999);
}

TEST_F(MigrationsTest, ADatabaseOfAnotherProgramIsLeftAlone) {
  ASSERT_TRUE(connect()->script("CREATE TABLE theirs(x); PRAGMA user_version = 1;").has_value());
  const Result<ControlDb> control = open_checked();
  ASSERT_FALSE(control.has_value());
  EXPECT_EQ(control.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(*connect()->integer("SELECT count(*) FROM sqlite_schema"), 1);
}

TEST_F(MigrationsTest, AMigrationThatFailsLeavesTheOldVersion) {
  {
    const auto connection = connect();
    // In the way of version 1's last table.
    ASSERT_TRUE(connection->script("PRAGMA application_id = 0; CREATE TABLE audit(x);"));
    EXPECT_FALSE(detail::migrate(*connection, detail::control_schema(), 1).has_value());
    EXPECT_EQ(*connection->integer("SELECT count(*) FROM sqlite_schema"), 1);
  }
}

TEST_F(MigrationsTest, TwoProcessesThatMigrateAtOnceAgree) {
  for (int round = 0; round < 10; ++round) {
    std::filesystem::remove_all(folder_);
    pid_t children[4];
    for (pid_t& child : children) {
      child = fork_for_test([this] {
        const auto control = ControlDb::open({.folder = folder_, .busy_ms = 20000});
        if (!control) std::cerr << control.error().text() << "\n";
        return control ? 0 : 1;
      });
    }
    for (const pid_t child : children) EXPECT_EQ(wait_for_test(child), 0);
    EXPECT_TRUE(open_checked().has_value());
  }
}

}  // namespace
}  // namespace paring::store
