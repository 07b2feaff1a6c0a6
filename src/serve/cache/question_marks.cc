// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/question_marks.h"

#include <algorithm>
#include <array>
#include <utility>

namespace paring::serve {

namespace {

// One question may be so many times as long as the other.
constexpr std::size_t kLengthRatioMax = 2;

// Sorted. Words that say nothing of what is asked for. Words of time, place, person, degree,
// condition and direction ("when", "who", "more", "if", "from") are not among them.
constexpr auto kEmptyWords = std::to_array<std::string_view>(
    {"a",      "about", "actually", "also", "am",      "an",    "and",    "any",    "are",
     "as",     "at",    "be",       "been", "being",   "can",   "could",  "do",     "does",
     "doing",  "for",   "get",      "give", "has",     "have",  "having", "hello",  "hey",
     "hi",     "i",     "i'd",      "i'm",  "i've",    "in",    "is",     "it",     "it's",
     "its",    "just",  "kindly",   "know", "let",     "like",  "me",     "mean",   "my",
     "myself", "need",  "of",       "on",   "one's",   "or",    "our",    "please", "really",
     "so",     "some",  "tell",     "that", "the",     "there", "these",  "thing",  "things",
     "this",   "those", "to",       "us",   "want",    "we",    "what",   "what's", "which",
     "would",  "you",   "you're",   "your", "yourself"});
static_assert(std::is_sorted(kEmptyWords.begin(), kEmptyWords.end()));

constexpr auto kNegations = std::to_array<std::string_view>(
    {"aucun",  "avoid",  "barely", "cannot",  "except",  "hardly",  "jamais", "kein",
     "keine",  "keinen", "lack",   "neither", "never",   "nicht",   "nie",    "no",
     "nobody", "none",   "nor",    "not",     "nothing", "nowhere", "nunca",  "ohne",
     "pas",    "sans",   "sin",    "unless",  "without"});
static_assert(std::is_sorted(kNegations.begin(), kNegations.end()));

constexpr auto kNumberWords = std::to_array<std::string_view>(
    {"billion",  "double",    "dozen",    "eight",  "eighteen", "eighty",   "eleven",  "fifteen",
     "fifty",    "first",     "five",     "forty",  "four",     "fourteen", "half",    "hundred",
     "million",  "nine",      "nineteen", "ninety", "once",     "one",      "quarter", "second",
     "seven",    "seventeen", "seventy",  "six",    "sixteen",  "sixty",    "ten",     "third",
     "thirteen", "thirty",    "thousand", "three",  "trillion", "triple",   "twelve",  "twenty",
     "twice",    "two",       "zero"});
static_assert(std::is_sorted(kNumberWords.begin(), kNumberWords.end()));

// The tense is part of a question ("who was", "who will be"), its verb is not.
constexpr auto kPast = std::to_array<std::string_view>({"did", "had", "was", "were"});
// "How do I learn" and "ways to learn" are one, "what is" and "how is" are not.
constexpr auto kHow = std::to_array<std::string_view>({"how", "method", "methods", "way", "ways"});
// With one of these in front, yes or no is asked for.
constexpr auto kVerbsOfYesOrNo = std::to_array<std::string_view>(
    {"am", "are", "can",   "could", "did",   "do",     "does", "had",  "has",  "have",
     "is", "may", "might", "must",  "shall", "should", "was",  "were", "will", "would"});
constexpr auto kFuture = std::to_array<std::string_view>({"shall", "will"});

template <std::size_t N>
bool is_in(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
bool is_code(char c) {
  return std::string_view("{}[]<>=;\\|$#@%^~_&*+/").find(c) != std::string_view::npos;
}
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool cut_suffix(std::string& word, std::string_view suffix, std::size_t rest_min) {
  if (!word.ends_with(suffix) || word.size() < suffix.size() + rest_min) return false;
  word.resize(word.size() - suffix.size());
  return true;
}

// Inflections of English taken off, so that "learning" and "learn", "cities" and "city" are one.
// What is left need not be a word, only the same for the same.
std::string stem(std::string word) {
  if (word.ends_with("'s")) word.resize(word.size() - 2);
  if (cut_suffix(word, "ies", 2)) {
    word += 'y';
  } else if (!word.ends_with("ss") && !word.ends_with("us") && !word.ends_with("is")) {
    cut_suffix(word, "s", 3);
  }
  if (cut_suffix(word, "ing", 3) || cut_suffix(word, "ed", 3)) {
    // "stopping" and "stop": the letter that was doubled.
    if (word.size() > 3 && word.back() == word[word.size() - 2] && word.back() != 'l' &&
        word.back() != 's' && is_letter(word.back())) {
      word.pop_back();
    }
  }
  cut_suffix(word, "e", 3);
  return word;
}

// Reads a question from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) { marks_.bytes = text.size(); }

  QuestionMarks read() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_quote()) continue;
      if (is_digit(c) || is_letter(c) || is_code(c)) {
        word();
      } else {
        ++at_;
      }
    }
    return std::move(marks_);
  }

 private:
  // Text between quotation marks or backquotes is taken as it is.
  bool is_quote() {
    static constexpr auto kPairs = std::to_array<std::pair<std::string_view, std::string_view>>(
        {{"```", "```"}, {"`", "`"}, {"\"", "\""}, {"\u201c", "\u201d"}, {"\u00ab", "\u00bb"}});
    for (const auto& [open, close] : kPairs) {
      if (!text_.substr(at_).starts_with(open)) continue;
      const std::size_t begin = at_ + open.size();
      const std::size_t end = text_.find(close, begin);
      if (end == std::string_view::npos) continue;
      marks_.literals.emplace_back(text_.substr(begin, end - begin));
      at_ = end + close.size();
      return true;
    }
    return false;
  }

  // "don't" and "3.14" are one word, "end." is not.
  bool goes_on() const {
    const char c = text_[at_];
    if (is_digit(c) || is_letter(c) || is_code(c)) return true;
    if ((c != '\'' && c != '.' && c != ',' && c != ':' && c != '-') || at_ + 1 >= text_.size())
      return false;
    const char next = text_[at_ + 1];
    if (c == '\'' || c == '-') return is_letter(next) || is_digit(next);
    return is_digit(next) && is_digit(text_[at_ - 1]);
  }

  void word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && goes_on()) {
      if (text_.substr(at_).starts_with("\u2019")) {  // the other apostrophe
        word_ += '\'';
        at_ += 3;
        continue;
      }
      // Dashes and quotation marks of Unicode are no letters.
      if (text_[at_] == '\xe2' && text_.substr(at_, 2) == "\xe2\x80") break;
      word_ += text_[at_++];
    }
    if (at_ == begin) at_ += 3;  // such a mark alone
    if (!word_.empty()) take(std::exchange(word_, {}));
  }

  void take(std::string word) {
    if (std::any_of(word.begin(), word.end(), is_code)) {
      marks_.literals.push_back(std::move(word));
      return;
    }
    if (std::any_of(word.begin(), word.end(), is_digit)) {
      std::transform(word.begin(), word.end(), word.begin(), lower);
      std::erase(word, ',');
      marks_.numbers.push_back(std::move(word));
      return;
    }
    // "IT" and "US" are no "it" and "us".
    const bool is_name = word.size() > 1 && std::none_of(word.begin(), word.end(), [](char c) {
                           return c >= 'a' && c <= 'z';
                         });
    std::transform(word.begin(), word.end(), word.begin(), lower);
    if (is_name) return add(stem(std::move(word)));
    const bool is_short_negation = word.ends_with("n't");
    if (is_short_negation || is_in(kNegations, word)) {
      ++marks_.negations;
      if (is_short_negation) {
        word.resize(word.size() - 3);
        if (word == "ca") word = "can";
        if (word == "wo") word = "will";
      }
      if (is_in(kNegations, word)) return;
    }
    if (is_in(kNumberWords, word)) {
      marks_.numbers.push_back(std::move(word));
      return;
    }
    if (word.ends_with("'ll")) word = "will";
    if (std::exchange(is_first_, false) && is_in(kVerbsOfYesOrNo, word)) add("(yes or no)");
    if (is_in(kPast, word)) return add("(past)");
    if (is_in(kFuture, word)) return add("(future)");
    if (is_in(kHow, word)) return add("(how)");
    if (is_in(kEmptyWords, word)) return;
    add(stem(std::move(word)));
  }

  void add(std::string word) { marks_.words.push_back(std::move(word)); }

  std::string_view text_;
  std::size_t at_ = 0;
  bool is_first_ = true;  // no word has been taken
  std::string word_;
  QuestionMarks marks_;
};

std::vector<std::string> sorted(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  return words;
}

std::size_t bytes_of(const std::vector<std::string>& texts) {
  std::size_t bytes = texts.size() * sizeof(std::string);
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

}  // namespace

std::size_t QuestionMarks::memory_bytes() const noexcept {
  return bytes_of(numbers) + bytes_of(literals) + bytes_of(words);
}

QuestionMarks marks_of(std::string_view question) { return Reader(question).read(); }

MarkDifference difference(const QuestionMarks& a, const QuestionMarks& b) {
  if (a.numbers != b.numbers) return MarkDifference::kNumbers;
  if (a.negations != b.negations) return MarkDifference::kNegations;
  if (a.literals != b.literals) return MarkDifference::kLiterals;
  if (a.words != b.words) {
    return sorted(a.words) == sorted(b.words) ? MarkDifference::kOrder : MarkDifference::kWords;
  }
  if (std::max(a.bytes, b.bytes) > kLengthRatioMax * std::min(a.bytes, b.bytes)) {
    return MarkDifference::kLength;
  }
  return MarkDifference::kNone;
}

}  // namespace paring::serve
