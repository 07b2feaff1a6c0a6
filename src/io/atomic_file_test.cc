// SPDX-License-Identifier: Apache-2.0
// A file appears whole or not at all, and every way to fail has its own sentence.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "io/mapped_file.h"
#include "io/system_error.h"

namespace paring::io {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("paring_atomic_" + std::to_string(::getpid()) + "_" + test->name());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  static std::string content(const std::string& name) {
    std::ifstream file(name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_;
};

// Runs as nobody while it lives, so that permissions count even when the tests run as root.
class AsNobody {
 public:
  AsNobody() {
    if (::geteuid() == 0) is_changed_ = ::seteuid(65534) == 0;
  }
  ~AsNobody() {
    if (is_changed_) is_changed_ = ::seteuid(0) != 0;
  }

 private:
  bool is_changed_ = false;
};

TEST_F(AtomicFileTest, TheFileAppearsAtCommitAndNotBefore) {
  auto file = AtomicFile::create(path("a"), Overwrite::kRefuse);
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_TRUE(file->write("hello "));
  ASSERT_TRUE(file->write("world"));
  EXPECT_FALSE(fs::exists(path("a")));
  EXPECT_EQ(files(), 1U) << "the temporary file lies beside it";
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(content(path("a")), "hello world");
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFileTest, DroppingLeavesTheOldFile) {
  std::ofstream(path("a")) << "old";
  {
    auto file = AtomicFile::create(path("a"), Overwrite::kReplace);
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->write("new"));
    AtomicFile moved = std::move(*file);
    EXPECT_EQ(moved.bytes_written(), 3U);
  }
  EXPECT_EQ(content(path("a")), "old");
  EXPECT_EQ(files(), 1U);
}

TEST_F(AtomicFileTest, ReplacingKeepsPermissionsAndLinks) {
  std::ofstream(path("a")) << "old";
  fs::permissions(path("a"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("a", folder_ / "link");
  auto file = AtomicFile::create(path("link"), Overwrite::kReplace);
  ASSERT_TRUE(file) << file.error().text();
  ASSERT_TRUE(file->write("new"));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(content(path("a")), "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(fs::status(path("a")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AtomicFileTest, AnExistingFileIsRefusedAtBothEnds) {
  std::ofstream(path("a")) << "old";
  const auto early = AtomicFile::create(path("a"), Overwrite::kRefuse);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(early.error().text().find("exists already"), std::string::npos);
  auto late = AtomicFile::create(path("b"), Overwrite::kRefuse);
  ASSERT_TRUE(late);
  std::ofstream(path("b")) << "came between";
  const auto outcome = late->commit();
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().text().find("exists already"), std::string::npos);
  EXPECT_EQ(content(path("b")), "came between");
}

TEST_F(AtomicFileTest, FoldersDevicesAndMissingFoldersAreNamed) {
  const auto is_folder = AtomicFile::create(folder_.string(), Overwrite::kReplace);
  ASSERT_FALSE(is_folder);
  EXPECT_NE(is_folder.error().text().find("is a folder"), std::string::npos);
  EXPECT_FALSE(AtomicFile::create(path("sub/"), Overwrite::kReplace));
  const auto missing = AtomicFile::create(path("no/such/a"), Overwrite::kReplace);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().text().find("mkdir -p"), std::string::npos);
  const auto device = AtomicFile::create("/dev/null", Overwrite::kReplace);
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().text().find("not a regular file"), std::string::npos);
  std::ofstream(path("plain")) << "x";
  EXPECT_EQ(AtomicFile::create(path("plain/a"), Overwrite::kReplace).error().code,
            ErrorCode::kNotFound);
  fs::create_symlink("nowhere", folder_ / "dangling");
  EXPECT_NE(AtomicFile::create(path("dangling"), Overwrite::kReplace).error().text().find("link"),
            std::string::npos);
  EXPECT_EQ(AtomicFile::create("", Overwrite::kReplace).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(AtomicFileTest, AFolderWithoutPermissionIsNamed) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0555), 0);
  const AsNobody unprivileged;
  const auto file = AtomicFile::create(path("a"), Overwrite::kReplace);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_NE(file.error().text().find("no permission"), std::string::npos);
  EXPECT_NE(file.error().text().find(folder_.string()), std::string::npos);
}

TEST_F(AtomicFileTest, AnUnreadableFileIsNamed) {
  std::ofstream(path("secret")) << "x";
  fs::permissions(path("secret"), fs::perms::none);
  fs::permissions(folder_, fs::perms::all);
  const AsNobody unprivileged;
  const auto file = MappedFile::open(path("secret"));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_NE(file.error().text().find("permissions"), std::string::npos);
}

// The kernel refuses to grow a file past RLIMIT_FSIZE as it refuses to grow it on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limited{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST_F(AtomicFileTest, RunningOutOfRoomIsExhaustedAndLeavesNothing) {
  {
    const FileSizeLimit limit(1000);
    auto reserved = AtomicFile::create(path("a"), Overwrite::kRefuse);
    ASSERT_TRUE(reserved);
    const auto early = reserved->reserve(5000);
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::kExhausted);
    EXPECT_NE(early.error().text().find("5000 bytes are needed"), std::string::npos);
    auto written = AtomicFile::create(path("b"), Overwrite::kRefuse);
    ASSERT_TRUE(written);
    const auto late = written->write(std::string(5000, 'x'));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::kExhausted);
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(AtomicFileTest, ReservedRoomThatIsNotUsedIsGivenBack) {
  auto file = AtomicFile::create(path("a"), Overwrite::kRefuse);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->reserve(100'000));
  ASSERT_TRUE(file->write("short"));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(content(path("a")), "short");
}

TEST(SystemError, MapsErrnoToCodesAndHints) {
  const Error full = system_error(ENOSPC, "write", "out.gguf");
  EXPECT_EQ(full.code, ErrorCode::kExhausted);
  EXPECT_NE(full.text().find("cannot write 'out.gguf'"), std::string::npos);
  EXPECT_NE(full.text().find("disk is full"), std::string::npos);
  EXPECT_EQ(system_error(EROFS, "write", "a").code, ErrorCode::kIo);
  EXPECT_EQ(system_error(ENOENT, "open", "a").code, ErrorCode::kNotFound);
  EXPECT_EQ(system_error(EISDIR, "open", "a").code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(system_error(EIO, "read", "a").code, ErrorCode::kIo);
}

TEST_F(AtomicFileTest, MappedPagesComeBackAfterRelease) {
  const std::string text(100'000, 'p');
  std::ofstream(path("a")) << text;
  const auto file = MappedFile::open(path("a"));
  ASSERT_TRUE(file);
  ASSERT_EQ(file->bytes().size(), text.size());
  file->release(10, 99'000);
  file->release(0, text.size());
  file->release(text.size(), 0);
  for (const std::byte byte : file->bytes()) ASSERT_EQ(byte, std::byte{'p'});
  std::ofstream(path("empty")).close();
  const auto empty = MappedFile::open(path("empty"));
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->bytes().empty());
}

// In a child: the signal ends it.
TEST_F(AtomicFileTest, ASignalRemovesWhatIsNotCommitted) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::signal(number, SIG_DFL);
      remove_temporaries_on_signals();
      AtomicFile moved;
      Result<AtomicFile> dropped = AtomicFile::create(path("dropped"), Overwrite::kRefuse);
      {
        const AtomicFile gone = std::move(dropped).value();
      }
      Result<AtomicFile> whole = AtomicFile::create(path("whole"), Overwrite::kReplace);
      Result<AtomicFile> open = AtomicFile::create(path("open"), Overwrite::kRefuse);
      if (!whole || !open || !whole->write("all") || !whole->commit()) ::_exit(1);
      moved = std::move(open).value();
      if (!moved.write("half")) ::_exit(2);
      ::raise(number);
      ::_exit(3);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number) << status;
    EXPECT_EQ(files(), 1u);
    EXPECT_EQ(content(path("whole")), "all");
  }
}

}  // namespace
}  // namespace paring::io
