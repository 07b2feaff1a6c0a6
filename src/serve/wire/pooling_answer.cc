// SPDX-License-Identifier: Apache-2.0
// The answers of pooling.h.
#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/pooling.h"
#include "text/base64.h"

namespace paring::serve::wire {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

// Of 32-bit numbers in little-endian order.
std::string base64(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  return text::base64_encoded(
      {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

template <typename T>
void append_numbers(std::string& out, const std::vector<T>& values) {
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    append_number(out, values[i]);
  }
  out += ']';
}

void append_prompt_usage(std::string& out, const AnswerUsage& usage) {
  append(out, "\"usage\":{\"prompt_tokens\":", usage.prompt_tokens,
         ",\"total_tokens\":", usage.prompt_tokens);
  if (usage.truncated_tokens > 0) append(out, ",\"truncated_tokens\":", usage.truncated_tokens);
  out += '}';
}

// {"id": ..., "object": "list", ..., "data":[
std::string list_head(const AnswerLabel& label, const char* prefix) {
  std::string out;
  append(out, "{\"id\":", json_string(prefix + label.id),
         ",\"object\":\"list\",\"created\":", label.created,
         ",\"model\":", json_string(label.model),
         ",\"system_fingerprint\":", json_string(label.variant), ",\"data\":[");
  return out;
}

Shape count() { return integer(0, kTokensMax); }
Shape figure() {
  return number(std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
}

Shape prompt_usage() {
  return object({required("prompt_tokens", count(), "Of all inputs."),
                 required("total_tokens", count(), "The same."),
                 field("truncated_tokens", count(), "Cut off, as the request allowed.")});
}

Shape list_answer(std::vector<Field> head, Shape item) {
  return object(joined(std::move(head),
                       {required("object", name_of({"list"}), "The kind of object."),
                        required("model", text(), "As the request named it."),
                        required("system_fingerprint", text(), "What computed it: the variant."),
                        required("data", list(std::move(item), 0, kBodyValuesMax), "The results."),
                        required("usage", prompt_usage(), "What it cost.")}));
}

std::vector<Field> labels() {
  return {required("id", text(), "Of the answer."),
          required("created", integer(0, std::numeric_limits<std::int64_t>::max()),
                   "Seconds since 1970.")};
}

}  // namespace

std::string openai_embeddings_answer(const EmbedCall& call, const AnswerLabel& label,
                                     std::span<const std::vector<float>> vectors,
                                     const AnswerUsage& usage) {
  PARING_CHECK(vectors.size() == call.inputs.size(), "a vector for each input");
  std::string out = "{\"object\":\"list\",\"model\":";
  append(out, json_string(label.model), ",\"system_fingerprint\":", json_string(label.variant),
         ",\"data\":[");
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    append(out, i > 0 ? "," : "", "{\"object\":\"embedding\",\"index\":", i, ",\"embedding\":");
    if (call.is_base64) {
      append(out, '"', base64(vectors[i]), '"');
    } else {
      append_numbers(out, vectors[i]);
    }
    out += '}';
  }
  out += "],";
  append_prompt_usage(out, usage);
  return out + '}';
}

std::string ollama_embed_answer(const AnswerLabel& label,
                                std::span<const std::vector<float>> vectors,
                                const AnswerUsage& usage) {
  std::string out = "{\"model\":";
  append(out, json_string(label.model), ",\"embeddings\":[");
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    if (i > 0) out += ',';
    append_numbers(out, vectors[i]);
  }
  const double seconds = usage.queue_seconds + usage.prefill_seconds;
  append(out, "],\"total_duration\":", static_cast<std::int64_t>(seconds * kNanosecondsPerSecond),
         ",\"load_duration\":0,\"prompt_eval_count\":", usage.prompt_tokens, '}');
  return out;
}

std::string ollama_embeddings_answer(const std::vector<float>& vector) {
  std::string out = "{\"embedding\":";
  append_numbers(out, vector);
  return out + '}';
}

std::string rerank_answer(const RerankCall& call, const AnswerLabel& label,
                          std::span<const double> scores, const AnswerUsage& usage) {
  PARING_CHECK(scores.size() == call.documents.size(), "a score for each document");
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(call.top, order.size()));
  std::string out;
  append(out, "{\"id\":", json_string("rerank-" + label.id),
         ",\"model\":", json_string(label.model),
         ",\"system_fingerprint\":", json_string(label.variant), ",\"results\":[");
  for (std::size_t i = 0; i < order.size(); ++i) {
    append(out, i > 0 ? "," : "", "{\"index\":", order[i],
           ",\"relevance_score\":", scores[order[i]]);
    if (call.returns_documents) {
      append(out, ",\"document\":{\"text\":", json_string(call.documents[order[i]]), '}');
    }
    out += '}';
  }
  out += "],";
  append_prompt_usage(out, usage);
  return out + '}';
}

std::string score_answer(const AnswerLabel& label, std::span<const double> scores,
                         const AnswerUsage& usage) {
  std::string out = list_head(label, "score-");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    append(out, i > 0 ? "," : "", "{\"index\":", i, ",\"object\":\"score\",\"score\":", scores[i],
           '}');
  }
  out += "],";
  append_prompt_usage(out, usage);
  return out + '}';
}

std::string classify_answer(const AnswerLabel& label, std::span<const Classified> results,
                            const AnswerUsage& usage) {
  std::string out = list_head(label, "classify-");
  for (std::size_t i = 0; i < results.size(); ++i) {
    append(out, i > 0 ? "," : "", "{\"index\":", i, ",\"label\":", json_string(results[i].label),
           ",\"probs\":");
    append_numbers(out, results[i].probabilities);
    append(out, ",\"num_classes\":", results[i].probabilities.size(), '}');
  }
  out += "],";
  append_prompt_usage(out, usage);
  return out + '}';
}

std::string tokenize_answer(const TokenizeCall& call, std::span<const std::int32_t> tokens,
                            std::span<const std::string> texts, std::size_t context_tokens) {
  std::string out;
  append(out, "{\"count\":", tokens.size(), ",\"max_model_len\":", context_tokens, ",\"tokens\":[");
  for (std::size_t i = 0; i < tokens.size(); ++i) append(out, i > 0 ? "," : "", tokens[i]);
  out += "],\"token_strs\":";
  if (!call.returns_texts) return out + "null}";
  out += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    append(out, i > 0 ? "," : "", json_string(texts[i]));
  }
  return out + "]}";
}

std::string detokenize_answer(std::string_view text) {
  return "{\"prompt\":" + json_string(text) + '}';
}

const Shape& openai_embeddings_answer_shape() {
  static const Shape shape = [] {
    const Shape vector = one_of({list(figure(), 0, kBodyValuesMax), text()});
    return list_answer({}, object({required("object", name_of({"embedding"}), "The kind."),
                                   required("index", count(), "Of the input."),
                                   required("embedding", vector, "Its vector.")}));
  }();
  return shape;
}

const Shape& ollama_embed_answer_shape() {
  static const Shape shape = [] {
    const Shape duration = integer(0, std::numeric_limits<std::int64_t>::max());
    const Shape vector = list(figure(), 0, kBodyValuesMax);
    return object({required("model", text(), "As the request named it."),
                   required("embeddings", list(vector, 0, kInputsMax), "One for each input."),
                   required("total_duration", duration, "Nanoseconds."),
                   required("load_duration", duration, "Always 0."),
                   required("prompt_eval_count", count(), "Tokens of all inputs.")});
  }();
  return shape;
}

const Shape& ollama_embeddings_answer_shape() {
  static const Shape shape =
      object({required("embedding", list(figure(), 0, kBodyValuesMax), "The vector.")});
  return shape;
}

const Shape& rerank_answer_shape() {
  static const Shape shape = [] {
    const Shape result = object(
        {required("index", count(), "Of the document."),
         required("relevance_score", figure(), "Higher is better."),
         field("document", object({required("text", text(), "The document.")}), "If asked for.")});
    return object({required("id", text(), "Of the answer."),
                   required("model", text(), "As the request named it."),
                   required("system_fingerprint", text(), "What computed it: the variant."),
                   required("results", list(result, 0, kInputsMax), "Best first."),
                   required("usage", prompt_usage(), "What it cost.")});
  }();
  return shape;
}

const Shape& score_answer_shape() {
  static const Shape shape =
      list_answer(labels(), object({required("index", count(), "Of the pair."),
                                    required("object", name_of({"score"}), "The kind."),
                                    required("score", figure(), "Higher is nearer.")}));
  return shape;
}

const Shape& classify_answer_shape() {
  static const Shape shape = list_answer(
      labels(), object({required("index", count(), "Of the input."),
                        required("label", text(), "The likeliest class."),
                        required("probs", list(figure(), 0, kBodyValuesMax), "Of each class."),
                        required("num_classes", count(), "How many.")}));
  return shape;
}

const Shape& tokenize_answer_shape() {
  static const Shape shape =
      object({required("count", count(), "Of tokens."),
              required("max_model_len", count(), "Tokens of the context."),
              required("tokens", list(integer(0, kTokenIdMax), 0, kBodyValuesMax), "Their ids."),
              field("token_strs", list(text(), 0, kBodyValuesMax), "Their texts, if asked for.")});
  return shape;
}

const Shape& detokenize_answer_shape() {
  static const Shape shape = object({required("prompt", text(), "The text.")});
  return shape;
}

}  // namespace paring::serve::wire
