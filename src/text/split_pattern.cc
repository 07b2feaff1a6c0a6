// SPDX-License-Identifier: Apache-2.0
// Pattern to instructions (Thompson), then to a table by subsets of instructions that keep their
// order of preference (as in RE2): what comes behind a match in that order can no longer win.
// Looking ahead is part of a step: the step on a character first decides what holds in front of it.
#include "text/split_pattern.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "text/split_pattern_parse.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

using detail::CharSet;
using detail::Node;

struct Instruction {
  enum class Kind : std::uint8_t { kSet, kFork, kAhead, kMatch };
  Kind kind = Kind::kMatch;
  bool is_negative = false;  // kAhead
  std::uint32_t set = 0;     // kSet, kAhead
  std::uint32_t next = 0;
  std::uint32_t other = 0;  // kFork: tried after `next`
};

Error too_large(const char* what, std::size_t limit) {
  return unsupported(std::string("a pattern of a pre-tokenizer needs more than ") +
                     std::to_string(limit) + " " + what);
}

}  // namespace

class PatternCompiler {
 public:
  explicit PatternCompiler(SplitPatternOptions options) : options_(options) {}

  Result<SplitPattern> run(std::string_view regex) {
    PARING_TRY(const Node root, detail::parse_split_pattern(regex, sets_));
    program_.push_back({});  // the match is instruction 0
    PARING_TRY(const std::uint32_t start, emit(root, 0));
    PARING_TRY_VOID(make_alphabet());
    PARING_TRY_VOID(make_table(start));
    return std::move(pattern_);
  }

 private:
  // Instructions are made from behind: each knows what follows it.
  Result<std::uint32_t> add(Instruction instruction) {
    if (program_.size() == SplitPattern::kInstructionsMax) {
      return too_large("instructions", SplitPattern::kInstructionsMax);
    }
    program_.push_back(instruction);
    return static_cast<std::uint32_t>(program_.size() - 1);
  }

  Result<std::uint32_t> emit(const Node& node, std::uint32_t next) {
    switch (node.kind) {
      case Node::Kind::kSet:
        return add({Instruction::Kind::kSet, false, node.set, next, 0});
      case Node::Kind::kAhead:
        return add({Instruction::Kind::kAhead, node.is_negative, node.set, next, 0});
      case Node::Kind::kSequence:
        for (auto part = node.children.rbegin(); part != node.children.rend(); ++part) {
          PARING_TRY(next, emit(*part, next));
        }
        return next;
      case Node::Kind::kChoice: {
        PARING_TRY(std::uint32_t rest, emit(node.children.back(), next));
        for (std::size_t i = node.children.size() - 1; i-- > 0;) {
          PARING_TRY(const std::uint32_t branch, emit(node.children[i], next));
          PARING_TRY(rest, add({Instruction::Kind::kFork, false, 0, branch, rest}));
        }
        return rest;
      }
      case Node::Kind::kRepeat:
        break;
    }
    return emit_repeat(node, next);
  }

  Result<std::uint32_t> emit_repeat(const Node& node, std::uint32_t next) {
    const Node& body = node.children.front();
    if (node.most == Node::kUnbounded) {
      PARING_TRY(const std::uint32_t fork, add({Instruction::Kind::kFork, false, 0, 0, next}));
      PARING_TRY(program_[fork].next, emit(body, fork));
      next = fork;
    } else {
      const std::uint32_t end = next;
      for (std::uint32_t i = node.least; i < node.most; ++i) {
        PARING_TRY(const std::uint32_t one, emit(body, next));
        PARING_TRY(next, add({Instruction::Kind::kFork, false, 0, one, end}));
      }
    }
    for (std::uint32_t i = 0; i < node.least; ++i) {
      PARING_TRY(next, emit(body, next));
    }
    return next;
  }

  // Characters that no set tells apart are one symbol.
  Result<void> make_alphabet() {
    std::map<std::vector<bool>, std::uint32_t> symbols;
    const auto symbol_of = [&](char32_t c, CharCategory category) {
      std::vector<bool> in;
      in.reserve(sets_.size());
      for (const CharSet& set : sets_) in.push_back(set.holds(c, category, options_));
      const auto next = static_cast<std::uint32_t>(symbols.size());
      const auto [found, is_new] = symbols.emplace(std::move(in), next);
      if (is_new) members_.push_back(found->first);
      return found->second;
    };
    for (char32_t c = 0; c < 128; ++c) {
      pattern_.ascii_[c] = static_cast<std::uint8_t>(symbol_of(c, char_category(c)));
    }
    pattern_.interval_begins_ = {128};
    for (const CharSet& set : sets_) set.add_bounds(pattern_.interval_begins_);
    auto& begins = pattern_.interval_begins_;
    std::sort(begins.begin(), begins.end());
    begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
    for (const char32_t begin : begins) {
      for (std::uint32_t category = 0; category < kCharCategories; ++category) {
        const std::uint32_t symbol = symbol_of(begin, static_cast<CharCategory>(category));
        if (symbol > UINT8_MAX) return too_large("kinds of characters", UINT8_MAX);
        pattern_.symbols_.push_back(static_cast<std::uint8_t>(symbol));
      }
    }
    pattern_.symbol_count_ = static_cast<std::uint32_t>(symbols.size()) + 1;
    members_.emplace_back(sets_.size(), false);  // the end lies in no set
    return {};
  }

  using Threads = std::vector<std::uint32_t>;  // instructions, best first

  Result<void> make_table(std::uint32_t start) {
    std::map<Threads, std::uint32_t> ids = {{{}, SplitPattern::kDead}, {{start}, 1}};
    std::vector<Threads> states = {{}, {start}};
    for (std::size_t state = 0; state < states.size(); ++state) {
      for (std::uint32_t symbol = 0; symbol < pattern_.symbol_count_; ++symbol) {
        Threads next;
        const bool is_matched = step(states[state], symbol, next);
        const auto [found, is_new] = ids.emplace(next, static_cast<std::uint32_t>(states.size()));
        if (is_new) {
          if (states.size() == SplitPattern::kStatesMax) {
            return too_large("states", SplitPattern::kStatesMax);
          }
          states.push_back(next);
        }
        pattern_.table_.push_back(found->second | (is_matched ? SplitPattern::kMatched : 0));
      }
    }
    return {};
  }

  // The threads behind `symbol`. True when a match ends in front of it: worse threads are dropped.
  bool step(const Threads& threads, std::uint32_t symbol, Threads& next) {
    visited_.assign(program_.size(), false);
    taken_.assign(program_.size(), false);
    std::vector<std::uint32_t> stack;
    for (const std::uint32_t thread : threads) {
      stack.assign({thread});
      while (!stack.empty()) {
        const std::uint32_t at = stack.back();
        stack.pop_back();
        if (visited_[at]) continue;
        visited_[at] = true;
        const Instruction& instruction = program_[at];
        const bool is_in = instruction.kind != Instruction::Kind::kMatch &&
                           instruction.kind != Instruction::Kind::kFork &&
                           members_[symbol][instruction.set];
        switch (instruction.kind) {
          case Instruction::Kind::kMatch:
            return true;
          case Instruction::Kind::kFork:
            stack.push_back(instruction.other);
            stack.push_back(instruction.next);
            break;
          case Instruction::Kind::kAhead:
            if (is_in != instruction.is_negative) stack.push_back(instruction.next);
            break;
          case Instruction::Kind::kSet:
            if (is_in && !taken_[instruction.next]) {
              taken_[instruction.next] = true;
              next.push_back(instruction.next);
            }
            break;
        }
      }
    }
    return false;
  }

  SplitPatternOptions options_;
  std::vector<CharSet> sets_;
  std::vector<Instruction> program_;
  std::vector<std::vector<bool>> members_;  // [symbol][set]
  std::vector<bool> visited_, taken_;
  SplitPattern pattern_;
};

Result<SplitPattern> SplitPattern::compile(std::string_view regex, SplitPatternOptions options) {
  if (regex.size() > kPatternBytesMax) return too_large("bytes", kPatternBytesMax);
  return PatternCompiler(options).run(regex);
}

std::uint32_t SplitPattern::symbol_of(char32_t code_point) const noexcept {
  std::size_t interval = 0;
  if (interval_begins_.size() > 1) {
    const auto behind =
        std::upper_bound(interval_begins_.begin(), interval_begins_.end(), code_point);
    interval = static_cast<std::size_t>(behind - interval_begins_.begin()) - 1;
  }
  return symbols_[interval * kCharCategories + static_cast<std::size_t>(char_category(code_point))];
}

std::size_t SplitPattern::match_end(std::string_view text, std::size_t at) const noexcept {
  std::size_t best = at;
  std::uint32_t state = 1;
  while (true) {
    std::uint32_t symbol = symbol_count_ - 1;
    std::size_t size = 0;
    if (at < text.size()) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 128) {
        symbol = ascii_[byte];
        size = 1;
      } else {
        const Utf8Step step = utf8_step(text, at);
        symbol = symbol_of(step.code_point);
        size = step.size;
      }
    }
    const std::uint32_t entry = table_[state * symbol_count_ + symbol];
    if ((entry & kMatched) != 0) best = at;
    state = entry & ~kMatched;
    if (state == kDead || size == 0) return best;
    at += size;
  }
}

}  // namespace paring::text
