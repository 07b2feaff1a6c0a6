// SPDX-License-Identifier: Apache-2.0
#include "monitor/content_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"

namespace paring::monitor {

namespace {

using Json = nlohmann::ordered_json;

// Text of a message that counts for the number of messages that are kept.
constexpr std::size_t kBytesAMessage = 64;
constexpr std::size_t kMessagesMin = 8;
constexpr std::size_t kMessagesMax = 512;
// What the marks of structure may take beside the text, as a multiple of its bound.
constexpr std::size_t kStructureMax = 4;

std::string cut_mark(std::size_t count, const char* what) {
  return fmt::format("{}{} {} cut ...]", kCutMark, count, what);
}

// Names that the form of messages has; no rule may change them.
bool is_of_form(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "role",  "content",  "type", "text",      "tool_calls",   "id",
      "index", "function", "name", "arguments", "tool_call_id", "reasoning_content"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

// Likewise the values of "role" and "type" that are known.
bool is_of_form(std::string_view name, const Json& value) {
  constexpr std::string_view kValues[] = {"system", "developer", "user", "assistant",
                                          "tool",   "function",  "text"};
  if ((name != "role" && name != "type") || !value.is_string()) return false;
  return std::ranges::find(kValues, value.get_ref<const std::string&>()) != std::end(kValues);
}

// False: something in it could not be redacted. In place.
bool redact(Json& value, const Redactor& redactor, int depth) {
  if (depth > ContentFilter::kDepthMax) return false;
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (text.size() > Redactor::kTextBytesMax) {
      value = cut_mark(text.size(), "bytes");
      return true;
    }
    auto redacted = redactor.redact(text);
    if (redacted) value = *std::move(redacted);
    return redacted.has_value();
  }
  if (value.is_number()) {
    // A number may be one of a card or telephone; it is text then.
    const std::string text = value.dump();
    const auto redacted = redactor.redact(text);
    if (redacted && *redacted != text) value = *redacted;
    return redacted.has_value();
  }
  if (value.is_array()) {
    return std::ranges::all_of(value,
                               [&](Json& each) { return redact(each, redactor, depth + 1); });
  }
  if (!value.is_object()) return true;
  Json object = Json::object();
  for (auto& [name, member] : value.items()) {
    const auto redacted = is_of_form(name) ? std::optional(name) : redactor.redact(name);
    if (!redacted) return false;
    if (!is_of_form(name, member) && !redact(member, redactor, depth + 1)) return false;
    object[*redacted] = std::move(member);
  }
  value = std::move(object);
  return true;
}

bool is_flat(const Json& value, int depth) {
  return depth <= ContentFilter::kDepthMax &&
         (!value.is_structured() ||
          std::ranges::all_of(value, [&](const Json& each) { return is_flat(each, depth + 1); }));
}

void gather(Json& value, std::vector<std::string*>& texts) {
  if (value.is_string()) texts.push_back(value.get_ptr<std::string*>());
  if (!value.is_structured()) return;
  for (Json& each : value) gather(each, texts);
}

// The most bytes that a text may keep, so that all together keep `bytes_max`.
std::size_t fair_share(const std::vector<std::string*>& texts, std::size_t bytes_max) {
  std::vector<std::size_t> sizes;
  sizes.reserve(texts.size());
  for (const std::string* text : texts) sizes.push_back(text->size());
  std::ranges::sort(sizes);
  std::size_t left = bytes_max;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t share = left / (sizes.size() - i);
    if (sizes[i] > share) return share;
    left -= sizes[i];
  }
  return std::numeric_limits<std::size_t>::max();
}

bool is_inside_character(const std::string& text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
}

// The beginning and the end stay: what is asked stands at the end of long texts as often.
void cut(std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return;
  std::size_t head = bytes / 2;
  while (head > 0 && is_inside_character(text, head)) --head;
  std::size_t tail = text.size() - (bytes - bytes / 2);
  while (is_inside_character(text, tail)) ++tail;
  text = text.substr(0, head) + cut_mark(tail - head, "bytes") + text.substr(tail);
}

// Of a long conversation the beginning and, more of it, the end.
void cut_messages(Json& prompt, std::size_t bytes_max) {
  const std::size_t most = std::clamp(bytes_max / kBytesAMessage, kMessagesMin, kMessagesMax);
  if (!prompt.is_array() || prompt.size() <= most) return;
  const std::size_t head = most / 4;
  const std::size_t tail = prompt.size() - (most - head);
  Json kept = Json::array();
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    if (i < head || i >= tail) kept.push_back(std::move(prompt[i]));
    if (i == head)
      kept.push_back({{"role", "cut"}, {"content", cut_mark(tail - head, "messages")}});
  }
  prompt = std::move(kept);
}

std::string written(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

bool ContentRoom::add(std::size_t bytes) {
  const auto more = static_cast<std::int64_t>(bytes);
  bytes_ += more;
  if ((*taken_ += more) <= bytes_max_) return true;
  metrics().traffic_content_dropped_ring_full.add();
  return false;
}

Result<std::shared_ptr<const ContentFilter>> ContentFilter::create(const Options& options) {
  if (options.bytes_max < kBytesMin || options.bytes_max > kBytesMost) {
    return invalid_argument(fmt::format("content is bounded by {} bytes, it takes {} to {}",
                                        options.bytes_max, kBytesMin, kBytesMost));
  }
  if (!(options.share > 0 && options.share <= 1)) {
    return invalid_argument(
        fmt::format("the share of requests with content is {}, it takes more than 0, to 1",
                    options.share),
        "0.01 is one request in a hundred");
  }
  std::shared_ptr<ContentFilter> filter(new ContentFilter(options));
  if (options.is_redacted) {
    PARING_TRY(filter->redactor_, Redactor::create(options.redaction));
  }
  return std::shared_ptr<const ContentFilter>(std::move(filter));
}

bool ContentFilter::takes(std::string_view request_id) const noexcept {
  // FNV-1a, its bits mixed (SplitMix64's last steps).
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : request_id) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  hash = (hash ^ (hash >> 30U)) * 0xBF58476D1CE4E5B9U;
  hash = (hash ^ (hash >> 27U)) * 0x94D049BB133111EBU;
  hash ^= hash >> 31U;
  constexpr double kWhole = 18446744073709551616.0;  // 2^64
  return static_cast<double>(hash) < options_.share * kWhole || options_.share >= 1;
}

bool ContentFilter::apply(store::TrafficContent& content) const {
  Json prompt = Json::parse(content.prompt, nullptr, false);
  Json answer = Json::parse(content.answer, nullptr, false);
  if (prompt.is_discarded() || answer.is_discarded()) return false;
  if (!is_flat(prompt, 0) || !is_flat(answer, 0)) return false;
  cut_messages(prompt, options_.bytes_max);
  if (redactor_ != nullptr && (!redact(prompt, *redactor_, 0) || !redact(answer, *redactor_, 0))) {
    return false;
  }
  std::vector<std::string*> texts;
  gather(prompt, texts);
  gather(answer, texts);
  const std::size_t share = fair_share(texts, options_.bytes_max);
  for (std::string* text : texts) cut(*text, share);
  content.prompt = written(prompt);
  content.answer = written(answer);
  return content.prompt.size() + content.answer.size() <= kStructureMax * options_.bytes_max;
}

std::vector<Redactor::Count> ContentFilter::redactions() const {
  return redactor_ == nullptr ? std::vector<Redactor::Count>() : redactor_->counts();
}

}  // namespace paring::monitor
