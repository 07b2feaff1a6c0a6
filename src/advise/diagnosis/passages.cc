// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/passages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "advise/diagnosis/words.h"
#include "base/file.h"

namespace paring::advise {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr double kSaturation = 1.2;  // BM25's k1 and b, as most search engines have them
constexpr double kLengthWeight = 0.75;

Result<void> add_passages(const std::string& name, std::string_view text,
                          std::vector<Passage>& passages) {
  for (std::string& cut : cut_passages(text)) passages.push_back({name, std::move(cut)});
  if (passages.size() <= kPassagesMax) return {};
  return exhausted(fmt::format("{}: more than {} passages", name, kPassagesMax),
                   "give fewer documents");
}

Result<void> add_lines(const std::string& path, std::string_view text,
                       std::vector<Passage>& passages) {
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const std::string place = fmt::format("{}:{}", path, ++number);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_string()) {
      PARING_TRY_VOID(add_passages(place, json.get_ref<const std::string&>(), passages));
      continue;
    }
    const auto body = json.is_object() ? json.find("text") : json.end();
    if (!json.is_object() || body == json.end() || !body->is_string()) {
      return invalid_argument(place + ": not a document",
                              "each line is a JSON string, or an object with a string \"text\"");
    }
    const auto id = json.find("id");
    const bool has_id = id != json.end() && id->is_string();
    PARING_TRY_VOID(add_passages(has_id ? id->get<std::string>() : place,
                                 body->get_ref<const std::string&>(), passages));
  }
  return {};
}

Result<void> add_file(const std::string& path, std::vector<Passage>& passages) {
  PARING_TRY(const std::string text, read_small_file(path, kDocumentBytesMax));
  if (fs::path(path).extension() == ".jsonl") return add_lines(path, text, passages);
  return add_passages(path, text, passages);
}

}  // namespace

std::vector<std::string> cut_passages(std::string_view text) {
  std::vector<std::string> passages;
  std::string passage;
  std::size_t words = 0;
  const auto end_passage = [&] {
    if (words > 0) passages.push_back(std::move(passage));
    passage.clear();
    words = 0;
  };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = std::min(text.find("\n\n", at), text.size());
    std::string_view paragraph = text.substr(at, end - at);
    at = text.find_first_not_of('\n', end);
    if (at == std::string_view::npos) at = text.size();
    // The paragraph in pieces of at most kPassageWordsMax words, blanks between them kept.
    while (!paragraph.empty()) {
      std::size_t count = 0, cut = 0;
      while (cut < paragraph.size() && count < kPassageWordsMax) {
        cut = paragraph.find_first_not_of(" \t\r\n", cut);
        if (cut == std::string_view::npos) break;
        cut = std::min(paragraph.find_first_of(" \t\r\n", cut), paragraph.size());
        ++count;
      }
      cut = std::min(cut, paragraph.size());
      if (words + count > kPassageWordsMax) end_passage();
      if (!passage.empty()) passage += "\n\n";
      passage += paragraph.substr(0, cut);
      words += count;
      paragraph.remove_prefix(cut);
      const std::size_t next = paragraph.find_first_not_of(" \t\r\n");
      paragraph.remove_prefix(std::min(next, paragraph.size()));
    }
  }
  end_passage();
  return passages;
}

Passages::Passages(std::vector<Passage> passages) : passages_(std::move(passages)) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < passages_.size(); ++i) {
    std::map<std::string, std::size_t> times;
    const std::vector<std::string> words = words_of(passages_[i].text);
    for (const std::string& word : words) ++times[word];
    for (const auto& [word, count] : times) index_[word].push_back({i, count});
    lengths_.push_back(words.size());
    total += words.size();
  }
  if (!passages_.empty()) {
    mean_length_ = static_cast<double>(total) / static_cast<double>(passages_.size());
  }
}

Result<Passages> Passages::open(const std::string& path) {
  std::error_code failed;
  std::vector<Passage> passages;
  if (!fs::is_directory(path, failed)) {
    PARING_TRY_VOID(add_file(path, passages));
  } else {
    std::vector<std::string> files;
    fs::recursive_directory_iterator it(path, failed);
    for (; !failed && it != fs::recursive_directory_iterator(); it.increment(failed)) {
      const fs::path kind = it->path().extension();
      if (kind != ".txt" && kind != ".md" && kind != ".jsonl") continue;
      files.push_back(it->path().string());
      if (files.size() > kDocumentFilesMax) {
        return exhausted(fmt::format("{}: more than {} documents", path, kDocumentFilesMax),
                         "give a smaller folder");
      }
    }
    if (failed) return io_error(fmt::format("cannot read {}: {}", path, failed.message()));
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) PARING_TRY_VOID(add_file(file, passages));
  }
  if (passages.empty()) {
    return invalid_argument(fmt::format("{} holds no text", path),
                            "give a folder with .txt, .md or .jsonl files, or such a file");
  }
  return Passages(std::move(passages));
}

std::vector<Passages::Hit> Passages::search(std::string_view query, std::size_t count) const {
  const std::vector<std::string> words = words_of(query);
  std::map<std::size_t, double> scores;
  const auto total = static_cast<double>(passages_.size());
  for (const std::string& word : std::set<std::string>(words.begin(), words.end())) {
    const auto found = index_.find(word);
    if (found == index_.end()) continue;
    const auto holders = static_cast<double>(found->second.size());
    const double weight = std::log(1 + (total - holders + 0.5) / (holders + 0.5));
    for (const Posting& posting : found->second) {
      const auto times = static_cast<double>(posting.times);
      const double length = static_cast<double>(lengths_[posting.passage]) / mean_length_;
      scores[posting.passage] +=
          weight * times * (kSaturation + 1) /
          (times + kSaturation * (1 - kLengthWeight + kLengthWeight * length));
    }
  }
  std::vector<Hit> hits;
  for (const auto& [passage, score] : scores) hits.push_back({passage, score});
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return a.score > b.score; });
  if (hits.size() > count) hits.resize(count);
  return hits;
}

std::size_t Passages::rank(std::string_view query, std::size_t passage) const {
  const std::vector<Hit> hits = search(query, passages_.size());
  const auto found = std::find_if(hits.begin(), hits.end(),
                                  [&](const Hit& hit) { return hit.passage == passage; });
  return found == hits.end() ? 0 : static_cast<std::size_t>(found - hits.begin()) + 1;
}

}  // namespace paring::advise
