// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "base/text.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kEndpoints = {"/v1/chat/completions", "/v1/completions",
                                                        "/v1/embeddings", "/v1/responses"};

// Bytes of prompt behind each hash of a beginning.
constexpr std::array<std::size_t, 5> kBeginnings = {256, 1024, 4096, 16384, 65536};

// In the order in which a model reads them: what is equal at the front is shared.
constexpr std::array<const char*, 6> kPromptFields = {"tools",    "instructions", "system",
                                                      "messages", "prompt",       "input"};

// FNV-1a, 64 bits. Equal hashes of unequal texts cost a little speed, nothing else.
class Fnv {
 public:
  void add(std::string_view text) noexcept {
    for (const char c : text) {
      state_ = (state_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3U;
    }
  }
  std::uint64_t value() const noexcept { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

// Nesting of brackets outside strings. The parser below does not recurse, but writing does.
std::size_t depth_of(std::string_view text) noexcept {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool is_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_string) {
      if (c == '\\') ++i;
      if (c == '"') is_string = false;
    } else if (c == '"') {
      is_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

BatchLineError line_error(const char* code, std::string message, const char* param = "") {
  return {code, std::move(message), param, 0};
}

const Json* field(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// A text that must be there; an error otherwise.
std::variant<std::string, BatchLineError> text_field(const Json& object, const char* name,
                                                     const char* param) {
  const Json* const value = field(object, name);
  if (value == nullptr) {
    return line_error("missing_required_parameter",
                      fmt::format("The parameter '{}' is missing.", param), param);
  }
  if (!value->is_string()) {
    return line_error("invalid_type", fmt::format("The parameter '{}' must be a text.", param),
                      param);
  }
  return value->get<std::string>();
}

// `text` as far as a message should show it.
std::string shown(std::string_view text) {
  constexpr std::size_t kShown = 100;
  return escape_control(text.substr(0, kShown));
}

std::array<std::uint64_t, kBeginnings.size()> beginnings_of(const Json& body) {
  std::string prompt;
  for (const char* name : kPromptFields) {
    if (const Json* const value = field(body, name)) {
      // Bytes that are no UTF-8 cannot be here: the parser has refused them.
      prompt += value->is_string() ? value->get<std::string>() : value->dump();
    }
    if (prompt.size() >= kBeginnings.back()) break;
  }
  std::array<std::uint64_t, kBeginnings.size()> hashes{};
  Fnv hash;
  std::size_t done = 0;
  for (std::size_t i = 0; i < kBeginnings.size(); ++i) {
    const std::size_t end = std::min(kBeginnings[i], prompt.size());
    hash.add(std::string_view(prompt).substr(done, end - done));
    done = end;
    hashes[i] = hash.value();
  }
  return hashes;
}

// What is wrong with the fields around the body.
std::optional<BatchLineError> check_frame(const Json& line, std::string_view endpoint) {
  auto method = text_field(line, "method", "method");
  if (auto* const error = std::get_if<BatchLineError>(&method)) return *error;
  if (std::get<std::string>(method) != "POST") {
    return line_error("invalid_method", "The method must be POST.", "method");
  }
  auto url = text_field(line, "url", "url");
  if (auto* const error = std::get_if<BatchLineError>(&url)) return *error;
  if (std::get<std::string>(url) != endpoint) {
    return line_error("invalid_url",
                      fmt::format("The url '{}' is not the batch's endpoint '{}'.",
                                  shown(std::get<std::string>(url)), endpoint),
                      "url");
  }
  return std::nullopt;
}

std::optional<BatchLineError> check_body(const Json* body) {
  if (body == nullptr) {
    return line_error("missing_required_parameter", "The parameter 'body' is missing.", "body");
  }
  if (!body->is_object()) {
    return line_error("invalid_type", "The parameter 'body' must be an object.", "body");
  }
  const Json* const stream = field(*body, "stream");
  if (stream != nullptr && (!stream->is_boolean() || stream->get<bool>())) {
    return line_error("unsupported_parameter", "A line of a batch cannot be streamed.",
                      "body.stream");
  }
  return std::nullopt;
}

}  // namespace

std::span<const std::string_view> batch_endpoints() noexcept { return kEndpoints; }

bool is_batch_endpoint(std::string_view endpoint) noexcept {
  return std::find(kEndpoints.begin(), kEndpoints.end(), endpoint) != kEndpoints.end();
}

std::string batch_endpoints_text() { return fmt::format("{}", fmt::join(kEndpoints, ", ")); }

std::variant<BatchLineContent, BatchLineError> parse_batch_line(std::string_view text,
                                                                std::string_view endpoint,
                                                                const BatchInputLimits& limits) {
  if (depth_of(text) > limits.depth_max) {
    return line_error("invalid_json_line",
                      fmt::format("The line is nested more than {} deep.", limits.depth_max));
  }
  const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (line.is_discarded() || !line.is_object()) {
    return line_error("invalid_json_line", "The line is no valid JSON object.");
  }
  auto custom_id = text_field(line, "custom_id", "custom_id");
  if (auto* const error = std::get_if<BatchLineError>(&custom_id)) return *error;
  BatchLineContent content;
  content.custom_id = std::get<std::string>(std::move(custom_id));
  if (content.custom_id.empty() || content.custom_id.size() > limits.custom_id_bytes_max) {
    return line_error("invalid_value",
                      fmt::format("The custom_id has {} bytes, 1 to {} are allowed.",
                                  content.custom_id.size(), limits.custom_id_bytes_max),
                      "custom_id");
  }
  if (auto error = check_frame(line, endpoint)) return *std::move(error);
  const Json* const body = field(line, "body");
  if (auto error = check_body(body)) return *std::move(error);
  auto model = text_field(*body, "model", "body.model");
  if (auto* const error = std::get_if<BatchLineError>(&model)) return *error;
  content.model = std::get<std::string>(std::move(model));
  content.body = body->dump();
  content.beginnings = beginnings_of(*body);
  return content;
}

void BatchInputReader::add_error(BatchLineError error) {
  if (input_.errors.size() < limits_.errors_max) input_.errors.push_back(std::move(error));
  if (input_.errors.size() == limits_.errors_max) is_hopeless_ = true;
}

void BatchInputReader::take_line(std::string_view text) {
  if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
  if (static_cast<std::int64_t>(input_.lines.size()) >= limits_.lines_max) {
    add_error({"too_many_lines",
               fmt::format("The file has more than {} requests.", limits_.lines_max), "", 0});
    is_hopeless_ = true;
    return;
  }
  auto parsed = parse_batch_line(text, endpoint_, limits_);
  if (auto* const error = std::get_if<BatchLineError>(&parsed)) {
    error->line = line_number_;
    return add_error(std::move(*error));
  }
  auto& content = std::get<BatchLineContent>(parsed);
  if (!custom_ids_.insert(content.custom_id).second) {
    return add_error({"duplicate_custom_id",
                      fmt::format("The custom_id '{}' stands in an earlier line as well.",
                                  shown(content.custom_id)),
                      "custom_id", line_number_});
  }
  if (input_.lines.empty()) input_.model = content.model;
  if (content.model != input_.model) {
    return add_error({"mismatched_model",
                      fmt::format("The model '{}' is not that of the first line, '{}'.",
                                  shown(content.model), shown(input_.model)),
                      "body.model", line_number_});
  }
  input_.lines.push_back(
      {line_number_, line_offset_, static_cast<std::uint32_t>(text.size()), content.beginnings});
}

void BatchInputReader::append(std::string_view bytes) {
  while (!bytes.empty() && !is_hopeless_) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    const bool has_end = end != std::string_view::npos;
    if (!is_too_long_ && partial_.size() + piece.size() > limits_.line_bytes_max) {
      is_too_long_ = true;
      partial_.clear();
      add_error({"line_too_long",
                 fmt::format("The line is longer than {} bytes.", limits_.line_bytes_max), "",
                 line_number_});
    }
    // A line that came in one piece is not copied.
    const bool is_whole = has_end && partial_.empty();
    if (!is_too_long_ && !is_whole) partial_ += piece;
    read_bytes_ += piece.size() + (has_end ? 1 : 0);
    if (!has_end) return;
    if (!is_too_long_) take_line(is_whole ? piece : std::string_view(partial_));
    partial_.clear();
    is_too_long_ = false;
    line_offset_ = read_bytes_;
    ++line_number_;
    bytes.remove_prefix(end + 1);
  }
}

BatchInput BatchInputReader::finish() {
  if (!is_too_long_ && !is_hopeless_) take_line(partial_);
  if (input_.lines.empty() && input_.errors.empty()) {
    add_error({"empty_file", "The file holds no requests.", "", 0});
  }
  return std::move(input_);
}

std::vector<std::uint32_t> batch_order(const std::vector<BatchLine>& lines) {
  std::vector<std::uint32_t> order(lines.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return lines[a].beginnings < lines[b].beginnings;
  });
  return order;
}

}  // namespace paring::serve
