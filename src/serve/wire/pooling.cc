// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/pooling.h"

#include <algorithm>
#include <utility>

#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/ollama_fields.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::int64_t kDimensionsMax = 1 << 20;

Field model_field() { return field("model", model_name(), "Absent: the server's default."); }

Shape token_list() { return list(integer(0, kTokenIdMax), 1, kBodyValuesMax); }

// A text, several, token ids, or several lists of them.
Shape inputs_shape() {
  return one_of(
      {text(), list(text(), 1, kInputsMax), token_list(), list(token_list(), 1, kInputsMax)});
}

Shape texts_shape() { return one_of({text(), list(text(), 1, kInputsMax)}); }

void add_inputs(const Json& input, std::vector<PoolingInput>& inputs) {
  if (input.is_string()) {
    inputs.emplace_back(input.get<std::string>());
  } else if (input.front().is_number()) {
    inputs.emplace_back(input.get<std::vector<std::int32_t>>());
  } else {
    for (const Json& each : input) add_inputs(each, inputs);
  }
}

std::vector<std::string> texts_of(const Json& value) {
  if (value.is_string()) return {value.get<std::string>()};
  return value.get<std::vector<std::string>>();
}

std::vector<Field> ignored_fields() {
  return {refused("truncate_prompt_tokens", "inputs must fit"),
          ignored("priority", integer(0, 1000), "Such requests are short."),
          ignored("encoding_format", name_of({"float"}), "Numbers."),
          ignored("user", text(0, kNameCharactersMax), "For the server's records.")};
}

}  // namespace

const Shape& openai_embeddings_request() {
  static const Shape shape = object({
      required("input", inputs_shape(), "Texts or token ids, one vector for each."),
      model_field(),
      field("dimensions", integer(1, kDimensionsMax), "The first so many, scaled to length 1."),
      field("encoding_format", name_of({"float", "base64"}),
            "base64: of little-endian 32-bit numbers."),
      field("truncate", boolean(), "Cut inputs that are too long; else they are an error."),
      field("user", text(0, kNameCharactersMax), "Who asks; for the server's records."),
      ignored("priority", integer(0, 1000), "Such requests are short."),
      ignored("add_special_tokens", only(true, "give token ids to have nothing added"),
              "The tokenizer's own tokens are added to texts."),
      refused("truncate_prompt_tokens", "say \"truncate\": true to have inputs cut"),
  });
  return shape;
}

ApiResult<EmbedCall> read_openai_embeddings(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, openai_embeddings_request(), rules);
  if (!json) return json.error();
  EmbedCall call;
  call.model = text_of(*json, "model");
  call.user = text_of(*json, "user");
  add_inputs((*json)["input"], call.inputs);
  if (const auto dimensions = integer_of(*json, "dimensions")) {
    call.dimensions = static_cast<std::size_t>(*dimensions);
  }
  call.is_base64 = text_of(*json, "encoding_format") == "base64";
  call.cuts_inputs = boolean_of(*json, "truncate").value_or(false);
  return call;
}

const Shape& ollama_embed_request() {
  static const Shape shape = object({
      required("model", text(1, kNameCharactersMax), "The model."),
      required("input", texts_shape(), "Texts, one vector for each."),
      field("truncate", boolean(), "Cut inputs that are too long; absent: true."),
      field("dimensions", integer(1, kDimensionsMax), "The first so many, scaled to length 1."),
      ignored("options", ollama_options(), "Nothing is sampled."),
      keep_alive_field(),
  });
  return shape;
}

ApiResult<EmbedCall> read_ollama_embed(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, ollama_embed_request(), rules);
  if (!json) return json.error();
  EmbedCall call;
  call.model = text_of(*json, "model");
  add_inputs((*json)["input"], call.inputs);
  if (const auto dimensions = integer_of(*json, "dimensions")) {
    call.dimensions = static_cast<std::size_t>(*dimensions);
  }
  call.cuts_inputs = boolean_of(*json, "truncate").value_or(true);
  ApiResult<std::optional<double>> keep_alive = keep_alive_of(*json);
  if (!keep_alive) return keep_alive.error();
  call.keep_alive_seconds = *keep_alive;
  return call;
}

const Shape& ollama_embeddings_request() {
  static const Shape shape = object({
      required("model", text(1, kNameCharactersMax), "The model."),
      required("prompt", text(), "A text; one that is too long is cut."),
      ignored("options", ollama_options(), "Nothing is sampled."),
      keep_alive_field(),
  });
  return shape;
}

ApiResult<EmbedCall> read_ollama_embeddings(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, ollama_embeddings_request(), rules);
  if (!json) return json.error();
  EmbedCall call;
  call.model = text_of(*json, "model");
  add_inputs((*json)["prompt"], call.inputs);
  call.cuts_inputs = true;
  ApiResult<std::optional<double>> keep_alive = keep_alive_of(*json);
  if (!keep_alive) return keep_alive.error();
  call.keep_alive_seconds = *keep_alive;
  return call;
}

const Shape& rerank_request() {
  const auto make = [] {
    const Shape document = one_of(
        {text(), object({required("text", text(), "The document."),
                         ignored("id", any_json(), "Answers name documents by their index.")})});
    return object({
        required("query", text(), "What is looked for."),
        required("documents", list(document, 1, kInputsMax), "Where."),
        model_field(),
        field("top_n", integer(1, kTokensMax), "How many are answered; absent: all."),
        field("return_documents", boolean(), "Repeat the documents in the answer."),
        field("max_tokens_per_doc", integer(1, kTokensMax), "Longer documents are cut."),
        ignored("user", text(0, kNameCharactersMax), "For the server's records."),
        refused("rank_fields", "give each document as one text"),
        refused("max_chunks_per_doc", "documents are read whole"),
    });
  };
  static const Shape shape = make();
  return shape;
}

ApiResult<RerankCall> read_rerank(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, rerank_request(), rules);
  if (!json) return json.error();
  RerankCall call;
  call.model = text_of(*json, "model");
  call.query = text_of(*json, "query");
  for (const Json& document : (*json)["documents"]) {
    call.documents.push_back(document.is_string() ? document.get<std::string>()
                                                  : text_of(document, "text"));
  }
  const auto top = integer_of(*json, "top_n");
  call.top =
      std::min(call.documents.size(), top ? static_cast<std::size_t>(*top) : call.documents.size());
  call.returns_documents = boolean_of(*json, "return_documents").value_or(false);
  if (const auto limit = integer_of(*json, "max_tokens_per_doc")) {
    call.document_tokens_max = static_cast<std::size_t>(*limit);
  }
  return call;
}

const Shape& score_request() {
  static const Shape shape =
      object(joined({required("text_1", texts_shape(), "One text, or as many as text_2."),
                     required("text_2", texts_shape(), "What it is compared with."), model_field()},
                    ignored_fields()));
  return shape;
}

ApiResult<ScoreCall> read_score(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, score_request(), rules);
  if (!json) return json.error();
  ScoreCall call;
  call.model = text_of(*json, "model");
  call.first = texts_of((*json)["text_1"]);
  call.second = texts_of((*json)["text_2"]);
  if (call.first.size() == 1 || call.first.size() == call.second.size()) return call;
  return ApiError{400, "invalid_value",
                  "text_1 has " + std::to_string(call.first.size()) + " texts and text_2 " +
                      std::to_string(call.second.size()) + "; give one, or as many",
                  "text_1"};
}

const Shape& classify_request() {
  static const Shape shape = object(joined(
      {required("input", inputs_shape(), "Texts or token ids, each in a class."), model_field()},
      ignored_fields()));
  return shape;
}

ApiResult<ClassifyCall> read_classify(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, classify_request(), rules);
  if (!json) return json.error();
  ClassifyCall call;
  call.model = text_of(*json, "model");
  add_inputs((*json)["input"], call.inputs);
  return call;
}

const Shape& tokenize_request() {
  static const Shape shape = object({
      field("prompt", text(), "A text; or give messages."),
      field("messages", list(chat_message(), 1, kMessagesMax), "A conversation."),
      model_field(),
      field("tools", list(chat_tool(), 0, kToolsMax), "Of a conversation."),
      field("chat_template_kwargs", open_object(), "Variables for the chat template."),
      field("add_special_tokens", boolean(),
            "Add the tokenizer's own tokens to a text; absent: true."),
      field("add_generation_prompt", boolean(), "End a conversation with the next turn's begin."),
      field("return_token_strs", boolean(), "Tell the text of each token."),
      ignored("continue_final_message", only(false, "turns are whole"), "Not offered."),
      refused("chat_template", "the model's own template is used"),
  });
  return shape;
}

ApiResult<TokenizeCall> read_tokenize(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, tokenize_request(), rules);
  if (!json) return json.error();
  const Json* const prompt = field_of(*json, "prompt");
  const Json* const messages = field_of(*json, "messages");
  if ((prompt == nullptr) == (messages == nullptr)) {
    return ApiError{400, "invalid_value", "give either a prompt or messages", "prompt"};
  }
  TokenizeCall call;
  call.model = text_of(*json, "model");
  call.adds_special = boolean_of(*json, "add_special_tokens").value_or(true);
  call.adds_generation_prompt = boolean_of(*json, "add_generation_prompt").value_or(true);
  call.returns_texts = boolean_of(*json, "return_token_strs").value_or(false);
  if (prompt != nullptr) {
    call.prompt = prompt->get<std::string>();
    return call;
  }
  ApiResult<Json> read = template_messages(*messages);
  if (!read) return read.error();
  const auto part = [&](const char* name) {
    const Json* const value = field_of(*json, name);
    return value == nullptr ? Json() : *value;
  };
  auto chat = chat_input_of(*read, part("tools"), part("chat_template_kwargs"));
  if (!chat) return chat.error();
  call.prompt = std::move(*chat);
  return call;
}

const Shape& detokenize_request() {
  static const Shape shape =
      object({required("tokens", list(integer(0, kTokenIdMax), 0, kBodyValuesMax), "Their ids."),
              model_field()});
  return shape;
}

ApiResult<DetokenizeCall> read_detokenize(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, detokenize_request(), rules);
  if (!json) return json.error();
  DetokenizeCall call;
  call.model = text_of(*json, "model");
  call.tokens = (*json)["tokens"].get<std::vector<std::int32_t>>();
  return call;
}

}  // namespace paring::serve::wire
