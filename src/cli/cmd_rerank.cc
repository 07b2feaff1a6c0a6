// SPDX-License-Identifier: Apache-2.0
// paring rerank: texts in the order in which they answer a query, by a cross-encoder.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/encoder_session.h"
#include "cli/table.h"
#include "cli/text_inputs.h"

namespace paring::cli {

namespace {

constexpr std::size_t kShownBytes = 60;  // of a text in the table

struct RerankFlags {
  EncoderFlags encoder;
  TextInputFlags inputs;
  std::string query;
  std::size_t top = 0;
};

struct Ranking {
  std::vector<float> logits;       // by text
  std::vector<std::size_t> order;  // best first; texts of equal scores as they came
  EncoderWork work;
};

Result<void> check_one_output(const EncoderSession& session) {
  if (session.encoder->spec().labels == 1) return {};
  return invalid_argument(session.encoder->spec().labels == 0
                              ? fmt::format("{} has no classification head", session.model->path)
                              : fmt::format("{} has {} labels, a cross-encoder has 1",
                                            session.model->path, session.encoder->spec().labels),
                          session.encoder->spec().labels == 0
                              ? "'paring embed' compares texts by their vectors"
                              : "'paring classify' names the labels of texts");
}

Result<Ranking> rank(EncoderSession& session, const std::string& query,
                     const std::vector<std::string>& texts) {
  const Clock& clock = system_clock();
  const double begin = clock.monotonic_seconds();
  std::vector<engine::EncodedText> pairs;
  for (const std::string& text : texts) {
    auto pair = session.encoder->encode_pair(query, text);
    if (!pair) {
      return std::move(pair.error())
          .with_context(fmt::format("query and text {}", pairs.size() + 1));
    }
    pairs.push_back(std::move(pair).value());
  }
  const double middle = clock.monotonic_seconds();
  Ranking ranking;
  ranking.logits = session.encoder->classify(pairs);
  ranking.work = count_work(pairs);
  ranking.work.tokenize_seconds = middle - begin;
  ranking.work.compute_seconds = clock.monotonic_seconds() - middle;
  PARING_TRY_VOID(check_finite(ranking.logits, session.model->path));
  ranking.order.resize(texts.size());
  std::iota(ranking.order.begin(), ranking.order.end(), std::size_t{0});
  std::stable_sort(ranking.order.begin(), ranking.order.end(), [&](std::size_t a, std::size_t b) {
    return ranking.logits[a] > ranking.logits[b];
  });
  return ranking;
}

// The first words of a text on one line.
std::string shown(const std::string& text) {
  if (text.size() <= kShownBytes) return escape_control(text);
  std::size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return escape_control(text.substr(0, end)) + "...";
}

void print(Context& context, const RerankFlags& flags, const std::vector<std::string>& texts,
           const Ranking& ranking, std::size_t count) {
  if (!flags.encoder.is_json) {
    Table table({{"rank", Align::kRight}, {"text", Align::kRight}, {"score", Align::kRight}, {""}});
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t text = ranking.order[i];
      table.add({std::to_string(i + 1), std::to_string(text + 1),
                 fmt::format("{:.6f}", engine::sigmoid(ranking.logits[text])), shown(texts[text])});
    }
    context.output().write(table.render());
    print_work(ranking.work);
    return;
  }
  Json results = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t text = ranking.order[i];
    results.push_back({{"index", text},
                       {"score", engine::sigmoid(ranking.logits[text])},
                       {"logit", ranking.logits[text]},
                       {"text", texts[text]}});
  }
  context.output().write_json({{"model", flags.encoder.model},
                               {"query", flags.query},
                               {"numerics", numerics_name(context.numerics())},
                               {"work", work_json(ranking.work)},
                               {"results", std::move(results)}});
}

Result<void> run(Context& context, const RerankFlags& flags) {
  PARING_TRY(const std::vector<std::string> texts, read_texts(flags.inputs));
  PARING_TRY(EncoderSession session, open_encoder(context, flags.encoder));
  PARING_TRY_VOID(check_one_output(session));
  PARING_TRY(const Ranking ranking, rank(session, flags.query, texts));
  const std::size_t count = flags.top == 0 ? texts.size() : std::min(flags.top, texts.size());
  print(context, flags, texts, ranking, count);
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<RerankFlags>();
  define_encoder(app, flags->encoder);
  define_texts(app, "TEXT", flags->inputs);
  app.add_option("--query", flags->query, "What the texts are to answer")
      ->required()
      ->type_name("TEXT");
  app.add_option("--top", flags->top, "Only the best N; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("N");
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kRerank;
const Command kRerank{
    "rerank", "Order texts by how well they answer a query",
    "  paring rerank cross-encoder --query \"how tall is it\" \"It is 8 m tall.\" \"It is red.\"\n"
    "  paring rerank model.gguf --query \"how tall is it\" --file answers.txt --top 5\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
