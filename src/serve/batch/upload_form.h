// SPDX-License-Identifier: Apache-2.0
// The form that brings a file: multipart/form-data with "file" and "purpose", as OpenAI's clients
// send it, from bytes to a file of the FileStore. Holds a piece of the file, never the whole.
// Confined to one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/multipart.h"
#include "serve/batch/file_store.h"
#include "serve/wire/openai_files.h"

namespace paring::serve {

class UploadForm {
 public:
  // 400 for a Content-Type that is no form. `files` must outlive the result.
  static ApiResult<UploadForm> begin(FileStore& files, std::string tenant,
                                     const std::string* content_type, wire::WireRules rules);

  // The next bytes of the body. An error ends it: 400 naming the field, 413 past the limits, 503
  // when the disk is full.
  std::optional<ApiError> append(std::string_view bytes);
  // The end of the body. REQUIRES: called once, after no error.
  ApiResult<store::FileRow> finish();

 private:
  UploadForm(FileStore& files, std::string tenant, std::string_view boundary, wire::WireRules rules)
      : files_(&files), tenant_(std::move(tenant)), reader_(boundary, {}), rules_(rules) {}
  std::optional<ApiError> begin_part();
  std::optional<ApiError> add_content(std::string_view content);

  FileStore* files_;
  std::string tenant_;
  net::MultipartReader reader_;
  wire::WireRules rules_;
  std::optional<Upload> upload_;
  std::string filename_;
  wire::NamedTexts fields_;  // the last one may still grow
  bool is_in_file_ = false;
};

}  // namespace paring::serve
