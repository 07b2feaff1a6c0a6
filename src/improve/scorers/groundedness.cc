// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/groundedness.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "advise/diagnosis/case.h"
#include "advise/diagnosis/words.h"
#include "improve/scorers/refusal.h"

namespace paring::improve {

namespace {

using Words = std::set<std::string, std::less<>>;

// Function words of English, and what answers say about themselves.
constexpr std::array kFunctionWords = std::to_array<std::string_view>(
    {"about",    "above",   "according", "after",     "again",   "all",     "also",     "although",
     "am",       "and",     "any",       "are",       "as",      "at",      "be",       "because",
     "been",     "before",  "being",     "below",     "between", "both",    "but",      "by",
     "can",      "cannot",  "could",     "did",       "do",      "does",    "doing",    "down",
     "during",   "each",    "few",       "for",       "from",    "further", "had",      "has",
     "have",     "having",  "he",        "her",       "here",    "hers",    "him",      "his",
     "how",      "however", "i",         "if",        "in",      "into",    "is",       "it",
     "its",      "itself",  "just",      "may",       "me",      "might",   "more",     "most",
     "must",     "my",      "no",        "nor",       "not",     "of",      "off",      "on",
     "once",     "only",    "or",        "other",     "our",     "out",     "over",     "own",
     "same",     "says",    "shall",     "she",       "should",  "so",      "some",     "such",
     "than",     "that",    "their",     "them",      "then",    "there",   "these",    "they",
     "this",     "those",   "through",   "to",        "too",     "under",   "until",    "up",
     "upon",     "us",      "very",      "was",       "we",      "were",    "what",     "when",
     "where",    "which",   "while",     "who",       "whom",    "whose",   "why",      "will",
     "with",     "within",  "would",     "yes",       "you",     "your",    "text",     "context",
     "document", "passage", "answer",    "mentioned", "stated",  "states",  "provided", "based"});

bool has_digit(std::string_view word) {
  return std::ranges::any_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

// Without the commonest endings, so that "opened" and "opens" are one word.
std::string stem_of(std::string word) {
  constexpr std::size_t kStemMin = 3;
  for (const std::string_view ending : {"ingly", "edly", "ies", "ing", "ed", "es", "ly", "s"}) {
    if (!word.ends_with(ending) || word.size() < kStemMin + ending.size()) continue;
    if (ending == "s" && word.ends_with("ss")) continue;
    word.resize(word.size() - ending.size());
    if (ending == "ies") word += 'y';
    break;
  }
  // "stopped", "stop"; "make", "making".
  const std::size_t size = word.size();
  if (size > kStemMin && word[size - 1] == word[size - 2] && word.back() != 's') word.pop_back();
  if (word.size() > kStemMin && word.back() == 'e') word.pop_back();
  return word;
}

struct Parts {
  Words words;
  Words numbers;
};

Parts parts_of(std::string_view text) {
  Parts parts;
  for (std::string& word : advise::words_of(text)) {
    if (has_digit(word)) {
      parts.numbers.insert(std::move(word));
    } else if (std::ranges::find(kFunctionWords, word) == kFunctionWords.end()) {
      parts.words.insert(stem_of(std::move(word)));
    }
  }
  return parts;
}

double share_in(const Words& wanted, const Words& window) {
  if (wanted.empty()) return 1;
  const auto found =
      std::ranges::count_if(wanted, [&](const std::string& word) { return window.contains(word); });
  return static_cast<double>(found) / static_cast<double>(wanted.size());
}

bool holds_all(const Words& all, const Words& wanted) {
  return std::ranges::all_of(wanted, [&](const std::string& word) { return all.contains(word); });
}

class GroundednessScorer final : public Scorer {
 public:
  Result<std::optional<Mark>> score(const Judged& judged) override {
    const auto asked = advise::case_of("", judged.exchange.prompt);
    if (!asked || asked->context.empty()) return std::optional<Mark>();
    const Grounding grounding =
        grounding_of(judged.exchange.answer, asked->question, asked->context);
    if (grounding.sentences == 0) return std::optional<Mark>();
    return std::optional(Mark{
        static_cast<double>(grounding.supported) / static_cast<double>(grounding.sentences), false,
        grounding.unsupported.empty() ? "" : "not in the context: " + grounding.unsupported});
  }
};

}  // namespace

Grounding grounding_of(std::string_view answer, std::string_view question,
                       std::span<const std::string> context) {
  std::vector<Words> windows;
  Words numbers;
  for (const std::string& block : context) {
    std::vector<Parts> sentences;
    for (const std::string_view sentence : sentences_of(block)) {
      sentences.push_back(parts_of(sentence));
      numbers.insert(sentences.back().numbers.begin(), sentences.back().numbers.end());
    }
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      Words window;
      for (std::size_t k = i; k < std::min(i + kWindowSentences, sentences.size()); ++k) {
        window.insert(sentences[k].words.begin(), sentences[k].words.end());
      }
      windows.push_back(std::move(window));
    }
  }
  const Parts asked = parts_of(question);
  Grounding grounding;
  for (const std::string_view sentence : sentences_of(answer)) {
    Parts parts = parts_of(sentence);
    std::erase_if(parts.words, [&](const std::string& word) { return asked.words.contains(word); });
    std::erase_if(parts.numbers,
                  [&](const std::string& word) { return asked.numbers.contains(word); });
    if (parts.words.empty() && parts.numbers.empty()) continue;
    ++grounding.sentences;
    const bool is_supported =
        holds_all(numbers, parts.numbers) && std::ranges::any_of(windows, [&](const Words& window) {
          return share_in(parts.words, window) >= kSupportedShare;
        });
    if (is_supported) {
      ++grounding.supported;
    } else if (grounding.unsupported.empty()) {
      grounding.unsupported = sentence;
    }
  }
  return grounding;
}

Result<std::unique_ptr<Scorer>> make_groundedness_scorer(Fields&, const ScorerTools&) {
  return std::unique_ptr<Scorer>(std::make_unique<GroundednessScorer>());
}

}  // namespace paring::improve
