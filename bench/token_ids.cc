// SPDX-License-Identifier: Apache-2.0
// Token ids of lines, for comparisons with other tokenizers (bench/token_compare.py), and how fast
// they are made.
//
//   paring_token_ids MODEL          MODEL is a GGUF file or a tokenizer.json. Reads one JSON object
//                                   {"text": ..., "parse": BOOL} a line, writes its ids a line.
//   paring_token_ids MODEL --export writes a tokenizer.json of a GGUF file's vocabulary.
//   paring_token_ids --pre-tokenizers lists the names of tokenizer.ggml.pre that are known.
//   paring_token_ids MODEL --time   encodes standard input as one text, for 2 seconds at least;
//                                   writes MB/s of the fastest round.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/loaded_model.h"
#include "io/gguf.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_json.h"

namespace paring {
namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "token_ids: %s\n", why.c_str());
  std::exit(1);
}

template <typename T>
T checked(Result<T> result) {
  if (!result.has_value()) fail(result.error().text());
  return std::move(result).value();
}

text::TokenizerSpec spec_of(const std::string& path) {
  return checked(engine::read_tokenizer_spec(checked(io::GgufFile::open(path)).metadata()));
}

std::shared_ptr<const text::Tokenizer> open(const std::string& path) {
  if (!path.ends_with(".json")) return checked(text::Tokenizer::create(spec_of(path)));
  std::ifstream file(path, std::ios::binary);
  const std::string json((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return checked(text::Tokenizer::create_from_json(json, {}));
}

std::string read_input() {
  std::string text;
  char block[1 << 16];
  while (const std::size_t count = std::fread(block, 1, sizeof block, stdin)) {
    text.append(block, count);
  }
  return text;
}

void print_ids(const text::Tokenizer& tokenizer, const std::string& input) {
  for (std::size_t begin = 0; begin < input.size();) {
    const std::size_t end = std::min(input.find('\n', begin), input.size());
    const auto line = nlohmann::json::parse(input.substr(begin, end - begin));
    const auto ids = checked(tokenizer.encode(line.at("text").get<std::string>(),
                                              {.parse_special = line.at("parse").get<bool>()}));
    std::printf("%s\n", nlohmann::json(ids).dump().c_str());
    begin = end + 1;
  }
}

void print_speed(const text::Tokenizer& tokenizer, const std::string& input) {
  constexpr double kSeconds = 2.0;
  double best = 1e30;
  double sum = 0;
  while (sum < kSeconds) {
    const auto begin = std::chrono::steady_clock::now();
    checked(tokenizer.encode(input, {}));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count());
    sum += took.count();
  }
  std::printf("%.3f\n", static_cast<double>(input.size()) / best * 1e-6);
}

int run(int count, char** arguments) {
  if (count < 2 || count > 3)
    fail("usage: paring_token_ids MODEL [--export | --time], or --pre-tokenizers");
  const std::string mode = count == 3 ? arguments[2] : "";
  if (std::string(arguments[1]) == "--pre-tokenizers") {
    for (const auto name : text::pre_tokenizer_names()) {
      std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    }
  } else if (mode == "--export") {
    std::printf("%s", checked(text::tokenizer_json_of(spec_of(arguments[1]))).c_str());
  } else if (mode == "--time") {
    print_speed(*open(arguments[1]), read_input());
  } else if (mode.empty()) {
    print_ids(*open(arguments[1]), read_input());
  } else {
    fail("unknown option " + mode);
  }
  return 0;
}

}  // namespace
}  // namespace paring

int main(int count, char** arguments) { return paring::run(count, arguments); }
