// SPDX-License-Identifier: Apache-2.0
// Routes that give vectors and scores: embeddings, scores of pairs, reranking and classes. An
// encoder computes them; a model that writes text reranks by how likely it says "yes".
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include "base/clock.h"
#include "engine/text_encoder.h"
#include "serve/encoding.h"
#include "serve/judging.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/pooling.h"

namespace paring::serve {

namespace {

using Texts = std::vector<engine::EncodedText>;
using Done = std::function<void(const EncodedRows&, const AnswerUsage&)>;

using WithEncoder = std::function<void(const std::shared_ptr<ServedModel>&)>;

// The model of a request, when it is an encoder.
void with_encoder(Server& server, const Call& call, const std::string& name, const char* what,
                  WithEncoder then) {
  server.with_model(
      call, name, 0, [&server, call, what, then = std::move(then)](const ModelUse& use) {
        if (use->is_encoder()) return then(use.model);
        server.refuse(
            call,
            bad_request("model",
                        fmt::format("'{}' writes text; {} takes an encoder such as a BERT model",
                                    use->name(), what)));
      });
}

// Computes `texts` and calls `done` on the finishing thread; errors are answered.
void run(Server& server, const Call& call, const std::shared_ptr<ServedModel>& model,
         EncodeJob::Kind kind, Texts texts, Done done) {
  std::size_t tokens = 0;
  for (const engine::EncodedText& text : texts) tokens += text.tokens.size();
  auto admission = server.admit(call, *model, tokens, 0);
  if (!admission) return server.refuse(call, admission.error());
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  call.exchange->on_gone([cancelled] { cancelled->store(true); });
  call.exchange->release_body();
  const double start = system_clock().monotonic_seconds();
  encode(server.loop(), model, {kind, call.priority, std::move(texts), cancelled},
         [&server, call, start, done = std::move(done),
          ticket = *admission](Result<EncodedRows> rows) {
           server.finisher().post([&server, call, start, done, ticket, rows = std::move(rows)] {
             if (!rows) return server.refuse(call, api_error(rows.error()));
             AnswerUsage usage;
             usage.prompt_tokens = rows->tokens;
             const double seconds = system_clock().monotonic_seconds() - start;
             usage.prefill_seconds = std::min(seconds, rows->work.seconds);
             usage.queue_seconds = seconds - usage.prefill_seconds;
             usage.prefill_work = rows->work;
             ticket->settle(usage);
             done(*rows, usage);
           });
         });
}

// A text or token ids as the encoder reads them. `cuts`: what is too long loses its end.
Result<engine::EncodedText> encoded(const ServedModel& model, const wire::PoolingInput& input,
                                    bool cuts) {
  const engine::TextEncoder& encoder = model.encoder();
  if (const auto* text = std::get_if<std::string>(&input)) {
    return encoder.encode(*text, cuts);
  }
  engine::EncodedText result;
  result.tokens = std::get<std::vector<std::int32_t>>(input);
  const auto vocabulary = static_cast<std::int32_t>(model.tokenizer().vocab_size());
  for (const std::int32_t token : result.tokens) {
    if (token >= 0 && token < vocabulary) continue;
    return invalid_argument(fmt::format("token {}, the vocabulary has {}", token, vocabulary));
  }
  if (result.tokens.empty()) return invalid_argument("there are no tokens");
  if (result.tokens.size() > encoder.tokens_max()) {
    if (!cuts) {
      return invalid_argument(
          fmt::format("{} tokens, the model takes {}", result.tokens.size(), encoder.tokens_max()),
          "shorten the text, or allow to cut it");
    }
    result.tokens.resize(encoder.tokens_max());
    result.is_cut = true;
  }
  result.types.assign(result.tokens.size(), 0);
  return result;
}

ApiResult<Texts> encoded_all(const ServedModel& model,
                             const std::vector<wire::PoolingInput>& inputs, bool cuts) {
  Texts texts;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto text = encoded(model, inputs[i], cuts);
    if (!text) {
      ApiError error = api_error(text.error(), fmt::format("input[{}]", i));
      error.code = "context_length_exceeded";
      return error;
    }
    texts.push_back(std::move(*text));
  }
  return texts;
}

// The first `dimensions` of each vector, at length 1 again: for models trained so that the
// beginning of a vector is one (arXiv:2205.13147).
void shorten(std::vector<std::vector<float>>& rows, std::size_t dimensions) {
  for (std::vector<float>& row : rows) {
    row.resize(dimensions);
    const float norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0F));
    for (float& value : row) value = norm > 0 ? value / norm : value;
  }
}

using WriteVectors = std::string (*)(const wire::EmbedCall&, const AnswerLabel&,
                                     const std::vector<std::vector<float>>&, const AnswerUsage&);

void embed(Server& server, const Call& call, const wire::EmbedCall& asked, WriteVectors write,
           const std::shared_ptr<ServedModel>& model) {
  const std::size_t width = model->encoder().width();
  if (asked.dimensions && (*asked.dimensions == 0 || *asked.dimensions > width)) {
    return server.refuse(call,
                         bad_request("dimensions", fmt::format("dimensions is {}, the model has {}",
                                                               *asked.dimensions, width)));
  }
  if (model->encoder().pooling() == model::Pooling::kNone) {
    return server.refuse(call,
                         bad_request("model", "this encoder gives no vector for a whole text"));
  }
  ApiResult<Texts> texts = encoded_all(*model, asked.inputs, asked.cuts_inputs);
  if (!texts) return server.refuse(call, texts.error());
  const AnswerLabel label = Server::label(call, {model}, asked.model);
  run(server, call, model, EncodeJob::Kind::kEmbed, std::move(*texts),
      [&server, call, label, write, asked](const EncodedRows& rows, const AnswerUsage& usage) {
        std::vector<std::vector<float>> vectors = rows.rows;
        if (asked.dimensions) shorten(vectors, *asked.dimensions);
        server.respond(call, 200, "application/json", write(asked, label, vectors, usage));
      });
}

void embed(Server& server, const Call& call, ApiResult<wire::EmbedCall> read, WriteVectors write) {
  if (!read) return server.refuse(call, read.error());
  const auto asked = std::make_shared<wire::EmbedCall>(std::move(*read));
  with_encoder(server, call, asked->model, "/v1/embeddings",
               [&server, call, asked, write](const std::shared_ptr<ServedModel>& model) {
                 // Now that it is in use: before, a time of 0 could take it away and be forgotten
                 // when it comes back for this request.
                 if (asked->keep_alive_seconds && call.principal.scopes.has(Scope::kAdmin)) {
                   server.models().set_idle(asked->model, asked->keep_alive_seconds);
                 }
                 embed(server, call, *asked, write, model);
               });
}

// Relevance of pairs: of a cross-encoder's one label, else of the vectors' angle.
struct Pairs {
  Texts texts;
  bool is_crossed = false;
};

ApiResult<Pairs> encode_pairs(const ServedModel& model, const std::vector<std::string>& first,
                              const std::vector<std::string>& second) {
  Pairs pairs;
  const engine::TextEncoder& encoder = model.encoder();
  pairs.is_crossed = encoder.spec().labels == 1;
  if (!pairs.is_crossed && encoder.spec().labels > 1) {
    return bad_request("model",
                       fmt::format("'{}' tells classes, it does not score pairs", model.name()));
  }
  const auto add = [&](Result<engine::EncodedText> text, const char* param,
                       std::size_t i) -> std::optional<ApiError> {
    if (!text) return api_error(text.error(), fmt::format("{}[{}]", param, i));
    pairs.texts.push_back(std::move(*text));
    return std::nullopt;
  };
  for (std::size_t i = 0; i < second.size(); ++i) {
    const std::string& left = first.size() == 1 ? first[0] : first[i];
    if (pairs.is_crossed) {
      if (auto error = add(encoder.encode_pair(left, second[i]), "text_2", i)) return *error;
      continue;
    }
    if (i < first.size()) {
      if (auto error = add(encoder.encode(first[i]), "text_1", i)) return *error;
    }
    if (auto error = add(encoder.encode(second[i]), "text_2", i)) return *error;
  }
  return pairs;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  const double dot = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  const double norms = std::sqrt(std::inner_product(a.begin(), a.end(), a.begin(), 0.0) *
                                 std::inner_product(b.begin(), b.end(), b.begin(), 0.0));
  return norms > 0 ? dot / norms : 0;
}

// The score of each pair from what encode_pairs() gave.
std::vector<double> scores_of(const EncodedRows& rows, bool is_crossed, std::size_t first_count,
                              std::size_t pairs) {
  std::vector<double> scores;
  std::size_t at = 0;
  std::size_t left = 0;
  for (std::size_t i = 0; i < pairs; ++i) {
    if (is_crossed) {
      scores.push_back(engine::sigmoid(rows.rows[i][0]));
      continue;
    }
    if (i < first_count) left = at++;
    scores.push_back(cosine(rows.rows[left], rows.rows[at++]));
  }
  return scores;
}

using OnScores = std::function<std::string(std::span<const double>, const AnswerUsage&)>;

void score_pairs(Server& server, const Call& call, const std::shared_ptr<ServedModel>& model,
                 const std::vector<std::string>& first, const std::vector<std::string>& second,
                 const OnScores& write) {
  ApiResult<Pairs> pairs = encode_pairs(*model, first, second);
  if (!pairs) return server.refuse(call, pairs.error());
  const bool is_crossed = pairs->is_crossed;
  run(server, call, model, is_crossed ? EncodeJob::Kind::kClassify : EncodeJob::Kind::kEmbed,
      std::move(pairs->texts),
      [&server, call, write, is_crossed, firsts = first.size(), count = second.size()](
          const EncodedRows& rows, const AnswerUsage& usage) {
        server.respond(call, 200, "application/json",
                       write(scores_of(rows, is_crossed, firsts, count), usage));
      });
}

void classify(Server& server, const Call& call, const wire::ClassifyCall& asked,
              const std::shared_ptr<ServedModel>& model) {
  const model::EncoderSpec& spec = model->encoder().spec();
  if (spec.labels == 0) {
    return server.refuse(
        call,
        bad_request("model", fmt::format("'{}' has no classes, it embeds texts", model->name())));
  }
  ApiResult<Texts> texts = encoded_all(*model, asked.inputs, false);
  if (!texts) return server.refuse(call, texts.error());
  const AnswerLabel label = Server::label(call, {model}, asked.model);
  run(server, call, model, EncodeJob::Kind::kClassify, std::move(*texts),
      [&server, call, label, spec](const EncodedRows& rows, const AnswerUsage& usage) {
        std::vector<wire::Classified> results;
        for (std::vector<float> row : rows.rows) {
          engine::to_probabilities(spec.label_kind, row);
          const auto best =
              static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
          const std::string name = best < spec.label_names.size() ? spec.label_names[best]
                                                                  : fmt::format("LABEL_{}", best);
          results.push_back({name, std::vector<double>(row.begin(), row.end())});
        }
        server.respond(call, 200, "application/json", wire::classify_answer(label, results, usage));
      });
}

}  // namespace

void serve_embeddings(Server& server, const Call& call) {
  embed(server, call, wire::read_openai_embeddings(call.exchange->body(), server.rules()),
        [](const wire::EmbedCall& request, const AnswerLabel& label,
           const std::vector<std::vector<float>>& vectors, const AnswerUsage& usage) {
          return wire::openai_embeddings_answer(request, label, vectors, usage);
        });
}

void serve_ollama_embed(Server& server, const Call& call) {
  embed(server, call, wire::read_ollama_embed(call.exchange->body(), server.rules()),
        [](const wire::EmbedCall&, const AnswerLabel& label,
           const std::vector<std::vector<float>>& vectors,
           const AnswerUsage& usage) { return wire::ollama_embed_answer(label, vectors, usage); });
}

void serve_ollama_embeddings(Server& server, const Call& call) {
  embed(
      server, call, wire::read_ollama_embeddings(call.exchange->body(), server.rules()),
      [](const wire::EmbedCall&, const AnswerLabel&, const std::vector<std::vector<float>>& vectors,
         const AnswerUsage&) { return wire::ollama_embeddings_answer(vectors.front()); });
}

void serve_score(Server& server, const Call& call) {
  ApiResult<wire::ScoreCall> read = wire::read_score(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto asked = std::make_shared<const wire::ScoreCall>(std::move(*read));
  with_encoder(server, call, asked->model, "/v1/score",
               [&server, call, asked](const std::shared_ptr<ServedModel>& model) {
                 const AnswerLabel label = Server::label(call, {model}, asked->model);
                 score_pairs(server, call, model, asked->first, asked->second,
                             [label](std::span<const double> scores, const AnswerUsage& usage) {
                               return wire::score_answer(label, scores, usage);
                             });
               });
}

void serve_rerank(Server& server, const Call& call) {
  ApiResult<wire::RerankCall> read = wire::read_rerank(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto asked = std::make_shared<const wire::RerankCall>(std::move(*read));
  server.with_model(call, asked->model, 0, [&server, call, asked](const ModelUse& model) {
    const AnswerLabel label = Server::label(call, model, asked->model);
    const OnScores write = [label, asked](std::span<const double> scores,
                                          const AnswerUsage& usage) {
      return wire::rerank_answer(*asked, label, scores, usage);
    };
    if (!model->is_encoder()) {
      return judge(server, call, model, asked->query, asked->documents, write);
    }
    score_pairs(server, call, model.model, {asked->query}, asked->documents, write);
  });
}

void serve_classify(Server& server, const Call& call) {
  ApiResult<wire::ClassifyCall> read = wire::read_classify(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto asked = std::make_shared<const wire::ClassifyCall>(std::move(*read));
  with_encoder(server, call, asked->model, "/v1/classify",
               [&server, call, asked](const std::shared_ptr<ServedModel>& model) {
                 classify(server, call, *asked, model);
               });
}

}  // namespace paring::serve
