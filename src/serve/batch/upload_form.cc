// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/upload_form.h"

#include <fmt/format.h>

#include <utility>

namespace paring::serve {

namespace {

constexpr const char* kFilePart = "file";
constexpr std::size_t kFieldBytesMax = 512;

}  // namespace

ApiResult<UploadForm> UploadForm::begin(FileStore& files, std::string tenant,
                                        const std::string* content_type, wire::WireRules rules) {
  const Result<std::string> boundary =
      net::multipart_boundary(content_type == nullptr ? "" : *content_type);
  if (!boundary) return api_error(boundary.error());
  return UploadForm(files, std::move(tenant), *boundary, rules);
}

std::optional<ApiError> UploadForm::append(std::string_view bytes) {
  using Step = net::MultipartReader::Step;
  reader_.append(bytes);
  for (;;) {
    const Result<Step> step = reader_.next();
    if (!step) return api_error(step.error());
    std::optional<ApiError> error;
    if (*step == Step::kNeedMore) return std::nullopt;
    if (*step == Step::kPart) error = begin_part();
    if (*step == Step::kContent) error = add_content(reader_.content());
    if (error) return error;
  }
}

std::optional<ApiError> UploadForm::begin_part() {
  const net::PartHead& head = reader_.head();
  is_in_file_ = head.name == kFilePart;
  if (!is_in_file_) {
    fields_.emplace_back(head.name, "");
    return std::nullopt;
  }
  if (upload_) return bad_request(kFilePart, "the form has two files, one at a time is taken");
  if (!head.filename) {
    return bad_request(kFilePart, "the part has no filename; send it as a file");
  }
  filename_ = *head.filename;
  ApiResult<Upload> upload = files_->begin(tenant_);
  if (!upload) return upload.error();
  upload_.emplace(std::move(*upload));
  return std::nullopt;
}

std::optional<ApiError> UploadForm::add_content(std::string_view content) {
  if (is_in_file_) return upload_->append(content);
  auto& [name, text] = fields_.back();
  if (text.size() + content.size() > kFieldBytesMax) {
    return bad_request(name, fmt::format("it has more than {} bytes, the limit", kFieldBytesMax));
  }
  text += content;
  return std::nullopt;
}

ApiResult<store::FileRow> UploadForm::finish() {
  const Result<void> end = reader_.finish();
  if (!end) return api_error(end.error());
  if (!upload_) {
    ApiError error = bad_request(kFilePart, "the form has no file");
    error.code = "missing_required_parameter";
    return error;
  }
  ApiResult<FileSpec> spec = wire::read_file_form(fields_, filename_, rules_);
  if (!spec) return spec.error();
  return upload_->finish(*spec);
}

}  // namespace paring::serve
