// SPDX-License-Identifier: Apache-2.0
// One function a struct, fields(), lists its members for writing and reading alike, so that the two
// cannot drift apart.
#include "api/certificate.h"

#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "base/sha256.h"

namespace paring::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kDepthMax = 8;
constexpr std::size_t kItemsMax = 65536;  // of one list

// T, const or not, is `Plain`.
template <typename T, typename Plain>
concept Is = std::is_same_v<std::remove_const_t<T>, Plain>;

// fields(io, value): `Io` is Writer or Reader, T the struct or the const struct.
template <typename Io, Is<Variant> T>
void fields(Io& io, T& value) {
  io.hash_or_empty("weights_sha256", value.weights_sha256);
  io.hash_or_empty("tokenizer_sha256", value.tokenizer_sha256);
  io.hash_or_empty("chat_template_sha256", value.chat_template_sha256);
  io.field("numerics", value.numerics);
  io.field("kv_type", value.kv_type);
  io.field("isa_family", value.isa_family);
  io.field("adapters", value.adapters);
  io.field("prompt_version", value.prompt_version);
  io.field("index_version", value.index_version);
}

template <typename Io, Is<CertificateText> T>
void fields(Io& io, T& value) {
  io.field("role", value.role);
  io.field("name", value.name);
  io.hash_or_empty("sha256", value.sha256);
  io.field("tokens", value.tokens);
}

template <typename Io, Is<CertificateDivergence> T>
void fields(Io& io, T& value) {
  io.field("kl_mean", value.kl_mean);
  io.field("kl_standard_error", value.kl_standard_error);
  io.field("kl_p50", value.kl_median);
  io.field("kl_p90", value.kl_p90);
  io.field("kl_p95", value.kl_p95);
  io.field("kl_p99", value.kl_p99);
  io.field("kl_p999", value.kl_p999);
  io.field("kl_max", value.kl_max);
  io.field("top1", value.top1);
  io.field("top1_standard_error", value.top1_standard_error);
  io.field("delta_p_rms", value.delta_p_rms);
  io.field("delta_p_rms_standard_error", value.delta_p_rms_standard_error);
  io.field("tokens", value.tokens);
}

template <typename Io, Is<CertificatePerplexity> T>
void fields(Io& io, T& value) {
  io.field("original", value.original);
  io.field("result", value.result);
  io.field("ratio", value.ratio);
  io.field("log_ratio_standard_error", value.log_ratio_standard_error);
}

template <typename Io, Is<CertificateTask> T>
void fields(Io& io, T& value) {
  io.field("name", value.name);
  io.hash_or_empty("sha256", value.sha256);
  io.field("metric", value.metric);
  io.field("original", value.original);
  io.field("result", value.result);
  io.field("delta", value.delta);
  io.field("standard_error", value.standard_error);
  io.field("items", value.items);
}

template <typename Io, Is<CertificateBytes> T>
void fields(Io& io, T& value) {
  io.field("file", value.file);
  io.field("weights", value.weights);
  io.field("memory", value.memory);
}

template <typename Io, Is<CertificateSpeed> T>
void fields(Io& io, T& value) {
  io.field("prefill_tokens_per_second", value.prefill_tokens_per_second);
  io.field("prefill_limit_share", value.prefill_limit_share);
  io.field("decode_tokens_per_second", value.decode_tokens_per_second);
  io.field("decode_limit_share", value.decode_limit_share);
  io.field_or_default("own_time_share", value.own_time_share);
}

template <typename Io, Is<CertificateHost> T>
void fields(Io& io, T& value) {
  io.field("cpu", value.cpu);
  io.field("isa", value.isa);
  io.field("threads", value.threads);
}

template <typename Io, Is<CertificateBudget> T>
void fields(Io& io, T& value) {
  io.field("file_bytes", value.file_bytes);
  io.field("memory_bytes", value.memory_bytes);
  io.field("speedup", value.speedup);
  io.field("kl_max", value.kl_max);
  io.field("context_tokens", value.context_tokens);
}

template <typename Io, Is<CertificateSearch> T>
void fields(Io& io, T& value) {
  io.field("limit_seconds", value.limit_seconds);
  io.field("seconds", value.seconds);
  io.field("candidates", value.candidates);
  io.field("probes_measured", value.probes_measured);
  io.field("probes_wanted", value.probes_wanted);
  io.field("refinements_measured", value.refinements_measured);
  io.field("refinements_wanted", value.refinements_wanted);
}

template <typename Io, Is<CertificateTensor> T>
void fields(Io& io, T& value) {
  io.field("name", value.name);
  io.field("type", value.type);
}

template <typename Io, Is<Certificate> T>
void fields(Io& io, T& value) {
  io.field("original_name", value.original_name);
  io.hash_or_empty("original_sha256", value.original_sha256);
  io.field("variant", value.variant);
  io.field("texts", value.texts);
  io.field("served", value.served);
  io.field("weights_only", value.weights_only);
  io.field("perplexity", value.perplexity);
  io.field("tasks", value.tasks);
  io.field("bytes_before", value.bytes_before);
  io.field("bytes_after", value.bytes_after);
  io.field("host", value.host);
  io.field("speed_before", value.speed_before);
  io.field("speed_after", value.speed_after);
  io.field("budget", value.budget);
  io.field_or_default("search", value.search);
  io.field("recipe", value.recipe);
  io.field("tool_version", value.tool_version);
  io.field("date", value.date);
}

class Writer {
 public:
  template <typename T>
  void field(const char* name, const T& value) {
    object_[name] = write(value);
  }
  void hash_or_empty(const char* name, const std::string& value) { field(name, value); }
  template <typename T>
  void field_or_default(const char* name, const T& value) {
    field(name, value);
  }

  Json take() { return std::move(object_); }

 private:
  static Json write(const std::string& value) { return value; }
  static Json write(std::uint64_t value) { return value; }
  // JSON has no infinity and no NaN; both become "not known".
  static Json write(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
  template <typename T>
  static Json write(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(write(value));
    return list;
  }
  template <typename T>
  static Json write(const T& value) {
    Writer writer;
    fields(writer, value);
    return writer.take();
  }

  Json object_ = Json::object();
};

// Reads one object; the first error stays and everything after it is skipped.
class Reader {
 public:
  Reader(const Json& object, std::string path, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object.is_object()) fail("", "is not an object");
  }

  template <typename T>
  void field(const char* name, T& value) {
    if (error_) return;
    const auto found = object_.find(name);
    if (found == object_.end()) return fail(name, "is missing");
    ++used_;
    read(*found, place(name), value);
  }
  // A field that older writers did not know.
  template <typename T>
  void field_or_default(const char* name, T& value) {
    if (!error_ && object_.contains(name)) field(name, value);
  }
  void hash_or_empty(const char* name, std::string& value) {
    field(name, value);
    if (!error_ && !value.empty() && !is_sha256_hex(value)) fail(name, "is not a SHA-256");
  }
  // All fields are read: any other is unknown. `known` more were read by the caller.
  void finish(std::size_t known = 0) {
    if (error_ || used_ + known == object_.size()) return;
    fail("", fmt::format("has {} unknown or repeated fields", object_.size() - used_ - known));
  }

 private:
  std::string place(const std::string& name) const {
    return path_.empty() ? name : path_ + "." + name;
  }
  void fail(const std::string& name, const std::string& what) {
    std::string full = name.empty() ? path_ : place(name);
    if (full.empty()) full = "the document";
    error_ = corrupt(fmt::format("certificate: {} {}", full, what));
  }
  void fail_at(const std::string& full, const std::string& what) {
    error_ = corrupt(fmt::format("certificate: {} {}", full, what));
  }

  void read(const Json& json, const std::string& full, std::string& value) {
    if (!json.is_string()) return fail_at(full, "is not a string");
    value = json.get_ref<const std::string&>();
  }
  void read(const Json& json, const std::string& full, std::uint64_t& value) {
    if (!json.is_number_unsigned()) return fail_at(full, "is not a whole number from 0");
    value = json.get<std::uint64_t>();
  }
  void read(const Json& json, const std::string& full, double& value) {
    if (json.is_null()) {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (json.is_number()) {
      value = json.get<double>();
    } else {
      fail_at(full, "is not a number");
    }
  }
  template <typename T>
  void read(const Json& json, const std::string& full, std::vector<T>& values) {
    if (!json.is_array()) return fail_at(full, "is not a list");
    if (json.size() > kItemsMax) {
      return fail_at(full, fmt::format("has {} items, the limit is {}", json.size(), kItemsMax));
    }
    values.clear();
    for (std::size_t i = 0; i < json.size() && !error_; ++i) {
      T value{};
      read(json[i], fmt::format("{}[{}]", full, i), value);
      values.push_back(std::move(value));
    }
  }
  void read(const Json& json, const std::string& full, Variant& value) {
    Reader reader(json, full, error_);
    std::string id;
    reader.field("id", id);
    fields(reader, value);
    reader.finish();
    if (!error_ && id != value.id()) fail_at(full + ".id", "is not the hash of the variant");
  }
  template <typename T>
  void read(const Json& json, const std::string& full, T& value) {
    Reader reader(json, full, error_);
    fields(reader, value);
    reader.finish();
  }

  const Json& object_;
  std::string path_;
  std::optional<Error>& error_;
  std::size_t used_ = 0;
};

// Brackets outside of strings, before the parser builds anything.
bool is_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool is_in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_in_string) {
      if (c == '\\') ++i;
      if (c == '"') is_in_string = false;
    } else if (c == '"') {
      is_in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kDepthMax) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// Before any other field, since a newer version may have others.
Result<void> check_version(const Json& json) {
  if (!json.is_object()) return corrupt("certificate: the document is not an object");
  const auto found = json.find("version");
  if (found == json.end()) return corrupt("certificate: version is missing");
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() == 0) {
    return corrupt("certificate: version is not a whole number from 1");
  }
  const auto version = found->get<std::uint64_t>();
  if (version > kCertificateVersion) {
    return unsupported(fmt::format("certificate: version {} is newer than {}, the newest known",
                                   version, kCertificateVersion),
                       "use a newer release of paring");
  }
  return {};
}

}  // namespace

namespace {

// What numbers could take more than they do.
std::size_t number_slack(const Json& json) {
  constexpr std::size_t kNumberBytesMax = 24;  // "-1.2345678901234567e-300"
  if (json.is_number() || json.is_null()) {
    const std::size_t now = json.dump().size();
    return now < kNumberBytesMax ? kNumberBytesMax - now : 0;
  }
  if (!json.is_structured()) return 0;
  std::size_t slack = 0;
  for (const Json& item : json) slack += number_slack(item);
  return slack;
}

}  // namespace

std::size_t Certificate::json_bytes_max() const {
  const std::string text = to_json();
  return text.size() + number_slack(Json::parse(text));
}

std::string Certificate::to_json() const {
  Writer writer;
  writer.field("version", kCertificateVersion);
  fields(writer, *this);
  Json json = writer.take();
  json["variant"]["id"] = variant.id();
  // Names from a foreign file may be no UTF-8; then they are shown with replacement characters.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Certificate> Certificate::from_json(std::string_view text) {
  if (text.size() > kCertificateBytesMax) {
    return corrupt(
        fmt::format("certificate: {} bytes, the limit is {}", text.size(), kCertificateBytesMax));
  }
  if (is_too_deep(text)) {
    return corrupt(fmt::format("certificate: nested deeper than {}", kDepthMax));
  }
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return corrupt("certificate: not JSON");
  PARING_TRY_VOID(check_version(json));
  Certificate certificate;
  std::optional<Error> error;
  Reader reader(json, "", error);
  fields(reader, certificate);
  reader.finish(1);  // the version
  if (error) return std::move(*error);
  return certificate;
}

}  // namespace paring::api
