// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#include <utility>

#include "text/pre_tokenizer_table.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

using Ends = std::vector<std::size_t>;

// Every match is a piece; so is what lies between two, or around them.
void cut_matches(const SplitPattern& pattern, std::string_view text, std::size_t at, Ends& ends) {
  std::size_t begin = at;
  while (at < text.size()) {
    const std::size_t end = pattern.match_end(text, at);
    if (end == at) {
      at += utf8_step(text, at).size;
      continue;
    }
    if (at > begin) ends.push_back(at);
    ends.push_back(end);
    begin = at = end;
  }
  if (at > begin) ends.push_back(at);
}

bool is_space(std::string_view text, std::size_t at) {
  return char_category(utf8_step(text, at).code_point) == CharCategory::kWhiteSpace;
}

void cut_trailing_space(std::string_view text, std::size_t at, Ends& ends) {
  std::size_t behind_last = at;  // the last character that is no white space
  for (const std::size_t begin = at; at < text.size();) {
    const std::size_t size = utf8_step(text, at).size;
    if (!is_space(text, at)) behind_last = at + size;
    at += size;
    if (at == text.size() && behind_last > begin && behind_last < at) ends.push_back(behind_last);
  }
  ends.push_back(text.size());
}

// The beginnings of the numbers of the run at `at`, and where it ends.
Ends number_run(std::string_view text, std::size_t at, bool is_ascii) {
  Ends begins;
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text, at);
    const bool is_number = is_ascii ? step.code_point >= '0' && step.code_point <= '9'
                                    : char_class(step.code_point) == CharClass::kNumber;
    if (!is_number) break;
    begins.push_back(at);
    at += step.size;
  }
  begins.push_back(at);
  return begins;
}

void cut_triples(std::string_view text, std::size_t at, bool is_ascii, Ends& ends) {
  const std::size_t begin = at;
  while (at < text.size()) {
    const Ends run = number_run(text, at, is_ascii);
    const std::size_t count = run.size() - 1;
    if (count == 0) {
      at += utf8_step(text, at).size;
      continue;
    }
    // In front of a whole group, or behind one.
    const std::size_t from = is_ascii ? 0 : 1;
    const std::size_t to = is_ascii ? count - 1 : count;
    for (std::size_t i = from; i <= to; ++i) {
      if ((count - i) % 3 == 0 && run[i] > begin) ends.push_back(run[i]);
    }
    at = run.back();
  }
  if (ends.empty() || ends.back() != text.size()) ends.push_back(text.size());
}

}  // namespace

Result<Splitter> Splitter::create(std::span<const SplitStage> stages, SplitPatternOptions options) {
  Splitter splitter;
  for (const SplitStage& stage : stages) {
    Stage made{stage.kind, {}};
    if (stage.kind == SplitStage::Kind::kPattern) {
      PARING_TRY(made.pattern, SplitPattern::compile(stage.pattern, options));
    }
    splitter.stages_.push_back(std::move(made));
  }
  return splitter;
}

Result<Splitter> Splitter::create(std::string_view pre_tokenizer) {
  PARING_TRY(const PreTokenizer known, find_pre_tokenizer(pre_tokenizer));
  return create(stages_of_family(known.family), {.ranges_hold_spaces = false});
}

std::vector<std::size_t> Splitter::split(std::string_view text) const {
  Ends ends;
  if (text.empty()) return ends;
  ends.push_back(text.size());
  Ends next;
  for (const Stage& stage : stages_) {
    next.clear();
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      const std::string_view piece = text.substr(0, end);
      switch (stage.kind) {
        case SplitStage::Kind::kPattern:
          cut_matches(stage.pattern, piece, begin, next);
          break;
        case SplitStage::Kind::kTrailingSpace:
          cut_trailing_space(piece, begin, next);
          break;
        case SplitStage::Kind::kAsciiTriples:
          cut_triples(piece, begin, true, next);
          break;
        case SplitStage::Kind::kNumberTriples:
          cut_triples(piece, begin, false, next);
          break;
      }
      begin = end;
    }
    ends.swap(next);
  }
  return ends;
}

}  // namespace paring::text
