// SPDX-License-Identifier: Apache-2.0
// The reference page of routes (openapi.h).
#include <set>
#include <string>
#include <utility>

#include "serve/wire/endpoints.h"
#include "serve/wire/openapi.h"

namespace paring::serve::wire {
namespace {

std::string in_cell(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c;
  }
  return cell;
}

class Page {
 public:
  void add(const Endpoint& endpoint) {
    text_ += "## " + std::string(endpoint.method) + " " + endpoint.path + "\n\n" +
             endpoint.summary + ".";
    if (endpoint.stream_type != nullptr) {
      text_ += " Streams are `" + std::string(endpoint.stream_type) + "`.";
    }
    if (endpoint.form_type != nullptr) {
      text_ += " The body is `" + std::string(endpoint.form_type) + "`.";
    }
    if (endpoint.answer_type != nullptr) {
      text_ += " The answer is `" + std::string(endpoint.answer_type) + "`.";
    }
    if (endpoint.binary_type != nullptr) {
      text_ += " Or it is `" + std::string(endpoint.binary_type) + "`, and so is the answer then.";
    }
    text_ += "\n\n";
    if (endpoint.query != nullptr) add_table("query", endpoint.query());
    if (endpoint.request != nullptr) add_table("field", endpoint.request());
  }

  std::string text() && { return std::move(text_); }

 private:
  void add_table(const char* title, const Shape& shape) {
    known_.clear();
    text_ += "| " + std::string(title) + " | value | |\n|---|---|---|\n";
    add_fields(shape, "");
    text_ += "\n";
  }

  void add_fields(const Shape& shape, const std::string& path) {
    for (const Field& field : shape.fields) add_field(field, path);
    const std::string item = path + (shape.kind == ShapeKind::kList ? "[]" : "");
    for (const Shape& option : shape.options) add_fields(option, item);
  }

  void add_field(const Field& field, const std::string& path) {
    const std::string name = path.empty() ? field.name : path + "." + field.name;
    std::string row = "| `" + name + "` | ";
    if (field.use == FieldUse::kRefused) {
      row += "refused | " + in_cell(field.help) + " |\n";
    } else {
      row += in_cell(shape_words(field.shape)) + " | ";
      if (field.is_required) row += "Required. ";
      if (field.use == FieldUse::kIgnored) row += "Without effect. ";
      row += in_cell(field.help) + " |\n";
    }
    // Kinds of messages have fields in common.
    if (known_.insert(row).second) text_ += row;
    add_fields(field.shape, name);
  }

  std::string text_;
  std::set<std::string> known_;
};

}  // namespace

std::string routes_reference() {
  Page page;
  for (const Endpoint& endpoint : endpoints()) page.add(endpoint);
  return std::move(page).text();
}

}  // namespace paring::serve::wire
