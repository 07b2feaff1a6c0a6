// SPDX-License-Identifier: Apache-2.0
// Text cut into windows for perplexity and divergence, and the rows of each window that are scored.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace paring::measure {

// Figures of different protocols cannot be compared: each figure names the one it was taken by.
enum class Protocol : std::uint8_t {
  // As llama-perplexity does it: the text is tokenized once (with BOS when the model asks for one)
  // and cut into windows, the remainder dropped; a window's first token is replaced by BOS when the
  // model asks for one; the second half of each window is scored: rows context/2 .. context-2
  // predict the token after them. 512 tokens a window unless said otherwise.
  kLlamaCpp,
  // As the papers on quantization do it since GPTQ (its datautils.py, WikiText-2): the lines of
  // the text are joined with blank lines between them, see join_rows(); tokenized once, windows
  // follow each other without change; every token but a window's first is scored. 2,048 tokens a
  // window unless said otherwise.
  kPapers,
};
// "llama.cpp", "papers".
const char* protocol_name(Protocol protocol) noexcept;
// What is scored and how the text is joined, in words.
const char* protocol_description(Protocol protocol) noexcept;
constexpr std::size_t default_context(Protocol protocol) noexcept {
  return protocol == Protocol::kPapers ? 2048 : 512;
}

// The text as the papers' scripts see it: Hugging Face's `datasets` makes a row of each line, with
// its newline, and an empty row of a blank one; the rows are joined with "\n\n".
std::string join_rows(std::string_view text);

struct Windows {
  Protocol protocol = Protocol::kLlamaCpp;
  std::string name;    // what the text is, for reports
  std::string sha256;  // of the text
  std::size_t context = 512;
  std::vector<std::vector<std::int32_t>> windows;  // each of `context` tokens

  // What the model reads of a window: all but its last token, which is only predicted. The scored
  // rows are the last scored_rows() of it.
  std::span<const std::int32_t> input(std::size_t window) const {
    return std::span(windows[window]).first(context - 1);
  }
  // The token that scored row `row` of a window predicts.
  std::int32_t next_token(std::size_t window, std::size_t row) const {
    return windows[window][first_scored() + row + 1];
  }
  std::size_t first_scored() const { return protocol == Protocol::kPapers ? 0 : context / 2; }
  std::size_t scored_rows() const { return context - 1 - first_scored(); }
  std::size_t scored_tokens() const { return windows.size() * scored_rows(); }
  // Windows [first, first + count) alone.
  Windows part(std::size_t first, std::size_t count) const;
};

struct WindowOptions {
  Protocol protocol = Protocol::kLlamaCpp;
  std::size_t context = 512;    // tokens a window, >= 4; even for kLlamaCpp
  std::size_t windows_max = 0;  // 0: all
  std::size_t skip = 0;         // windows left out at the start
  std::size_t stride = 1;       // every stride-th window is taken (after skip)
};

// InvalidArgument when the text does not fill a single window.
Result<Windows> cut_windows(const text::Tokenizer& tokenizer, bool add_bos, std::string name,
                            std::string_view content, const WindowOptions& options);

}  // namespace paring::measure
