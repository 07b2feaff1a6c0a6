// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/refusal.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "advise/diagnosis/words.h"
#include "base/text.h"

namespace paring::improve {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
// Before a full stop that ends no sentence.
constexpr std::array<std::string_view, 18> kAbbreviations = {
    "e.g", "i.e", "dr", "mr",  "mrs", "ms", "prof", "st",  "vs",
    "etc", "cf",  "no", "fig", "al",  "jr", "sr",   "inc", "approx"};

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_abbreviation(std::string_view before) {
  const std::size_t blank = before.find_last_of(" \t\n(");
  const std::string word =
      ascii_lower(blank == std::string_view::npos ? before : before.substr(blank + 1));
  // "no." may be a number's, or an answer: it is one only before more of the line.
  return std::ranges::find(kAbbreviations, word) != kAbbreviations.end() ||
         (word.size() == 1 && word[0] >= 'a' && word[0] <= 'z' && word != "i");
}

// In one sentence, in lower case, with straight apostrophes.
const re2::RE2& refusing_pattern() {
  static const re2::RE2 pattern(
      // I cannot, I won't, I am not able to, I am unable to, I must decline ...
      R"(\b(?:i|we)(?:'m| am|'re| are)? (?:sorry,? (?:but )?)?)"
      R"((?:(?:really |simply |just |unfortunately |also )?)"
      R"((?:can't|cannot|can not|won't|will not|am not able to|am unable to|unable to|not able to|)"
      R"(not allowed to|not permitted to|not going to|not comfortable|don't feel comfortable|)"
      R"(must decline|have to decline|need to decline|must refuse|have to refuse|decline to|)"
      R"(refuse to|don't have the ability to|do not have the ability to))"
      R"()(?: (?:to )?(?:\w+ ){0,3}?)"
      R"((?:help|assist|provide|answer|do|write|create|give|generate|fulfill|fulfil|comply|)"
      R"(continue|share|discuss|support|engage|produce|offer|participate|tell|explain|show|)"
      R"(complete|carry|make|advise|respond|process|recommend|endorse|encourage|facilitate|)"
      R"(open|access|browse|look|translate|describe|say|speak|talk|teach|recite|reproduce)|)"
      R"([ ,.;:!]|$))"
      // That is against my guidelines; as an AI, I cannot.
      R"(|\b(?:against|violates?|goes against|not in line with) (?:my|our) )"
      R"((?:\w+ )?(?:guidelines|policy|policies|programming|principles|rules)\b)"
      R"(|\bas an? (?:\w+ ){0,3}(?:ai|assistant|language model)\b.{0,40}\b)"
      R"((?:can't|cannot|not able|unable|don't|do not|won't)\b)"
      R"(|\b(?:not|isn't|wouldn't) be (?:appropriate|right|ethical|responsible) for (?:me|us) to\b)"
      R"(|\bmy (?:\w+ )?(?:guidelines|policy|policies|programming|principles|rules) )"
      R"((?:does not|doesn't|do not|don't|won't|will not) (?:allow|let|permit)\b)"
      // I'm sorry, but that is not something I can do; this request cannot be fulfilled.
      R"(|\b(?:not|isn't) something (?:that )?(?:i|we)(?:'m| am)? (?:can|able|will|comfortable)\b)"
      R"(|\b(?:your|this|that) request (?:can't|cannot|can not) be\b)");
  return pattern;
}

// Sentences that begin so speak of something else: "I can't wait to help!"
const re2::RE2& harmless_pattern() {
  static const re2::RE2 pattern(
      R"(\b(?:can't|cannot) (?:wait|help but|stress|recommend .{0,40}\benough|)"
      R"(say (?:for sure|with cert)|)"
      R"(thank|emphasi[sz]e|overstate|agree more|believe|remember|imagine|tell you how)|)"
      R"(\bif (?:i|we|you) (?:can't|cannot)\b|)"
      R"(\b(?:why|when|where|how) (?:i|we) (?:can't|cannot)\b)");
  return pattern;
}

// What somebody else says is no refusal of this answer's.
std::string without_quotations(std::string_view sentence) {
  std::string rest;
  bool is_inside = false;
  for (const char c : sentence) {
    if (c == '"') is_inside = !is_inside;
    if (!is_inside) rest += c;
  }
  return rest;
}

}  // namespace

std::vector<std::string_view> sentences_of(std::string_view text) {
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  const auto end_at = [&](std::size_t end) {
    const std::string_view sentence = trimmed(text.substr(begin, end - begin));
    if (!sentence.empty()) sentences.push_back(sentence);
    begin = end;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      end_at(i);
      continue;
    }
    if (c != '.' && c != '!' && c != '?') continue;
    // Closing quotes and brackets belong to the sentence.
    std::size_t next = i + 1;
    while (next < text.size() && (text[next] == '"' || text[next] == '\'' || text[next] == ')')) {
      ++next;
    }
    const bool is_before_blank = next >= text.size() || kBlanks.find(text[next]) != kBlanks.npos;
    if (!is_before_blank || (c == '.' && is_abbreviation(text.substr(begin, i - begin)))) continue;
    end_at(next);
    i = next - 1;
  }
  end_at(text.size());
  return sentences;
}

std::string refusal_in(std::string_view answer) {
  if (advise::words_of(answer).size() > kRefusalWordsMax) return {};
  const std::vector<std::string_view> sentences = sentences_of(answer);
  for (std::size_t i = 0; i < std::min(sentences.size(), kRefusalSentences); ++i) {
    std::string lower = ascii_lower(sentences[i]);
    re2::RE2::GlobalReplace(&lower, "\u2019", "'");
    re2::RE2::GlobalReplace(&lower, "\u201C|\u201D", "\"");
    lower = without_quotations(lower);
    // A letter is written for somebody else.
    if (lower.starts_with("dear ")) return {};
    re2::StringPiece found;
    if (re2::RE2::PartialMatch(lower, harmless_pattern())) continue;
    if (refusing_pattern().Match(lower, 0, lower.size(), re2::RE2::UNANCHORED, &found, 1)) {
      return std::string(trimmed(std::string_view(found.data(), found.size())));
    }
  }
  return {};
}

}  // namespace paring::improve
