// SPDX-License-Identifier: Apache-2.0
// Documents cut into passages, and the search for those that answer a question (BM25). Immutable
// once built; thread-safe.
//
//   PARING_TRY(const Passages passages, Passages::open("docs/"));
//   for (const Passages::Hit& hit : passages.search("Who wrote Faust?", 5)) ...
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::advise {

inline constexpr std::size_t kDocumentBytesMax = std::size_t{64} << 20;  // of one file
inline constexpr std::size_t kDocumentFilesMax = 100'000;
inline constexpr std::size_t kPassagesMax = 1'000'000;
// Longer paragraphs are cut, shorter ones are joined as long as they fit.
inline constexpr std::size_t kPassageWordsMax = 250;

struct Passage {
  std::string document;  // its file, with the line or the "id" of a record
  std::string text;
};

class Passages {
 public:
  struct Hit {
    std::size_t passage;
    double score;
  };
  Passages() = default;
  explicit Passages(std::vector<Passage> passages);
  // A file of text, a file of JSON lines (strings, or objects with "text" and perhaps "id"), or a
  // folder of both (.txt, .md, .jsonl; sub-folders too). InvalidArgument names the file and line.
  static Result<Passages> open(const std::string& path);

  std::size_t size() const { return passages_.size(); }
  const Passage& at(std::size_t index) const { return passages_[index]; }
  // Those with a word of the query, best first; of equal ones the first. At most `count`.
  std::vector<Hit> search(std::string_view query, std::size_t count) const;
  // Place of a passage in search(query), from 1; 0: it shares no word with the query.
  std::size_t rank(std::string_view query, std::size_t passage) const;

 private:
  struct Posting {
    std::size_t passage;
    std::size_t times;
  };
  std::vector<Passage> passages_;
  std::vector<std::size_t> lengths_;  // words of each
  double mean_length_ = 0;
  std::map<std::string, std::vector<Posting>, std::less<>> index_;
};

// Text in passages of up to kPassageWordsMax words, at blank lines where they are.
std::vector<std::string> cut_passages(std::string_view text);

}  // namespace paring::advise
