// SPDX-License-Identifier: Apache-2.0
// A splitting is a chain of stages; each stage cuts the pieces of the stage before, and never looks
// beyond the piece that it cuts.
#include "text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "text/unicode.h"

namespace paring::text {
namespace {

struct NamedPreTokenizer {
  std::string_view name;
  PreTokenizer value;
};

constexpr PreTokenizer kLlama3WithBos{Splitting::kLlama3, true, true};

// The names that llama.cpp gives the same treatment.
constexpr NamedPreTokenizer kPreTokenizers[] = {
    {"", {Splitting::kDefault, false, false}},
    {"default", {Splitting::kDefault, false, false}},
    {"gpt-2", {Splitting::kGpt2, false, false}},
    {"phi-2", {Splitting::kGpt2, false, false}},
    {"mpt", {Splitting::kGpt2, false, false}},
    {"olmo", {Splitting::kGpt2, false, false}},
    {"jais", {Splitting::kGpt2, false, false}},
    {"trillion", {Splitting::kGpt2, false, false}},
    {"smollm", {Splitting::kSmollm, false, false}},
    {"starcoder", {Splitting::kSmollm, false, false}},
    {"refact", {Splitting::kSmollm, false, false}},
    {"command-r", {Splitting::kSmollm, false, false}},
    {"codeshell", {Splitting::kSmollm, false, false}},
    {"exaone", {Splitting::kSmollm, false, false}},
    {"minerva-7b", {Splitting::kSmollm, false, false}},
    {"llama-bpe", kLlama3WithBos},
    {"llama3", kLlama3WithBos},
    {"llama-v3", kLlama3WithBos},
    {"falcon3", kLlama3WithBos},
    {"dbrx", {Splitting::kLlama3, false, false}},
    {"smaug-bpe", {Splitting::kLlama3, false, false}},
    {"qwen2", {Splitting::kQwen2, false, false}},
    {"deepseek-r1-qwen", {Splitting::kQwen2, false, false}},
    {"stablelm2", {Splitting::kQwen2, false, false}},
    {"megrez", {Splitting::kQwen2, false, false}},
};

// A text by character: class and where it begins. Character values matter for ASCII only, which the
// first byte tells.
struct Characters {
  std::string_view text;
  std::vector<CharClass> classes;
  std::vector<std::uint32_t> offsets;  // one more than classes: the end of the text
};

Characters characters_of(std::string_view text) {
  Characters out{text, {}, {}};
  out.classes.reserve(text.size());
  out.offsets.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    out.classes.push_back(char_class(step.code_point));
    out.offsets.push_back(static_cast<std::uint32_t>(at));
    at += step.size;
  }
  out.offsets.push_back(static_cast<std::uint32_t>(text.size()));
  return out;
}

using Ends = std::vector<std::uint32_t>;  // in characters

// One piece of the text. Positions are those of the whole text; beyond the piece there is nothing.
class Piece {
 public:
  Piece(const Characters& characters, std::uint32_t begin, std::uint32_t end)
      : characters_(characters), begin_(begin), end_(end) {}

  std::uint32_t begin() const { return begin_; }
  std::uint32_t end() const { return end_; }
  CharClass class_at(std::uint32_t at) const {
    return at < end_ ? characters_.classes[at] : CharClass::kNone;
  }
  // The character when it is ASCII; some byte above 0x7F when not; 0 beyond the piece.
  unsigned char ascii_at(std::uint32_t at) const {
    if (at >= end_) return 0;
    return static_cast<unsigned char>(characters_.text[characters_.offsets[at]]);
  }
  bool is_line_break(std::uint32_t at) const {
    return at < end_ && (ascii_at(at) == '\r' || ascii_at(at) == '\n');
  }
  // First position from `at` on that is not of this class.
  std::uint32_t after_run(std::uint32_t at, CharClass of) const {
    while (at < end_ && characters_.classes[at] == of) ++at;
    return at;
  }

 private:
  const Characters& characters_;
  std::uint32_t begin_;
  std::uint32_t end_;
};

bool is_mark(CharClass c) { return c == CharClass::kPunctuation || c == CharClass::kOther; }

std::uint32_t after_marks(const Piece& piece, std::uint32_t at) {
  while (is_mark(piece.class_at(at))) ++at;
  return at;
}

// 's 't 'm 'd 're 've 'll at `at`: its length, 0 when there is none.
std::uint32_t contraction_size(const Piece& piece, std::uint32_t at, bool any_case) {
  if (piece.ascii_at(at) != '\'') return 0;
  const auto letter = [&](std::uint32_t i) -> unsigned char {
    const unsigned char c = piece.ascii_at(i);
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<unsigned char>(c | 0x20) : c;
  };
  const unsigned char first = letter(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const unsigned char second = letter(at + 2);
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  return 0;
}

// White space at `at`: all of it at the end of the piece, otherwise all but the last, which belongs
// to the word that follows; a single one stands alone.
std::uint32_t after_space(const Piece& piece, std::uint32_t at) {
  const std::uint32_t end = piece.after_run(at, CharClass::kSpace);
  return end - at > 1 && end < piece.end() ? end - 1 : end;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
void split_gpt2(const Piece& piece, Ends& ends) {
  for (std::uint32_t at = piece.begin(); at < piece.end(); ends.push_back(at)) {
    if (const std::uint32_t size = contraction_size(piece, at, false); size != 0) {
      at += size;
      continue;
    }
    const std::uint32_t body = at + (piece.ascii_at(at) == ' ' ? 1U : 0U);
    const CharClass c = piece.class_at(body);
    if (c == CharClass::kLetter || c == CharClass::kNumber) {
      at = piece.after_run(body, c);
    } else if (is_mark(c)) {
      at = after_marks(piece, body);
    } else {
      at = after_space(piece, at);
    }
  }
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
void split_llama3(const Piece& piece, std::uint32_t digits, Ends& ends) {
  for (std::uint32_t at = piece.begin(); at < piece.end(); ends.push_back(at)) {
    if (const std::uint32_t size = contraction_size(piece, at, true); size != 0) {
      at += size;
      continue;
    }
    const CharClass c = piece.class_at(at);
    if (c == CharClass::kNumber) {
      at = std::min(piece.after_run(at, c), at + digits);
      continue;
    }
    const bool is_letter = c == CharClass::kLetter;
    if (is_letter || (!piece.is_line_break(at) && piece.class_at(at + 1) == CharClass::kLetter)) {
      at = piece.after_run(at + 1, CharClass::kLetter);
      continue;
    }
    const std::uint32_t body = at + (piece.ascii_at(at) == ' ' ? 1U : 0U);
    if (is_mark(piece.class_at(body))) {
      at = after_marks(piece, body);
      while (piece.is_line_break(at)) ++at;
      continue;
    }
    const std::uint32_t end = piece.after_run(at, CharClass::kSpace);
    std::uint32_t after_break = end;
    while (after_break > at && !piece.is_line_break(after_break - 1)) --after_break;
    at = after_break > at ? after_break : after_space(piece, at);
  }
}

// Cuts out every run of characters that `matches`, each run in parts of at most `size_max`; what
// lies between stays whole.
template <typename Matches>
void isolate(const Piece& piece, std::uint32_t size_max, Matches matches, Ends& ends) {
  for (std::uint32_t at = piece.begin(); at < piece.end(); ends.push_back(at)) {
    if (matches(at)) {
      const std::uint32_t begin = at;
      while (at < piece.end() && at - begin < size_max && matches(at)) ++at;
    } else {
      while (at < piece.end() && !matches(at)) ++at;
    }
  }
}

// [0-9][0-9][0-9]: only whole triples are cut out; what is left of a run of digits stays with what
// follows it.
void isolate_digit_triples(const Piece& piece, Ends& ends) {
  const auto is_triple = [&](std::uint32_t at) {
    for (std::uint32_t i = at; i < at + 3; ++i) {
      if (piece.ascii_at(i) < '0' || piece.ascii_at(i) > '9') return false;
    }
    return true;
  };
  for (std::uint32_t at = piece.begin(); at < piece.end(); ends.push_back(at)) {
    if (is_triple(at)) {
      at += 3;
    } else {
      while (at < piece.end() && !is_triple(at)) ++at;
    }
  }
}

// The stages by splitting. Each appends the ends of one piece.
enum class Stage { kGpt2, kLlama3, kQwen2, kSingleNumbers, kNumbers, kDigitTriples, kMarks };

std::span<const Stage> stages_of(Splitting splitting) {
  static constexpr Stage kGpt2Stages[] = {Stage::kGpt2};
  static constexpr Stage kDefaultStages[] = {Stage::kMarks, Stage::kGpt2, Stage::kNumbers,
                                             Stage::kDigitTriples};
  static constexpr Stage kSmollmStages[] = {Stage::kSingleNumbers, Stage::kGpt2};
  static constexpr Stage kLlama3Stages[] = {Stage::kLlama3};
  static constexpr Stage kQwen2Stages[] = {Stage::kQwen2};
  switch (splitting) {
    case Splitting::kGpt2:
      return kGpt2Stages;
    case Splitting::kDefault:
      return kDefaultStages;
    case Splitting::kSmollm:
      return kSmollmStages;
    case Splitting::kLlama3:
      return kLlama3Stages;
    case Splitting::kQwen2:
      return kQwen2Stages;
  }
  return {};
}

void run_stage(Stage stage, const Piece& piece, Ends& ends) {
  constexpr std::uint32_t kUnbounded = UINT32_MAX;
  const auto is_number = [&](std::uint32_t at) { return piece.class_at(at) == CharClass::kNumber; };
  const auto is_default_mark = [&](std::uint32_t at) {
    static constexpr std::string_view kSymbols = "$+<=>^~|";
    return piece.class_at(at) == CharClass::kPunctuation ||
           (at < piece.end() &&
            kSymbols.find(static_cast<char>(piece.ascii_at(at))) != std::string_view::npos);
  };
  switch (stage) {
    case Stage::kGpt2:
      return split_gpt2(piece, ends);
    case Stage::kLlama3:
      return split_llama3(piece, 3, ends);
    case Stage::kQwen2:
      return split_llama3(piece, 1, ends);
    case Stage::kSingleNumbers:
      return isolate(piece, 1, is_number, ends);
    case Stage::kNumbers:
      return isolate(piece, kUnbounded, is_number, ends);
    case Stage::kDigitTriples:
      return isolate_digit_triples(piece, ends);
    case Stage::kMarks:
      return isolate(piece, kUnbounded, is_default_mark, ends);
  }
}

}  // namespace

Result<PreTokenizer> find_pre_tokenizer(std::string_view name) {
  std::string known;
  for (const NamedPreTokenizer& row : kPreTokenizers) {
    if (row.name == name) return row.value;
    if (row.name.empty()) continue;
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  return unsupported("the pre-tokenizer \"" + std::string(name) + "\" is not supported",
                     "supported are " + known);
}

std::vector<std::size_t> split_words(Splitting splitting, std::string_view text) {
  const Characters characters = characters_of(text);
  Ends ends;
  if (!text.empty()) ends.push_back(static_cast<std::uint32_t>(characters.classes.size()));
  Ends next;
  for (const Stage stage : stages_of(splitting)) {
    next.clear();
    std::uint32_t begin = 0;
    for (const std::uint32_t end : ends) {
      run_stage(stage, Piece(characters, begin, end), next);
      begin = end;
    }
    ends.swap(next);
  }
  std::vector<std::size_t> byte_ends;
  byte_ends.reserve(ends.size());
  for (const std::uint32_t end : ends) byte_ends.push_back(characters.offsets[end]);
  return byte_ends;
}

}  // namespace paring::text
