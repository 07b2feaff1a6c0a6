// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_files.h"

#include <limits>

#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/openai_common.h"

namespace paring::serve::wire {
namespace {

constexpr std::int64_t kFilesListedMax = 10'000;
constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kIdCharactersMax = 128;
constexpr const char* kExpiryAnchor = "expires_after[anchor]";
constexpr const char* kExpirySeconds = "expires_after[seconds]";

std::vector<std::string> purposes() { return {upload_purposes().begin(), upload_purposes().end()}; }

}  // namespace

const Shape& file_form_request() {
  static const Shape shape = object({
      required("file", text(), "The file, with its name."),
      required("purpose", name_of(purposes()),
               "What it is for; a batch takes files for \"batch\"."),
      field(kExpiryAnchor, name_of({"created_at"}), "From when its lifetime counts."),
      field(kExpirySeconds, integer(kFileExpiryMin, kFileExpiryMax),
            "Its lifetime; absent: 30 days for \"batch\", no end for others."),
  });
  return shape;
}

ApiResult<FileSpec> read_file_form(const NamedTexts& fields, const std::string& filename,
                                   const WireRules& rules) {
  NamedTexts all = fields;
  all.emplace_back("file", filename);
  ApiResult<Json> form = read_flat(all, file_form_request(), rules);
  if (!form) return form.error();
  const std::optional<std::int64_t> seconds = integer_of(*form, kExpirySeconds);
  if (seconds.has_value() != form->contains(kExpiryAnchor)) {
    return bad_request(seconds ? kExpiryAnchor : kExpirySeconds,
                       "expires_after takes both, anchor and seconds");
  }
  return FileSpec{filename, text_of(*form, "purpose"), seconds};
}

const Shape& file_list_query() {
  static const Shape shape = object({
      field("purpose", name_of([] {
              std::vector<std::string> names = purposes();
              names.emplace_back(kBatchOutputPurpose);
              return names;
            }()),
            "Only files for this; absent: all."),
      field("limit", integer(1, kFilesListedMax), "At most so many; absent: 10000."),
      field("order", name_of({"asc", "desc"}), "By the time they were made; absent: \"desc\"."),
      field("after", text(1, kIdCharactersMax), "Only those behind this file in the order."),
  });
  return shape;
}

ApiResult<FileListCall> read_file_list(const NamedTexts& query, const WireRules& rules) {
  ApiResult<Json> read = read_flat(query, file_list_query(), rules);
  if (!read) return read.error();
  return FileListCall{text_of(*read, "purpose"),
                      {.after = text_of(*read, "after"),
                       .limit = integer_of(*read, "limit").value_or(kFilesListedMax),
                       .oldest_first = text_of(*read, "order") == "asc"}};
}

const Shape& file_answer_shape() {
  static const Shape shape = object({
      required("id", text(), "What requests name it by."),
      required("object", name_of({"file"}), "The kind of object."),
      required("bytes", integer(0, kTimeMax), "How large it is."),
      required("created_at", integer(0, kTimeMax), "Seconds since 1970."),
      field("expires_at", integer(0, kTimeMax), "When it will be gone."),
      required("filename", text(), "As it was uploaded."),
      required("purpose", text(), "What it is for."),
      required("status", name_of({"processed"}), "It may be used."),
      field("status_details", text(), "Nothing."),
  });
  return shape;
}

const Shape& file_list_answer_shape() {
  static const Shape shape = object({
      required("object", name_of({"list"}), "The kind of object."),
      required("data", list(file_answer_shape(), 0, kFilesListedMax), "The files."),
      field("first_id", text(), "Of the first one."),
      field("last_id", text(), "Of the last one: the next page's after."),
      required("has_more", boolean(), "Whether there is a next page."),
  });
  return shape;
}

const Shape& file_deleted_answer_shape() {
  static const Shape shape = object({
      required("id", text(), "What it was named by."),
      required("object", name_of({"file"}), "The kind of object."),
      required("deleted", only(true, ""), "It is gone."),
  });
  return shape;
}

const Shape& file_content_answer_shape() {
  static const Shape shape = text();
  return shape;
}

}  // namespace paring::serve::wire
