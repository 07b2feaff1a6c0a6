// SPDX-License-Identifier: Apache-2.0
// POST and GET /v1/files as OpenAI has them: what a form, a list's query and the answers may hold.
// Functions are stateless.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "serve/api_error.h"
#include "serve/batch/file_store.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/files.h"

namespace paring::serve::wire {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

// The fields of a form beside the file, in any order.
ApiResult<FileSpec> read_file_form(const NamedTexts& fields, const std::string& filename,
                                   const WireRules& rules);

struct FileListCall {
  std::string purpose;  // "": any
  store::PageRequest page;
};
ApiResult<FileListCall> read_file_list(const NamedTexts& query, const WireRules& rules);

const Shape& file_form_request();
const Shape& file_list_query();
const Shape& file_answer_shape();
const Shape& file_list_answer_shape();
const Shape& file_deleted_answer_shape();
const Shape& file_content_answer_shape();

}  // namespace paring::serve::wire
