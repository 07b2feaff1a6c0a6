// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/ollama_fields.h"

#include "serve/wire/detail/openai_common.h"
#include "serve/wire/model_admin.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kServers = "Of the server; see its settings.";

Shape only_number(double value, std::string hint) {
  Shape shape = number(value, value);
  shape.hint = std::move(hint);
  return shape;
}

std::vector<Field> sampling_options() {
  return {
      field("num_predict", integer(-2, kTokensMax),
            "Tokens of the answer; -1 and -2: as many as the context has room for."),
      field("num_ctx", integer(1, kTokensMax),
            "Tokens of context that are needed; more than the server has is an error."),
      field("temperature", number(0, 100), "0: always the most likely token."),
      field("top_k", integer(-1, kTokensMax), "Draw from this many tokens; 0 and -1: from all."),
      field("top_p", number(0, 1), "Draw from the likeliest tokens of this much probability."),
      field("min_p", number(0, 1), "Least probability, relative to the likeliest token's."),
      field("seed",
            integer(std::numeric_limits<std::int64_t>::min(),
                    std::numeric_limits<std::int64_t>::max()),
            "The same seed and request give the same answer."),
      field("stop", stop_shape(), "Texts that end the answer and are no part of it."),
      field("repeat_penalty", number(0.01, 100), "1: none; of prompt and answer."),
      field("presence_penalty", number(-2, 2), "Taken off once a token is in the answer."),
      field("frequency_penalty", number(-2, 2), "Taken off for each time it is."),
  };
}

std::vector<Field> other_options() {
  constexpr const char* kOff = "this sampler is not here";
  const Shape count = integer(-1, kTokensMax);
  return {
      ignored("tfs_z", only_number(1, kOff), "1: off."),
      ignored("typical_p", only_number(1, kOff), "1: off."),
      ignored("mirostat", only_number(0, kOff), "0: off."),
      ignored("mirostat_tau", number(0, 1000), "Of mirostat."),
      ignored("mirostat_eta", number(0, 1000), "Of mirostat."),
      ignored("penalize_newline", only(true, "penalties are of all tokens"), "As any token."),
      refused("repeat_last_n", "the penalty looks back as far as the server does"),
      ignored("num_keep", count, "Nothing is shifted out of the context."),
      ignored("num_batch", count, kServers),
      ignored("num_gpu", count, kServers),
      ignored("main_gpu", count, kServers),
      ignored("num_thread", count, kServers),
      ignored("numa", boolean(), kServers),
      ignored("low_vram", boolean(), kServers),
      ignored("f16_kv", boolean(), kServers),
      ignored("use_mmap", boolean(), kServers),
      ignored("use_mlock", boolean(), kServers),
      ignored("logits_all", boolean(), kServers),
      ignored("vocab_only", only(false, "weights are needed"), kServers),
      ignored("embedding_only", only(false, "ask /api/embed"), kServers),
  };
}

}  // namespace

Field keep_alive_field() {
  return field("keep_alive", one_of({number(-1e12, 1e12), text(0, kNameCharactersMax)}),
               "How long the model stays in memory without a request, as seconds or as 5m; less "
               "than 0: for ever. Of keys with the scope admin; else the server's own rule holds.");
}

ApiResult<std::optional<double>> keep_alive_of(const Json& body) {
  const std::string text = text_of(body, "keep_alive");
  if (text.empty()) return number_of(body, "keep_alive");
  ApiResult<double> seconds = parse_keep_alive(text);
  if (!seconds) return seconds.error();
  return std::optional<double>(*seconds);
}

Shape ollama_options() { return object(joined(sampling_options(), other_options())); }

void read_ollama_options(const Json& body, GenerateRequest& request) {
  const Json* const options = field_of(body, "options");
  if (options == nullptr) return;
  if (const auto limit = integer_of(*options, "num_predict"); limit && *limit >= 0) {
    request.max_tokens = static_cast<std::size_t>(*limit);
  }
  if (const auto context = integer_of(*options, "num_ctx")) {
    request.context_tokens_min = static_cast<std::size_t>(*context);
  }
  request.temperature = number_of(*options, "temperature");
  request.top_p = number_of(*options, "top_p");
  request.min_p = number_of(*options, "min_p");
  if (const auto top_k = integer_of(*options, "top_k")) {
    request.top_k = static_cast<std::size_t>(*top_k < 0 ? 0 : *top_k);
  }
  if (const auto seed = integer_of(*options, "seed")) {
    request.seed = static_cast<std::uint64_t>(*seed);
  }
  request.stop = stops_of(*options);
  request.repetition_penalty = number_of(*options, "repeat_penalty");
  request.presence_penalty = number_of(*options, "presence_penalty");
  request.frequency_penalty = number_of(*options, "frequency_penalty");
}

}  // namespace paring::serve::wire
