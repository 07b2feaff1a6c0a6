// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/json_read.h"

#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/text.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kShownBytesMax = 64;
constexpr std::size_t kFewFields = 16;  // compared one by one

// Builds the tree and keeps the way to the value that is being read.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(Json& root, std::string name) : root_(root), name_(std::move(name)) {}

  bool null() override { return add(nullptr) != nullptr; }
  bool boolean(bool value) override { return add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t& /*digits*/) override {
    return add(value) != nullptr;
  }
  bool string(string_t& value) override {
    if (has_nul(value)) return fail("invalid_string", "a string has a character NUL");
    return add(std::move(value)) != nullptr;
  }
  bool binary(binary_t& /*value*/) override { return fail("invalid_json", "JSON has no bytes"); }

  bool start_object(std::size_t /*elements*/) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    if (has_nul(value)) return fail("invalid_string", "a field's name has a character NUL");
    Level& level = levels_.back();
    level.key = std::move(value);
    if (level.value->size() >= kObjectFieldsMax) {
      return fail("object_above_max_properties", "an object has more than " +
                                                     std::to_string(kObjectFieldsMax) +
                                                     " fields, which is the limit");
    }
    if (is_known(level)) return fail("duplicate_parameter", "the field stands twice in its object");
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    // The parser's words quote the input; ours do not.
    const std::string_view what = error.what();
    const auto says = [&](const char* part) { return what.find(part) != std::string_view::npos; };
    const std::string at = " at byte " + std::to_string(position);
    if (error.id == 406) return fail("invalid_number", "a number is beyond what 64 bits hold");
    if (says("surrogate")) return fail("invalid_string", "half a surrogate pair" + at);
    if (says("UTF-8")) return fail("invalid_string", "the body is not UTF-8" + at);
    return fail("invalid_json", "the body is not JSON: wrong" + at);
  }

  ApiError error() const { return *error_; }

 private:
  struct Level {
    Json* value = nullptr;
    std::string key;                        // of the field that is being read
    std::unordered_set<std::string> names;  // once there are more than a few
  };

  static bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

  static bool is_known(Level& level) {
    const auto& fields = level.value->get_ref<const Json::object_t&>();
    if (fields.size() <= kFewFields) {
      for (const auto& field : fields) {
        if (field.first == level.key) return true;
      }
      return false;
    }
    if (level.names.empty()) {
      for (const auto& field : fields) level.names.insert(field.first);
    }
    return !level.names.insert(level.key).second;
  }

  // Puts a value where it belongs; null at a limit.
  Json* add(Json value) {
    if (++values_ > kBodyValuesMax) {
      fail("too_many_values", "the body has more than " + std::to_string(kBodyValuesMax) +
                                  " values, which is the limit");
      return nullptr;
    }
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.value->is_array()) {
      auto& items = level.value->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // The map's own insertion would search all fields again.
    auto& fields = level.value->get_ref<Json::object_t&>();
    fields.Container::emplace_back(level.key, std::move(value));
    return &fields.Container::back().second;
  }

  bool open(Json value) {
    if (levels_.size() >= kBodyDepthMax) {
      return fail("invalid_json", "the body is nested deeper than " +
                                      std::to_string(kBodyDepthMax) +
                                      " levels, which is the limit");
    }
    Json* const added = add(std::move(value));
    if (added == nullptr) return false;
    levels_.push_back({added, {}, {}});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  bool fail(const char* code, std::string message) {
    if (!error_) error_ = ApiError{400, code, std::move(message), place()};
    return false;
  }

  // "messages[2].content"
  std::string place() const {
    std::string path = name_;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      if (level.value->is_array()) {
        // The innermost list does not hold the value yet that is being read.
        const std::size_t size = level.value->size();
        path += '[' + std::to_string(i + 1 < levels_.size() ? size - 1 : size) + ']';
      } else if (!level.key.empty()) {
        if (!path.empty()) path += '.';
        path += escape_control(level.key.substr(0, kShownBytesMax));
      }
    }
    return path;
  }

  Json& root_;
  std::string name_;
  std::vector<Level> levels_;
  std::size_t values_ = 0;
  std::optional<ApiError> error_;
};

}  // namespace

ApiResult<Json> read_json(std::string_view text, const std::string& root) {
  if (text.size() > kBodyBytesMax) {
    return ApiError{413, "request_too_large",
                    "the JSON has " + std::to_string(text.size()) + " bytes, the limit is " +
                        std::to_string(kBodyBytesMax),
                    root};
  }
  Json value;
  Builder builder(value, root);
  if (!Json::sax_parse(text, &builder)) return builder.error();
  return value;
}

ApiResult<Json> read_json_object(std::string_view text, const std::string& root) {
  ApiResult<Json> value = read_json(text, root);
  if (value && !value->is_object()) {
    return ApiError{400, "invalid_type", "the JSON is " + shown(*value) + ", it must be an object",
                    root};
  }
  return value;
}

const Json* field_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string shown(const Json& value) {
  if (value.is_array() && value.size() > 4) return "a list of " + std::to_string(value.size());
  std::string text = json_of(value);
  if (text.size() > kShownBytesMax) {
    std::size_t end = kShownBytesMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
    text = text.substr(0, end) + "...";
  }
  return escape_control(text);
}

std::string json_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace paring::serve::wire
