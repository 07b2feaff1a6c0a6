// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/openai_common.h"

#include <charconv>
#include <utility>

#include "serve/wire/wire_rules.h"
#include "text/chat_request.h"

namespace paring::serve::wire {
namespace {

constexpr double kPenaltyMax = 2;
constexpr std::size_t kMetadataFieldsMax = 16;  // as OpenAI
constexpr std::size_t kMetadataCharactersMax = 512;

void add_bias(const Json& biases, std::vector<api::TokenBias>& result) {
  for (const auto& [key, bias] : biases.items()) {
    api::TokenBias entry;
    std::from_chars(key.data(), key.data() + key.size(), entry.token);
    entry.bias = bias.get<float>();
    result.push_back(entry);
  }
}

OutputFormat of_definition(OutputFormat::Kind kind, std::string definition) {
  OutputFormat format;
  format.kind = kind;
  format.definition = std::move(definition);
  return format;
}

// A schema may be given as text, which then is JSON as everything else.
std::optional<ApiError> check_schema_text(const Json& fields, const char* name, const char* param) {
  const Json* const schema = field_of(fields, name);
  if (schema == nullptr || !schema->is_string()) return std::nullopt;
  const ApiResult<Json> json = read_json_object(schema->get_ref<const std::string&>(), param);
  return json ? std::nullopt : std::optional(json.error());
}

// The fields of `structured_outputs`, or of the body with a prefix.
struct FormatNames {
  const char* json;
  const char* regex;
  const char* choice;
  const char* grammar;
  const char* json_object;
};

// Adds what `fields` ask for; false: there is one already.
bool add_format(const Json& fields, const FormatNames& names, OutputFormat& format) {
  std::vector<OutputFormat> found;
  if (const Json* schema = field_of(fields, names.json)) {
    found.push_back(schema->is_string()
                        ? of_definition(OutputFormat::Kind::kJsonSchema, schema->get<std::string>())
                        : schema_format(*schema));
  }
  if (const Json* regex = field_of(fields, names.regex)) {
    found.push_back(of_definition(OutputFormat::Kind::kRegex, regex->get<std::string>()));
  }
  if (const Json* grammar = field_of(fields, names.grammar)) {
    found.push_back(of_definition(OutputFormat::Kind::kGrammar, grammar->get<std::string>()));
  }
  if (const Json* choice = field_of(fields, names.choice)) {
    found.emplace_back();
    found.back().kind = OutputFormat::Kind::kChoice;
    found.back().choices = choice->get<std::vector<std::string>>();
  }
  if (boolean_of(fields, names.json_object).value_or(false)) {
    found.push_back(of_definition(OutputFormat::Kind::kJsonObject, ""));
  }
  if (found.empty()) return true;
  if (found.size() > 1 || format.kind != OutputFormat::Kind::kText) return false;
  format = std::move(found.front());
  return true;
}

}  // namespace

std::optional<double> number_of(const Json& body, const char* name) {
  const Json* const value = field_of(body, name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

std::optional<std::int64_t> integer_of(const Json& body, const char* name) {
  const Json* const value = field_of(body, name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<std::int64_t>();
}

std::optional<bool> boolean_of(const Json& body, const char* name) {
  const Json* const value = field_of(body, name);
  if (value == nullptr || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

std::string text_of(const Json& body, const char* name) {
  const Json* const value = field_of(body, name);
  return value == nullptr || !value->is_string() ? std::string() : value->get<std::string>();
}

Shape model_name() { return text(0, kNameCharactersMax); }

Shape stop_shape() {
  const Shape stop = text(1, kStopCharactersMax);
  return one_of({stop, list(stop, 0, kStopsMax)});
}

std::vector<std::string> stops_of(const Json& body) {
  const Json* const stop = field_of(body, "stop");
  if (stop == nullptr) return {};
  if (stop->is_string()) return {stop->get<std::string>()};
  return stop->get<std::vector<std::string>>();
}

std::vector<Field> openai_sampling_fields() {
  return {
      field("temperature", number(0, 2), "0: always the most likely token."),
      field("top_p", number(0, 1), "Draw from the likeliest tokens of this much probability."),
      field("frequency_penalty", number(-kPenaltyMax, kPenaltyMax),
            "Taken off a token's logit for each time it is in the answer."),
      field("presence_penalty", number(-kPenaltyMax, kPenaltyMax),
            "Taken off a token's logit once it is in the answer."),
      field("seed",
            integer(std::numeric_limits<std::int64_t>::min(),
                    std::numeric_limits<std::int64_t>::max()),
            "The same seed and request give the same answer."),
      field("stop", stop_shape(), "Texts that end the answer and are no part of it."),
      field("logit_bias", token_map(number(-100, 100), kObjectFieldsMax),
            "Added to the logits of tokens by their ids; -100 forbids, 100 forces."),
      field("n", integer(1, kSamplesMax), "Answers to each prompt."),
      field("stream", boolean(), "Send the answer as it is made."),
      stream_options_field(),
  };
}

Field stream_options_field() {
  return field("stream_options",
               object({field("include_usage", boolean(), "End the stream with what it cost."),
                       ignored("include_obfuscation", boolean(), "Nothing is padded."),
                       field("continuous_usage_stats",
                             only(false, "usage is told at the end of a stream (include_usage)"),
                             "Not offered.")}),
               "Of streams.");
}

std::vector<Field> vllm_sampling_fields() {
  return {
      field("min_p", number(0, 1), "Least probability of a token, relative to the likeliest's."),
      field("top_k", integer(-1, kTokensMax), "Draw from this many tokens; 0 and -1: from all."),
      field("repetition_penalty", number(0.01, 100), "1: none; of prompt and answer."),
      field("ignore_eos", boolean(), "Go on behind the token that ends the text."),
      field("priority", integer(0, 1000), "0: interactive, higher: when the server has room."),
      field("truncation", name_of({"auto", "disabled"}),
            "auto: the oldest part of a prompt that is too long is left out, which is told in "
            "usage.truncated_tokens; else it is an error."),
      field("cache",
            object({required("mode", name_of({"exact", "semantic", "none"}),
                             "exact: take the answer to the same request, if there is; semantic: "
                             "or to a question that means the same.")}),
            "Whether whole answers are taken from the server's cache."),
      ignored("cache_prompt", only(true, "computed prompts are always kept"),
              "Prefixes are kept anyway."),
      ignored("skip_special_tokens", only(true, "special tokens are never part of an answer"),
              "Special tokens are no text."),
      ignored("spaces_between_special_tokens", boolean(), "Special tokens are no text."),
      ignored("use_beam_search", only(false, "answers are sampled"), "Not offered."),
      refused("truncate_prompt_tokens", "say \"truncation\": \"auto\" to have a prompt cut"),
      refused("min_tokens", "answers end where the model ends them"),
      refused("stop_token_ids", "give the texts of the tokens in \"stop\""),
      refused("bad_words", "forbid tokens by \"logit_bias\""),
      refused("allowed_token_ids", "use \"structured_outputs\""),
      refused("length_penalty", "there is no beam search"),
      refused("prompt_logprobs", "ask /v1/completions with \"echo\" and \"logprobs\""),
  };
}

std::vector<Field> vllm_format_fields() {
  const Shape schema = one_of({open_object(), text(2)});
  const Shape choices = list(text(1), 1, kChoicesMax);
  return {
      field("guided_json", schema, "A JSON schema that the answer follows."),
      field("guided_regex", text(1), "A regular expression that the whole answer matches."),
      field("guided_choice", choices, "The answer is one of these texts."),
      field("guided_grammar", text(1), "A grammar that the answer follows."),
      field("guided_json_object", boolean(), "The answer is a JSON object."),
      field("structured_outputs",
            object({field("json", schema, "As guided_json."),
                    field("regex", text(1), "As guided_regex."),
                    field("choice", choices, "As guided_choice."),
                    field("grammar", text(1), "As guided_grammar."),
                    field("json_object", boolean(), "The answer is a JSON object.")}),
            "What the answer must follow; one of its fields."),
  };
}

std::vector<Field> openai_ignored_fields() {
  const Shape name = text(0, kNameCharactersMax);
  return {
      field("user", name, "Who asks; for the server's records."),
      ignored("safety_identifier", name, "Nobody is judged by it."),
      ignored("prompt_cache_key", name, "Prefixes are found by their tokens."),
      ignored("prompt_cache_options", open_object(), "Prefixes are kept anyway."),
      ignored("prompt_cache_retention", text(0, kNameCharactersMax), "Prefixes are kept anyway."),
      ignored("service_tier", text(0, kNameCharactersMax), "There is one tier; see priority."),
      field("metadata", map(text(0, kMetadataCharactersMax), kMetadataFieldsMax),
            "prompt_version is kept in the server's records, to compare versions of a prompt; the "
            "rest stays the client's."),
      ignored("store", only(false, "this server stores no answers"), "Nothing is stored."),
  };
}

void read_sampling(const Json& body, GenerateRequest& request) {
  request.model = text_of(body, "model");
  request.user = text_of(body, "user");
  if (const Json* metadata = field_of(body, "metadata")) {
    request.prompt_version = text_of(*metadata, "prompt_version");
  }
  request.temperature = number_of(body, "temperature");
  request.top_p = number_of(body, "top_p");
  request.min_p = number_of(body, "min_p");
  if (const auto top_k = integer_of(body, "top_k")) {
    request.top_k = static_cast<std::size_t>(*top_k < 0 ? 0 : *top_k);
  }
  request.repetition_penalty = number_of(body, "repetition_penalty");
  request.frequency_penalty = number_of(body, "frequency_penalty");
  request.presence_penalty = number_of(body, "presence_penalty");
  // Negative seeds keep their 64 bits.
  if (const auto seed = integer_of(body, "seed")) request.seed = static_cast<std::uint64_t>(*seed);
  request.stop = stops_of(body);
  if (const Json* bias = field_of(body, "logit_bias")) add_bias(*bias, request.logit_bias);
  request.samples = static_cast<std::size_t>(integer_of(body, "n").value_or(1));
  request.ignores_end = boolean_of(body, "ignore_eos").value_or(false);
  request.priority = integer_of(body, "priority").value_or(0) > 0 ? -1 : 0;
  if (text_of(body, "truncation") == "auto") request.truncation = Truncation::kDropOldest;
  if (const Json* cache = field_of(body, "cache")) {
    const std::string mode = text_of(*cache, "mode");
    request.uses_cache = mode != "none";
    request.uses_semantic_cache = mode == "semantic";
  }
  read_stream(body, request);
}

void read_stream(const Json& body, GenerateRequest& request) {
  request.streams = boolean_of(body, "stream").value_or(false);
  if (const Json* options = field_of(body, "stream_options")) {
    request.includes_usage = boolean_of(*options, "include_usage").value_or(false);
  }
}

OutputFormat schema_format(const Json& schema) {
  return of_definition(OutputFormat::Kind::kJsonSchema, json_of(schema));
}

std::optional<ApiError> read_vllm_format(const Json& body, OutputFormat& format) {
  if (auto error = check_schema_text(body, "guided_json", "guided_json")) return error;
  constexpr FormatNames kOfBody = {"guided_json", "guided_regex", "guided_choice", "guided_grammar",
                                   "guided_json_object"};
  constexpr FormatNames kOfStructured = {"json", "regex", "choice", "grammar", "json_object"};
  const Json* const structured = field_of(body, "structured_outputs");
  if (structured != nullptr) {
    if (auto error = check_schema_text(*structured, "json", "structured_outputs.json")) {
      return error;
    }
  }
  const bool is_one = add_format(body, kOfBody, format) &&
                      (structured == nullptr || add_format(*structured, kOfStructured, format));
  if (is_one) return std::nullopt;
  return ApiError{400, "invalid_value",
                  "the answer can follow one format; give one of response_format, guided_json, "
                  "guided_regex, guided_choice, guided_grammar and structured_outputs",
                  structured != nullptr ? "structured_outputs" : "response_format"};
}

Json tool_of(const Json& function) { return {{"type", "function"}, {"function", function}}; }

ApiResult<Json> arguments_of(const std::string& text, const std::string& param) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Json(Json::object());
  return read_json_object(text, param);
}

ApiResult<text::ChatInput> chat_input_of(const Json& messages, const Json& tools,
                                         const Json& variables) {
  const auto dumped = [](const Json& value) { return value.empty() ? "" : json_of(value); };
  auto chat = text::read_chat({json_of(messages), dumped(tools), dumped(variables)});
  if (chat) return std::move(*chat);
  // Its messages begin with "the messages: messages[2].content is ...".
  const std::string& message = chat.error().message;
  std::string param = "messages";
  for (const char* name : {"messages[", "tools["}) {
    const std::size_t begin = message.find(name);
    if (begin == std::string::npos) continue;
    param = message.substr(begin, message.find_first_of(" :", begin) - begin);
    break;
  }
  return api_error(chat.error(), std::move(param));
}

}  // namespace paring::serve::wire
