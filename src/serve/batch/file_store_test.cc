// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/file_store.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "serve/batch/batch_json.h"
#include "serve/batch/file_store_for_test.h"

namespace paring::serve {
namespace {

class FileStoreTest : public StoredFilesTest {
 protected:
  ApiResult<store::FileRow> add(const std::string& text, const std::string& tenant = "a",
                                const FileSpec& spec = {"in.jsonl", "batch", std::nullopt}) {
    ApiResult<Upload> upload = files_->begin(tenant);
    if (!upload) return upload.error();
    if (auto error = upload->append(text)) return *error;
    return upload->finish(spec);
  }
  std::string content(const std::string& tenant, const std::string& id) {
    ApiResult<FileContent> content = files_->content(tenant, id);
    return content ? *content->read(0, content->bytes()) : "none: " + content.error().code;
  }
};

TEST_F(FileStoreTest, WhatCameInPiecesIsReadBack) {
  ApiResult<Upload> upload = files_->begin("a");
  ASSERT_TRUE(upload) << upload.error().message;
  for (const char* piece : {"one\n", "", "two\n"}) ASSERT_FALSE(upload->append(piece));
  auto file = upload->finish({"dir/../in.jsonl", "batch", std::nullopt});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->bytes, 8);
  EXPECT_EQ(file->filename, "in.jsonl");
  EXPECT_EQ(file->sha256, sha256_hex("one\ntwo\n"));
  EXPECT_EQ(content("a", file->id), "one\ntwo\n");
  EXPECT_EQ(content("b", file->id), "none: file_not_found");
  EXPECT_EQ(content("a", "file-nobody"), "none: file_not_found");
  EXPECT_EQ(content("a", "../../control.db"), "none: file_not_found");
  struct stat status{};
  const std::string path = folder_ + "/files/" + file->sha256.substr(0, 2) + "/" + file->sha256;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(FileStoreTest, NamesFromOutsideAreNeverPaths) {
  for (const std::string& name :
       {std::string("../../../etc/passwd"), std::string("/etc/passwd"), std::string("..\\..\\x"),
        std::string("a/b/c"), std::string("$(x)"), std::string("..")}) {
    auto file = add("text", "a", {name, "user_data", std::nullopt});
    ASSERT_TRUE(file) << name;
    EXPECT_EQ(file->filename.find('/'), std::string::npos);
    EXPECT_EQ(file->filename.find('\\'), std::string::npos);
  }
  EXPECT_EQ(files_on_disk(), 1U);  // equal contents lie there once
  for (const std::string& name : {std::string(), std::string("a/"), std::string("a\nb"),
                                  std::string("a\0b", 3), std::string(256, 'x')}) {
    EXPECT_EQ(add("text", "a", {name, "batch", std::nullopt}).error().status, 400);
  }
}

TEST_F(FileStoreTest, PurposesAndExpiriesAreChecked) {
  EXPECT_EQ(add("x", "a", {"f", "batch_output", std::nullopt}).error().param, "purpose");
  EXPECT_EQ(add("x", "a", {"f", "", std::nullopt}).error().param, "purpose");
  EXPECT_EQ(add("x", "a", {"f", "batch", 10}).error().status, 400);
  auto file = add("x", "a", {"f", "batch", 3600});
  EXPECT_EQ(file->expires_s, 1'700'003'600);
  EXPECT_EQ(add("y")->expires_s, 1'700'000'000 + 30 * 86400);
  EXPECT_FALSE(add("z", "a", {"f", "user_data", std::nullopt})->expires_s.has_value());
}

TEST_F(FileStoreTest, LimitsOfFilesAndTenants) {
  reopen({.file_bytes_max = 100, .tenant_bytes_max = 150});
  EXPECT_TRUE(add(std::string(100, 'x')));
  EXPECT_EQ(add(std::string(101, 'x'), "b").error().status, 413);
  EXPECT_EQ(add(std::string(51, 'x')).error().status, 413);
  EXPECT_TRUE(add(std::string(50, 'x')));
  EXPECT_EQ(add("x").error().status, 413);
  EXPECT_TRUE(add("x", "b"));
  EXPECT_EQ(files_on_disk(), 3U);
}

TEST_F(FileStoreTest, TwoUploadsCannotShareTheLastOfAQuota) {
  reopen({.file_bytes_max = 100, .tenant_bytes_max = 100});
  ApiResult<Upload> first = files_->begin("a");
  ApiResult<Upload> second = files_->begin("a");
  ASSERT_FALSE(first->append(std::string(60, 'x')));
  EXPECT_EQ(second->append(std::string(60, 'y'))->code, "storage_quota_exceeded");
  EXPECT_TRUE(first->finish({"f", "batch", std::nullopt}));
  // Now they count as a file.
  EXPECT_EQ(second->append(std::string(60, 'y'))->code, "storage_quota_exceeded");
  EXPECT_FALSE(second->append(std::string(40, 'y')));
  EXPECT_TRUE(second->finish({"f", "batch", std::nullopt}));
  EXPECT_EQ(files_on_disk(), 2U);
}

TEST_F(FileStoreTest, AnUploadThatBreaksOffGivesItsBytesBack) {
  reopen({.file_bytes_max = 100, .tenant_bytes_max = 100});
  {
    ApiResult<Upload> upload = files_->begin("a");
    ASSERT_FALSE(upload->append(std::string(100, 'x')));
    ApiResult<Upload> other = files_->begin("a");
    EXPECT_EQ(other->append("y")->status, 413);
    ApiResult<Upload> neighbour = files_->begin("b");
    EXPECT_FALSE(neighbour->append("y"));
  }
  EXPECT_TRUE(add(std::string(100, 'z')));
}

TEST_F(FileStoreTest, FilesAndUploadsOfATenantAreCounted) {
  reopen({.tenant_files_max = 2, .tenant_uploads_max = 1});
  {
    ApiResult<Upload> upload = files_->begin("a");
    ApiResult<Upload> other = files_->begin("a");
    EXPECT_EQ(other.error().status, 429);
    EXPECT_TRUE(other.error().retry_after_seconds);
    EXPECT_TRUE(files_->begin("b"));
  }
  EXPECT_TRUE(add(""));
  EXPECT_TRUE(add(""));
  EXPECT_EQ(add("").error().code, "storage_quota_exceeded");
  EXPECT_TRUE(add("", "b"));
}

TEST_F(FileStoreTest, AContentGoesWithItsLastFile) {
  auto first = add("same");
  auto second = add("same", "b");
  EXPECT_EQ(files_on_disk(), 1U);
  ApiResult<FileContent> open = files_->content("a", first->id);
  EXPECT_EQ(files_->remove("b", first->id).error().status, 404);
  EXPECT_TRUE(files_->remove("a", first->id));
  EXPECT_EQ(files_on_disk(), 1U);
  EXPECT_EQ(content("b", second->id), "same");
  EXPECT_TRUE(files_->remove("b", second->id));
  EXPECT_EQ(files_on_disk(), 0U);
  EXPECT_EQ(*open->read(0, 100), "same");  // who reads it goes on
  EXPECT_EQ(files_->remove("b", second->id).error().status, 404);
}

TEST_F(FileStoreTest, ExpiredFilesAreGone) {
  auto file = add("x", "a", {"f", "batch", 3600});
  clock_.advance(3601);
  EXPECT_EQ(files_->find("a", file->id).error().status, 404);
  files_->remove_expired();
  EXPECT_EQ(files_on_disk(), 0U);
  EXPECT_TRUE(files_->list("a", "", {})->rows.empty());
}

TEST_F(FileStoreTest, WhatAKilledProcessLeftIsCleared) {
  auto kept = add("kept");
  ApiResult<Upload> upload = files_->begin("a");
  ASSERT_FALSE(upload->append("half"));
  const std::string orphan = sha256_hex("orphan");
  std::ofstream(folder_ + "/files/" + orphan.substr(0, 2) + "/" + orphan) << "orphan";
  EXPECT_EQ(files_on_disk(), 3U);
  {
    const auto second = FileStore::open(*control_, {}, clock_);
  }
  EXPECT_EQ(files_on_disk(), 1U);
  EXPECT_EQ(content("a", kept->id), "kept");
}

TEST_F(FileStoreTest, AnUploadThatIsDroppedLeavesNothing) {
  {
    ApiResult<Upload> upload = files_->begin("a");
    ASSERT_FALSE(upload->append("half"));
    Upload moved = std::move(*upload);
    EXPECT_EQ(files_on_disk(), 1U);
  }
  EXPECT_EQ(files_on_disk(), 0U);
}

TEST_F(FileStoreTest, AFullDiskIs503AndLeavesNothing) {
  files_.reset();
  control_.reset();
  const int code = store::wait_for_test(store::fork_for_test([this] {
    std::signal(SIGXFSZ, SIG_IGN);
    const store::ControlDb control = open();
    const auto files = FileStore::open(control, {}, clock_);
    const rlimit file_size{1 << 20, 1 << 20};
    if (!files || ::setrlimit(RLIMIT_FSIZE, &file_size) != 0) return 1;
    ApiResult<Upload> upload = (*files)->begin("a");
    const auto error = upload->append(std::string(2 << 20, 'x'));
    if (!error || error->status != 503 || !error->retry_after_seconds) return 2;
    // Where the server keeps its files is not the client's to know.
    return error->message.find(folder_) == std::string::npos ? 0 : 3;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(files_on_disk(), 0U);
  control_.emplace(open());
}

TEST_F(FileStoreTest, AContentThatWasCutIsAnErrorNotAShortAnswer) {
  auto file = add(std::string(1000, 'x'));
  std::filesystem::resize_file(folder_ + "/files/" + file->sha256.substr(0, 2) + "/" + file->sha256,
                               10);
  ApiResult<FileContent> content = files_->content("a", file->id);
  ASSERT_TRUE(content);
  EXPECT_EQ(content->read(0, 1000).error().code, ErrorCode::kCorrupt);
}

TEST_F(FileStoreTest, ManyThreadsUploadAndRemoveEqualContents) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const std::string tenant = "t" + std::to_string(thread);
      for (int i = 0; i < 20; ++i) {
        const std::string text = "content " + std::to_string(i % 3);
        auto file = add(text, tenant);
        if (!file || content(tenant, file->id) != text) ++wrong;
        if (!files_->remove(tenant, file->id)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(files_on_disk(), 0U);
}

TEST_F(FileStoreTest, JsonIsAsOpenAiWritesIt) {
  auto file = add("x", "a", {"f.jsonl", "batch", 3600});
  EXPECT_EQ(file_json(*file),
            R"({"id":")" + file->id +
                R"(","object":"file","bytes":1,"created_at":1700000000,"filename":"f.jsonl",)"
                R"("purpose":"batch","status":"processed","status_details":null,)"
                R"("expires_at":1700003600})");
  EXPECT_EQ(file_deleted_json(*file),
            R"({"id":")" + file->id + R"(","object":"file","deleted":true})");
  EXPECT_EQ(file_list_json({}),
            R"({"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false})");
}

}  // namespace
}  // namespace paring::serve
