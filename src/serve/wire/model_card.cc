// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/model_card.h"

#include <limits>

#include "base/clock.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

std::string text_or_null(const std::string& text) {
  return text.empty() ? "null" : json_string(text);
}

void append_texts(std::string& out, const std::vector<std::string>& texts) {
  out += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    append(out, i > 0 ? "," : "", json_string(texts[i]));
  }
  out += ']';
}

void append_model(std::string& out, const ModelCard& model) {
  append(
      out, "{\"id\":", json_string(model.id), ",\"object\":\"model\",\"created\":", model.created,
      ",\"owned_by\":\"paring\",\"root\":", json_string(model.base.empty() ? model.id : model.base),
      ",\"parent\":", text_or_null(model.base), ",\"max_model_len\":",
      model.context_tokens == 0 ? "null" : std::to_string(model.context_tokens),
      ",\"loaded\":", model.state == "ready", ",\"state\":", json_string(model.state),
      ",\"memory_bytes\":", model.memory_bytes, ",\"variant\":", text_or_null(model.variant),
      ",\"certificate\":", model.certificate.empty() ? "null" : model.certificate,
      ",\"capabilities\":");
  append_texts(out, model.capabilities);
  out += '}';
}

// "135M", "1.5B": as Ollama shows the number of parameters.
std::string parameter_size(std::uint64_t parameters) {
  constexpr double kMillion = 1e6;
  constexpr double kBillion = 1e9;
  const auto count = static_cast<double>(parameters);
  const bool is_large = count >= kBillion;
  const double shown = count / (is_large ? kBillion : kMillion);
  std::string text;
  append(text, static_cast<double>(static_cast<std::int64_t>(shown * 10 + 0.5)) / 10,
         is_large ? 'B' : 'M');
  return text;
}

void append_details(std::string& out, const ModelCard& model) {
  append(out, "{\"parent_model\":", json_string(model.base),
         ",\"format\":\"gguf\",\"family\":", json_string(model.architecture), ",\"families\":[",
         json_string(model.architecture),
         "],\"parameter_size\":", json_string(parameter_size(model.parameters)),
         ",\"quantization_level\":", json_string(model.weight_type), '}');
}

Shape model_shape() {
  return object({required("id", text(), "What requests name it by."),
                 required("object", name_of({"model"}), "The kind of object."),
                 required("created", integer(0, std::numeric_limits<std::int64_t>::max()),
                          "Seconds since 1970."),
                 required("owned_by", text(), "Who serves it."),
                 required("root", text(), "The model itself; of an adapter its base."),
                 field("parent", text(), "Of an adapter: its base."),
                 field("max_model_len", integer(1, kTokensMax),
                       "Tokens of its context; not known before it is loaded."),
                 required("loaded", boolean(), "Whether it is in memory and ready."),
                 required("state", name_of({"unloaded", "loading", "ready", "unloading"}),
                          "A model that is not ready is loaded when a request asks for it."),
                 required("memory_bytes", integer(0, std::numeric_limits<std::int64_t>::max()),
                          "What it takes; 0: it is not in memory."),
                 field("variant", text(), "What is computed: a hash."),
                 field("certificate", open_object(), "What it lost against its original."),
                 required("capabilities", list(text(), 0, kObjectFieldsMax),
                          "\"completion\": writes texts, \"embedding\": makes vectors, scores or "
                          "classes; none are known of a model before it is loaded.")});
}

Shape details_shape() {
  return object({required("parent_model", text(), "Of an adapter: its base."),
                 required("format", text(), "Of the file."),
                 required("family", text(), "The architecture."),
                 required("families", list(text(), 0, kObjectFieldsMax), "The same."),
                 required("parameter_size", text(), "How many parameters."),
                 required("quantization_level", text(), "Format of the weights.")});
}

}  // namespace

std::string openai_model_answer(const ModelCard& model) {
  std::string out;
  append_model(out, model);
  return out;
}

std::string openai_models_answer(std::span<const ModelCard> models) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (i > 0) out += ',';
    append_model(out, models[i]);
  }
  return out + "]}";
}

std::string ollama_tags_answer(std::span<const ModelCard> models) {
  std::string out = "{\"models\":[";
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ModelCard& model = models[i];
    append(out, i > 0 ? "," : "", "{\"name\":", json_string(model.id),
           ",\"model\":", json_string(model.id),
           ",\"modified_at\":", json_string(format_utc(static_cast<double>(model.created))),
           ",\"size\":", model.file_bytes, ",\"digest\":", json_string(model.weights_sha256),
           ",\"details\":");
    append_details(out, model);
    out += '}';
  }
  return out + "]}";
}

std::string ollama_ps_answer(std::span<const ModelCard> models) {
  std::string out = "{\"models\":[";
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ModelCard& model = models[i];
    append(out, i > 0 ? "," : "", "{\"name\":", json_string(model.id),
           ",\"model\":", json_string(model.id), ",\"size\":", model.memory_bytes,
           ",\"digest\":", json_string(model.weights_sha256), ",\"details\":");
    append_details(out, model);
    append(out, ",\"expires_at\":", text_or_null(model.expires_at), ",\"size_vram\":0",
           ",\"context_length\":", model.context_tokens, '}');
  }
  return out + "]}";
}

std::string ollama_show_answer(const ModelCard& model) {
  std::string out = "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":";
  append(out, json_string(model.chat_template),
         ",\"modified_at\":", json_string(format_utc(static_cast<double>(model.created))),
         ",\"details\":");
  append_details(out, model);
  append(out, ",\"model_info\":{\"general.architecture\":", json_string(model.architecture),
         ",\"general.parameter_count\":", model.parameters, ',',
         json_string(model.architecture + ".context_length"), ':', model.context_tokens, ',',
         json_string(model.architecture + ".embedding_length"), ':', model.embedding_width,
         "},\"capabilities\":");
  append_texts(out, model.capabilities);
  return out + '}';
}

std::string ollama_version_answer(std::string_view version) {
  return "{\"version\":" + json_string(version) + '}';
}

ApiResult<std::string> read_ollama_show(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, ollama_show_request(), rules);
  if (!json) return json.error();
  const std::string model = text_of(*json, "model");
  const std::string name = text_of(*json, "name");
  if (model.empty() && name.empty()) {
    return ApiError{400, "missing_required_parameter", "model is missing; name one", "model"};
  }
  return model.empty() ? name : model;
}

const Shape& openai_models_answer_shape() {
  static const Shape shape =
      object({required("object", name_of({"list"}), "The kind of object."),
              required("data", list(model_shape(), 0, kBodyValuesMax), "The models.")});
  return shape;
}

const Shape& openai_model_answer_shape() {
  static const Shape shape = model_shape();
  return shape;
}

const Shape& ollama_tags_answer_shape() {
  static const Shape shape = [] {
    const Shape model =
        object({required("name", text(), "What requests name it by."),
                required("model", text(), "The same."),
                required("modified_at", text(), "When it was made."),
                required("size", integer(0, std::numeric_limits<std::int64_t>::max()), "Bytes."),
                required("digest", text(), "Hash of the weights."),
                required("details", details_shape(), "What it is.")});
    return object({required("models", list(model, 0, kBodyValuesMax), "The models.")});
  }();
  return shape;
}

const Shape& ollama_ps_answer_shape() {
  static const Shape shape = [] {
    const Shape model = object(
        {required("name", text(), "What requests name it by."),
         required("model", text(), "The same."),
         required("size", integer(0, std::numeric_limits<std::int64_t>::max()), "Bytes in memory."),
         required("digest", text(), "Hash of the weights."),
         required("details", details_shape(), "What it is."),
         field("expires_at", text(), "When it will be unloaded if nobody asks for it."),
         required("size_vram", integer(0, 0), "Of a GPU's memory."),
         required("context_length", integer(0, kTokensMax), "Tokens of its context.")});
    return object({required("models", list(model, 0, kBodyValuesMax), "Those in memory.")});
  }();
  return shape;
}

const Shape& ollama_show_request() {
  static const Shape shape = object({field("model", model_name(), "Which."),
                                     field("name", model_name(), "The older name of model."),
                                     ignored("verbose", boolean(), "Always the same.")});
  return shape;
}

const Shape& ollama_show_answer_shape() {
  static const Shape shape =
      object({required("modelfile", text(), "Empty."), required("parameters", text(), "Empty."),
              required("template", text(), "Its chat template."),
              required("modified_at", text(), "When it was made."),
              required("details", details_shape(), "What it is."),
              required("model_info", open_object(), "Figures, by GGUF's keys."),
              required("capabilities", list(text(), 0, kObjectFieldsMax), "What it can do.")});
  return shape;
}

const Shape& ollama_version_answer_shape() {
  static const Shape shape = object({required("version", text(), "Of this server.")});
  return shape;
}

}  // namespace paring::serve::wire
