// SPDX-License-Identifier: Apache-2.0
// Token ids of lines, for comparisons with other tokenizers (bench/token_compare.py), and how fast
// they are made.
//
//   paring_token_ids MODEL          MODEL is a GGUF file or a tokenizer.json. Reads one JSON object
//                                   {"text": ..., "parse": BOOL} a line, writes its ids a line.
//   paring_token_ids MODEL --export writes a tokenizer.json of a GGUF file's vocabulary.
//   paring_token_ids --pre-tokenizers lists the names of tokenizer.ggml.pre that are known.
//   paring_token_ids MODEL --gguf OUT.gguf  writes what a GGUF file says of a tokenizer.json.
//   paring_token_ids MODEL --time   encodes the texts of standard input, which zero bytes separate,
//                                   again and again for 2 seconds; writes MB/s of the fastest
//                                   round.
//   paring_token_ids MODEL --load   makes the tokenizer five times; writes the median in ms of
//                                   reading the file, of taking what it says, of the tokenizer.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/tokenizer_metadata.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
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

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::shared_ptr<const text::Tokenizer> open(const std::string& path) {
  if (!path.ends_with(".json")) return checked(text::Tokenizer::create(spec_of(path)));
  return checked(text::Tokenizer::create_from_json(read_file(path), {}));
}

void write_gguf(const std::string& json_path, const std::string& out) {
  io::Metadata metadata;
  metadata.set("general.architecture", io::GgufValue::of_string("llama"));
  engine::put_tokenizer(checked(text::spec_of_tokenizer_json(read_file(json_path), {})), metadata);
  auto writer = checked(io::GgufWriter::create(out, io::Overwrite::kReplace));
  writer.set_metadata(std::move(metadata));
  const auto done = writer.begin();
  if (!done) fail(done.error().text());
  const auto committed = writer.commit();
  if (!committed) fail(committed.error().text());
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

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print_speed(const text::Tokenizer& tokenizer, const std::string& input) {
  constexpr double kSeconds = 2.0;
  double best = 1e30;
  for (double sum = 0; sum < kSeconds;) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t at = 0; at < input.size();) {
      const std::size_t end = std::min(input.find('\0', at), input.size());
      checked(tokenizer.encode(std::string_view(input).substr(at, end - at), {}));
      at = end + 1;
    }
    const double took = seconds_since(begin);
    best = std::min(best, took);
    sum += took;
  }
  std::printf("%.3f\n", static_cast<double>(input.size()) / best * 1e-6);
}

void print_load_time(const std::string& path) {
  constexpr std::size_t kRounds = 5;
  std::array<std::vector<double>, 3> ms;
  for (std::size_t round = 0; round < kRounds; ++round) {
    auto begin = std::chrono::steady_clock::now();
    const auto lap = [&](std::size_t step) {
      ms[step].push_back(seconds_since(begin) * 1e3);
      begin = std::chrono::steady_clock::now();
    };
    if (path.ends_with(".json")) {
      const std::string json = read_file(path);
      lap(0);
      lap(1);
      checked(text::Tokenizer::create_from_json(json, {}));
    } else {
      const io::GgufFile file = checked(io::GgufFile::open(path));
      lap(0);
      const text::TokenizerSpec spec = checked(engine::read_tokenizer_spec(file.metadata()));
      lap(1);
      checked(text::Tokenizer::create(spec));
    }
    lap(2);
  }
  for (auto& step : ms) std::sort(step.begin(), step.end());
  std::printf("%.1f %.1f %.1f\n", ms[0][kRounds / 2], ms[1][kRounds / 2], ms[2][kRounds / 2]);
}

int run(int count, char** arguments) {
  const std::string mode = count > 2 ? arguments[2] : "";
  if (count < 2 || count > 4 || (count == 4) != (mode == "--gguf"))
    fail(
        "usage: paring_token_ids MODEL [--export | --gguf OUT | --time | --load], or "
        "--pre-tokenizers");
  if (std::string(arguments[1]) == "--pre-tokenizers") {
    for (const auto name : text::pre_tokenizer_names()) {
      std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    }
  } else if (mode == "--export") {
    std::printf("%s", checked(text::tokenizer_json_of(spec_of(arguments[1]))).c_str());
  } else if (mode == "--gguf") {
    write_gguf(arguments[1], arguments[3]);
  } else if (mode == "--load") {
    print_load_time(arguments[1]);
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
