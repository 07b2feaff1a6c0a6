// SPDX-License-Identifier: Apache-2.0
#include "io/json_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <new>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "io/detail/json_sax.h"

namespace paring::io {

namespace {

bool all_of_type(const std::vector<GgufValue>& items, std::initializer_list<GgufValueType> types) {
  return std::all_of(items.begin(), items.end(), [&](const GgufValue& item) {
    return std::find(types.begin(), types.end(), item.type) != types.end();
  });
}

double as_double(const GgufValue& value) {
  if (const auto* u = std::get_if<std::uint64_t>(&value.data)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<std::int64_t>(&value.data)) return static_cast<double>(*i);
  return std::get<double>(value.data);
}

template <typename T>
std::vector<T> items_as(const std::vector<GgufValue>& items) {
  std::vector<T> out;
  out.reserve(items.size());
  for (const GgufValue& item : items) out.push_back(std::get<T>(item.data));
  return out;
}

// Items of one kind as an array; nothing when they differ.
std::optional<GgufValue> as_array(const std::vector<GgufValue>& items) {
  using Type = GgufValueType;
  if (all_of_type(items, {Type::kString})) {
    return GgufValue::of_strings(items_as<std::string>(items));
  }
  if (all_of_type(items, {Type::kBool})) {
    return GgufValue{Type::kArray, GgufArray{Type::kBool, items_as<std::uint64_t>(items)}};
  }
  if (all_of_type(items, {Type::kU64})) {
    return GgufValue{Type::kArray, GgufArray{Type::kU64, items_as<std::uint64_t>(items)}};
  }
  if (all_of_type(items, {Type::kI64})) {
    return GgufValue{Type::kArray, GgufArray{Type::kI64, items_as<std::int64_t>(items)}};
  }
  if (!all_of_type(items, {Type::kU64, Type::kI64, Type::kF64})) return std::nullopt;
  std::vector<double> numbers;
  for (const GgufValue& item : items) numbers.push_back(as_double(item));
  return GgufValue{Type::kArray, GgufArray{Type::kF64, std::move(numbers)}};
}

class Flattener : public JsonSax {
 public:
  explicit Flattener(const std::string& source) : JsonSax(source) {
    metadata_.set_source(source, MetadataOrigin::kJson);
  }

  Metadata take() { return std::move(metadata_); }

  bool null() override { return skip(); }
  bool boolean(bool value) override { return scalar(GgufValue::of_bool(value)); }
  bool number_integer(std::int64_t value) override { return scalar(GgufValue::of_i64(value)); }
  bool number_unsigned(std::uint64_t value) override { return scalar(GgufValue::of_u64(value)); }
  bool number_float(double value, const std::string&) override {
    return scalar(GgufValue::of_f64(value));
  }
  bool string(std::string& value) override {
    return scalar(GgufValue::of_string(std::move(value)));
  }

  bool key(std::string& name) override {
    Frame& frame = frames_.back();
    if (!frame.keys.insert(name).second) {
      return fail(corrupt(fmt::format("{}: '{}' appears twice", source(), printable(name)),
                          "the file is damaged"));
    }
    frame.name = std::move(name);
    return true;
  }

 protected:
  bool begin_object() override { return push(/*is_array=*/false); }
  bool finish_object() override {
    frames_.pop_back();
    return true;
  }
  bool begin_array() override { return push(/*is_array=*/true); }
  bool finish_array() override {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (!frame.is_mixed) {
      if (auto array = as_array(frame.items)) return store(frame.path, std::move(*array));
    }
    for (std::size_t i = 0; i < frame.items.size(); ++i) {
      if (!store(fmt::format("{}.{}", frame.path, frame.item_index[i]),
                 std::move(frame.items[i]))) {
        return false;
      }
    }
    return true;
  }

 private:
  struct Frame {
    bool is_array = false;
    std::string path;                      // of the object or array itself
    std::string name;                      // objects: the key that was read last
    std::unordered_set<std::string> keys;  // objects
    std::size_t count = 0;                 // arrays: items so far
    bool is_mixed = false;                 // arrays: holds nulls, arrays or objects
    std::vector<GgufValue> items;          // arrays: the scalars
    std::vector<std::size_t> item_index;
  };

  // Key of the value that comes next in the innermost frame.
  std::string next_path() const {
    if (frames_.empty()) return {};
    const Frame& frame = frames_.back();
    const std::string own = frame.is_array ? std::to_string(frame.count) : frame.name;
    return frame.path.empty() ? own : frame.path + "." + own;
  }

  bool push(bool is_array) {
    Frame frame;
    frame.is_array = is_array;
    frame.path = next_path();
    if (frame.path.size() > kJsonPathBytesMax) {
      return fail(
          corrupt(fmt::format("{}: the key '{}' has {} bytes, the limit is {}", source(),
                              printable(frame.path), frame.path.size(), kJsonPathBytesMax)));
    }
    if (!frames_.empty() && frames_.back().is_array) {
      frames_.back().is_mixed = true;
      ++frames_.back().count;
    }
    frames_.push_back(std::move(frame));
    return count_value();
  }

  bool skip() {
    if (depth() == 0) return no_object();
    if (frames_.back().is_array) {
      frames_.back().is_mixed = true;
      ++frames_.back().count;
    } else {
      metadata_.set_null(next_path());
    }
    return count_value();
  }

  bool scalar(GgufValue value) {
    if (depth() == 0) return no_object();
    if (!count_value()) return false;
    Frame& frame = frames_.back();
    if (!frame.is_array) return store(next_path(), std::move(value));
    frame.item_index.push_back(frame.count++);
    frame.items.push_back(std::move(value));
    return true;
  }

  bool count_value() {
    if (++values_ <= kJsonObjectValuesMax) return true;
    return fail(
        exhausted(fmt::format("{} holds more than {} values", source(), kJsonObjectValuesMax),
                  "a file of this kind is far smaller; is it the right one?"));
  }

  bool store(const std::string& path, GgufValue value) {
    if (path.size() > kJsonPathBytesMax) {
      return fail(corrupt(fmt::format("{}: the key '{}' has {} bytes, the limit is {}", source(),
                                      printable(path), path.size(), kJsonPathBytesMax)));
    }
    // {"a.b": 1, "a": {"b": 2}}: two values that would go by one name.
    if (metadata_.has(path)) {
      return fail(corrupt(fmt::format("{}: '{}' appears twice", source(), printable(path)),
                          "the file is damaged"));
    }
    metadata_.set(path, std::move(value));
    return true;
  }

  Metadata metadata_;
  std::vector<Frame> frames_;
  std::size_t values_ = 0;
};

}  // namespace

Result<Metadata> parse_json_object(std::string_view text, const std::string& source) {
  try {
    Flattener flattener(source);
    PARING_TRY_VOID(flattener.parse(text, kJsonObjectBytesMax));
    return flattener.take();
  } catch (const std::bad_alloc&) {
    return exhausted(source + ": not enough memory for this file", "free memory");
  }
}

namespace {

using Json = nlohmann::ordered_json;

// 0.1F as 0.1, not as 0.10000000149011612.
double shortest(double value) {
  const std::string text = fmt::format("{}", static_cast<float>(value));
  double parsed = value;
  std::from_chars(text.data(), text.data() + text.size(), parsed);
  return parsed;
}

Json json_of(const GgufArray& array);

template <typename T>
Json json_of_scalar(GgufValueType type, const T& value) {
  if constexpr (std::is_same_v<T, GgufArray>) {
    return json_of(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return type == GgufValueType::kF32 ? shortest(value) : value;
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return type == GgufValueType::kBool ? Json(value != 0) : Json(value);
  } else {
    return value;
  }
}

Json json_of(const GgufArray& array) {
  Json json = Json::array();
  std::visit(
      [&](const auto& items) {
        for (const auto& item : items) json.push_back(json_of_scalar(array.element, item));
      },
      array.items);
  return json;
}

}  // namespace

std::string json_object_text(const Metadata& metadata) {
  Json object = Json::object();
  const auto at = [&](const std::string& key) -> Json& {
    Json* place = &object;
    std::size_t begin = 0;
    for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', begin)) {
      place = &(*place)[key.substr(begin, dot - begin)];
      begin = dot + 1;
    }
    return (*place)[key.substr(begin)];
  };
  for (const auto& [key, value] : metadata.entries()) {
    at(key) =
        std::visit([&](const auto& data) { return json_of_scalar(value.type, data); }, value.data);
  }
  for (const std::string& key : metadata.nulls()) {
    if (!metadata.has(key)) at(key) = nullptr;
  }
  return object.dump(2) + "\n";
}

}  // namespace paring::io
