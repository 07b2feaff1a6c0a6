// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/words.h"

#include <algorithm>
#include <map>
#include <set>

namespace paring::advise {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
}

std::set<std::string> runs_of(const std::vector<std::string>& words, std::size_t length) {
  std::set<std::string> runs;
  for (std::size_t i = 0; i + length <= words.size(); ++i) {
    std::string run;
    for (std::size_t k = 0; k < length; ++k) run += words[i + k] + ' ';
    runs.insert(std::move(run));
  }
  return runs;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && word != "a" && word != "an" && word != "the") words.push_back(word);
    word.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    // "1,000" is one number, "cats, dogs" are two words; "don't" loses its apostrophe.
    const bool is_inside = (c == ',' || c == '\'') && !word.empty() && i + 1 < text.size() &&
                           is_letter(text[i + 1]) && is_letter(text[i - 1]);
    if (is_letter(c)) {
      word += c;
    } else if (!is_inside) {
      end_word();
    }
  }
  end_word();
  return words;
}

bool holds(std::string_view text, std::string_view part) {
  const std::vector<std::string> all = words_of(text), wanted = words_of(part);
  return !wanted.empty() &&
         std::search(all.begin(), all.end(), wanted.begin(), wanted.end()) != all.end();
}

double word_f1(std::string_view a, std::string_view b) {
  const std::vector<std::string> a_words = words_of(a), b_words = words_of(b);
  std::map<std::string, std::size_t> counts;
  for (const std::string& word : a_words) ++counts[word];
  std::size_t common = 0;
  for (const std::string& word : b_words) {
    const auto found = counts.find(word);
    if (found == counts.end() || found->second == 0) continue;
    --found->second;
    ++common;
  }
  if (common == 0) return 0;
  return 2.0 * static_cast<double>(common) / static_cast<double>(a_words.size() + b_words.size());
}

double word_overlap(std::string_view text, std::string_view part) {
  const std::vector<std::string> all = words_of(text), wanted = words_of(part);
  if (wanted.empty()) return 0;
  const std::size_t length = wanted.size() < 3 ? 1 : 3;
  const std::set<std::string> have = runs_of(all, length), need = runs_of(wanted, length);
  const auto found = std::count_if(need.begin(), need.end(),
                                   [&](const std::string& run) { return have.contains(run); });
  return static_cast<double>(found) / static_cast<double>(need.size());
}

bool is_same_answer(std::string_view answer, std::string_view reference) {
  return holds(answer, reference) || word_f1(answer, reference) >= kSameAnswerF1;
}

}  // namespace paring::advise
