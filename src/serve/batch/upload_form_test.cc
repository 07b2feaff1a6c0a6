// SPDX-License-Identifier: Apache-2.0
// Forms to files, in pieces of any size, and what is refused on the way.
#include "serve/batch/upload_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "serve/batch/file_store_for_test.h"

namespace paring::serve {
namespace {

class UploadFormTest : public StoredFilesTest {
 protected:
  void SetUp() override {
    StoredFilesTest::SetUp();
    reopen({.file_bytes_max = 1000});
  }
  ApiResult<store::FileRow> upload(std::string_view body, std::size_t piece = 7) {
    const std::string type = "multipart/form-data; boundary=B";
    ApiResult<UploadForm> form = UploadForm::begin(*files_, "a", &type, {.is_strict = true});
    if (!form) return form.error();
    while (!body.empty()) {
      if (auto error = form->append(body.substr(0, piece))) return *error;
      body.remove_prefix(std::min(piece, body.size()));
    }
    return form->finish();
  }
  std::string error_of(const std::string& body) {
    ApiResult<store::FileRow> file = upload(body);
    if (file) return "none";
    return std::to_string(file.error().status) + " " + file.error().param;
  }
};

std::string field(const std::string& name, const std::string& text) {
  return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + text + "\r\n";
}

std::string file_part(const std::string& text, const std::string& name = "in.jsonl") {
  return "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
         "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + text + "\r\n";
}

constexpr const char* kEnd = "--B--\r\n";

TEST_F(UploadFormTest, AFileMayComeBeforeOrBehindItsPurpose) {
  const std::string content = "one\r\n--C\n\n";
  for (const std::string& body : {field("purpose", "batch") + file_part(content) + kEnd,
                                  file_part(content) + field("purpose", "batch") + kEnd}) {
    for (const std::size_t piece : {1, 10, 1000}) {
      auto row = upload(body, piece);
      ASSERT_TRUE(row) << row.error().message;
      EXPECT_EQ(row->filename, "in.jsonl");
      EXPECT_EQ(row->purpose, "batch");
      EXPECT_EQ(*files_->content("a", row->id)->read(0, 100), content);
    }
  }
}

TEST_F(UploadFormTest, AnExpiryIsTaken) {
  auto row = upload(field("purpose", "user_data") + field("expires_after[anchor]", "created_at") +
                    field("expires_after[seconds]", "3600") + file_part("x") + kEnd);
  ASSERT_TRUE(row) << row.error().message;
  EXPECT_EQ(row->expires_s, row->created_s + 3600);
}

TEST_F(UploadFormTest, WrongFormsNameTheirFieldAndLeaveNothing) {
  const std::string purpose = field("purpose", "batch");
  EXPECT_EQ(error_of(purpose + kEnd), "400 file");
  EXPECT_EQ(error_of(file_part("x") + kEnd), "400 purpose");
  EXPECT_EQ(error_of(field("purpose", "no such") + file_part("x") + kEnd), "400 purpose");
  EXPECT_EQ(error_of(purpose + file_part("x") + file_part("y") + kEnd), "400 file");
  EXPECT_EQ(error_of(purpose + field("file", "x") + kEnd), "400 file");
  EXPECT_EQ(error_of(purpose + file_part("x", "") + kEnd), "400 file");
  EXPECT_EQ(error_of(purpose + file_part("x", std::string(300, 'n')) + kEnd), "400 file");
  EXPECT_EQ(error_of(purpose + purpose + file_part("x") + kEnd), "400 purpose");
  EXPECT_EQ(error_of(purpose + field("other", "1") + file_part("x") + kEnd), "400 other");
  EXPECT_EQ(error_of(field("purpose", std::string(600, 'x')) + file_part("x") + kEnd),
            "400 purpose");
  EXPECT_EQ(error_of(purpose + file_part(std::string(1001, 'x')) + kEnd), "413 file");
  EXPECT_EQ(error_of(purpose + file_part("cut off")), "400 ");
  EXPECT_EQ(error_of("no form"), "400 ");
  EXPECT_EQ(files_on_disk(), 0U);
}

TEST_F(UploadFormTest, OtherContentTypesAreRefused) {
  const std::string json = "application/json";
  EXPECT_EQ(UploadForm::begin(*files_, "a", &json, {}).error().status, 400);
  EXPECT_EQ(UploadForm::begin(*files_, "a", nullptr, {}).error().status, 400);
}

}  // namespace
}  // namespace paring::serve
