// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/similarity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "advise/diagnosis/words.h"
#include "improve/dataset/example_line.h"

namespace paring::improve {

namespace {

std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::size_t common_subsequence(const std::vector<std::string>& a,
                               const std::vector<std::string>& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (const std::string& word : a) {
    std::size_t diagonal = 0;
    for (std::size_t k = 0; k < b.size(); ++k) {
      const std::size_t above = row[k + 1];
      row[k + 1] = word == b[k] ? diagonal + 1 : std::max(above, row[k]);
      diagonal = above;
    }
  }
  return row.back();
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0, a2 = 0, b2 = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    a2 += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    b2 += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return a2 > 0 && b2 > 0 ? dot / std::sqrt(a2 * b2) : 0;
}

class SimilarityScorer final : public Scorer {
 public:
  SimilarityScorer(std::string measure, std::map<std::string, std::string> references, Embed embed)
      : measure_(std::move(measure)),
        references_(std::move(references)),
        embed_(std::move(embed)) {}
  bool needs_reference() const noexcept override { return true; }

  Result<std::optional<Mark>> score(const Judged& judged) override {
    const auto known = references_.find(normal_form(question_of(judged.exchange)));
    if (known == references_.end() && !judged.reference) return std::optional<Mark>();
    const std::string& reference = known == references_.end() ? *judged.reference : known->second;
    const std::string& answer = judged.exchange.answer;
    if (measure_ == "f1") return std::optional(Mark{advise::word_f1(answer, reference)});
    if (measure_ == "rouge_l") {
      if (std::max(answer.size(), reference.size()) > 2 * kRougeWordsMax &&
          (rouge_words(answer).size() > kRougeWordsMax ||
           rouge_words(reference).size() > kRougeWordsMax)) {
        return std::optional<Mark>();
      }
      return std::optional(Mark{rouge_l(answer, reference)});
    }
    const std::vector<std::string> texts = {answer, reference};
    if (answer.empty()) return std::optional(Mark{0, false, "the answer is empty"});
    PARING_TRY(const auto vectors, embed_(texts));
    return std::optional(Mark{cosine(vectors.at(0), vectors.at(1))});
  }

 private:
  const std::string measure_;
  const std::map<std::string, std::string> references_;
  const Embed embed_;
};

}  // namespace

double rouge_l(std::string_view answer, std::string_view reference) {
  const std::vector<std::string> a = rouge_words(answer), b = rouge_words(reference);
  if (a.empty() || b.empty()) return 0;
  return 2.0 * static_cast<double>(common_subsequence(a, b)) /
         static_cast<double>(a.size() + b.size());
}

Result<std::map<std::string, std::string>> parse_references(std::string_view text) {
  std::map<std::string, std::string> references;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const auto field = [&](const char* name) {
      return json.is_object() && json.contains(name) && json[name].is_string()
                 ? json[name].get<std::string>()
                 : std::string();
    };
    if (field("question").empty() || field("reference").empty()) {
      return invalid_argument(
          fmt::format("line {}: no JSON object with texts \"question\" and \"reference\"", number));
    }
    references[normal_form(field("question"))] = field("reference");
  }
  return references;
}

Result<std::unique_ptr<Scorer>> make_similarity_scorer(Fields& fields, const ScorerTools& tools) {
  PARING_TRY(std::string measure, fields.word("measure", {"f1", "rouge_l", "cosine"}));
  std::map<std::string, std::string> references;
  if (const auto file = fields.text("references")) {
    PARING_TRY(const std::string text, fields.file("references", *file, kReferencesBytesMax));
    auto read = parse_references(text);
    if (!read) return fields.wrong("references", read.error().message, read.error().hint);
    references = std::move(read).value();
  }
  Embed embed;
  if (measure == "cosine") {
    PARING_TRY(const std::string model, fields.needed("model"));
    if (!tools.open_encoder) return fields.wrong("model", "no model can be opened here");
    PARING_TRY(embed, tools.open_encoder(model));
  }
  return std::unique_ptr<Scorer>(std::make_unique<SimilarityScorer>(
      std::move(measure), std::move(references), std::move(embed)));
}

}  // namespace paring::improve
