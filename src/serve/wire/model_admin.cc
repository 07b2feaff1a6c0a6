// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/model_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kSourceCharactersMax = 4096;
constexpr std::size_t kAdaptersMax = 64;
constexpr double kIdleSecondsMax = 31536000;
constexpr std::int64_t kContextMax = 1 << 20;
constexpr std::int64_t kCacheMax = 1 << 24;

Shape source_text() { return text(1, kSourceCharactersMax); }

std::optional<std::size_t> size_of(const Json& body, const char* name) {
  const auto value = integer_of(body, name);
  return value ? std::optional(static_cast<std::size_t>(*value)) : std::nullopt;
}

LoadCall::Adapter adapter_of(const std::string& name, const Json& value) {
  if (value.is_string()) return {name, value.get<std::string>()};
  return {name, text_of(value, "source"), number_of(value, "scale").value_or(1)};
}

}  // namespace

const Shape& load_request() {
  static const Shape shape = [] {
    const Shape adapter = one_of(
        {source_text(), object({required("source", source_text(), "Its file or folder."),
                                field("scale", number(-1e6, 1e6), "Upon the file's own.")})});
    return object({
        required("model", text(1, kNameCharactersMax), "The name that requests use."),
        field("source", source_text(),
              "A file or folder of the server's machine, or hf:OWNER/NAME that was fetched before; "
              "absent: a model that is known by its name."),
        field("context_tokens", integer(16, kContextMax), "Of one sequence; with a source."),
        field("cache_tokens", integer(0, kCacheMax),
              "Of all; 0: as much as suits the memory; with a source."),
        field("idle_unload_seconds", number(0, kIdleSecondsMax),
              "Unloaded after so long without a request; 0: never; absent: as all models."),
        field("lora", map(adapter, kAdaptersMax), "Adapters by name; with a source."),
        field("wait", boolean(), "Answer when it is loaded; absent: true. Else at once, with 202."),
    });
  }();
  return shape;
}

ApiResult<LoadCall> read_load(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, load_request(), rules);
  if (!json) return json.error();
  LoadCall call;
  call.model = text_of(*json, "model");
  call.source = text_of(*json, "source");
  call.context_tokens = size_of(*json, "context_tokens");
  call.cache_tokens = size_of(*json, "cache_tokens");
  call.idle_seconds = number_of(*json, "idle_unload_seconds");
  call.waits = boolean_of(*json, "wait").value_or(true);
  if (const Json* adapters = field_of(*json, "lora")) {
    for (const auto& [name, value] : adapters->items()) {
      call.adapters.push_back(adapter_of(name, value));
    }
  }
  return call;
}

const Shape& unload_request() {
  static const Shape shape = object(
      {required("model", text(1, kNameCharactersMax), "Which."),
       field("wait", boolean(),
             "Answer when its last request has ended and its memory is free; absent: true. Else at "
             "once, with 202.")});
  return shape;
}

ApiResult<UnloadCall> read_unload(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, unload_request(), rules);
  if (!json) return json.error();
  return UnloadCall{text_of(*json, "model"), boolean_of(*json, "wait").value_or(true)};
}

std::string unload_answer(const std::string& model, std::string_view state) {
  std::string out;
  append(out, "{\"id\":", json_string(model),
         ",\"object\":\"model\",\"state\":", json_string(state), '}');
  return out;
}

const Shape& unload_answer_shape() {
  static const Shape shape =
      object({required("id", text(), "Which."),
              required("object", name_of({"model"}), "The kind of object."),
              required("state", name_of({"unloaded", "unloading"}), "Of it now.")});
  return shape;
}

ApiResult<double> parse_keep_alive(std::string_view text) {
  const auto refused = [&] {
    return ApiError{400, "invalid_value",
                    fmt::format("keep_alive is '{}', it must be a number of seconds or a duration "
                                "such as 5m or 1h30m",
                                escape_control(text.substr(0, 64))),
                    "keep_alive"};
  };
  constexpr std::array<std::pair<std::string_view, double>, 7> kUnits = {
      {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"h", 3600}, {"m", 60}, {"s", 1}, {"", 1}}};
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return refused();
  double seconds = 0;
  for (bool is_first = true; !text.empty(); is_first = false) {
    const bool is_number = text.front() == '.' || (text.front() >= '0' && text.front() <= '9');
    double count = 0;
    const auto [stop, error] =
        std::from_chars(text.data(), text.data() + text.size(), count, std::chars_format::fixed);
    if (!is_number || error != std::errc()) return refused();
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                                   [&](const auto& each) { return text.starts_with(each.first); });
    // Without a unit, a number is all there is.
    if (unit->first.empty() && !(is_first && text.empty())) return refused();
    seconds += count * unit->second;
    text.remove_prefix(unit->first.size());
  }
  if (!std::isfinite(seconds)) return refused();
  return is_negative ? -seconds : seconds;
}

}  // namespace paring::serve::wire
