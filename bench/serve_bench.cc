// SPDX-License-Identifier: Apache-2.0
// What JSON costs the server: reading the body of a request, and writing one piece of an answer.
// One thread; times are of the wire alone, without sockets, tokens or a model.
//
//   paring_serve_bench --benchmark_min_time=0.5
#include <benchmark/benchmark.h>

#include <string>
#include <utility>

#include "serve/wire/anthropic_messages.h"
#include "serve/wire/ollama.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/openai_completions.h"
#include "serve/wire/openai_responses.h"

namespace paring::serve::wire {
namespace {

using Reader = ApiResult<GenerateCall> (*)(std::string_view, const WireRules&);

struct Case {
  const char* name;
  Reader read;
  const char* body;
};

constexpr Case kCases[] = {
    {"openai_chat", read_openai_chat,
     R"({"model":"m","messages":[{"role":"system","content":"You are helpful."},)"
     R"({"role":"user","content":"Name three rivers of Europe and say where they end."}],)"
     R"("temperature":0.7,"max_tokens":128,"stream":true,)"
     R"("stream_options":{"include_usage":true}})"},
    {"openai_completions", read_openai_completions,
     R"({"model":"m","prompt":"The rivers of Europe","max_tokens":128,"stream":true})"},
    {"openai_responses", read_openai_responses,
     R"({"model":"m","input":"Name three rivers of Europe.","stream":true})"},
    {"anthropic_messages", read_anthropic_messages,
     R"({"model":"m","max_tokens":128,"stream":true,"messages":[{"role":"user","content":)"
     R"("Name three rivers of Europe."}]})"},
    {"ollama_chat", read_ollama_chat,
     R"({"model":"m","messages":[{"role":"user","content":"Name three rivers of Europe."}]})"},
};

void read_body(benchmark::State& state, const Case& of) {
  const std::string body = of.body;
  for (auto _ : state) {
    auto call = of.read(body, {});
    if (!call) return state.SkipWithError(call.error().message.c_str());
    benchmark::DoNotOptimize(call);
  }
}

// One token's text in an answer that has begun.
void write_piece(benchmark::State& state, const Case& of) {
  auto call = of.read(of.body, {});
  if (!call) return state.SkipWithError(call.error().message.c_str());
  const AnswerLabel label{"0123456789abcdef", "SmolLM2-135M-Instruct.Q4_1", std::string(64, 'a'),
                          1763799000};
  const auto writer = call->writer(label);
  writer->begin(1);
  AnswerDelta delta;
  delta.content = " \"river\"";
  std::size_t bytes = 0;
  for (auto _ : state) {
    const std::string chunk = writer->delta(0, delta);
    bytes = chunk.size();
    benchmark::DoNotOptimize(chunk);
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}

}  // namespace
}  // namespace paring::serve::wire

int main(int argc, char** argv) {
  using namespace paring::serve::wire;
  for (const Case& of : kCases) {
    benchmark::RegisterBenchmark((std::string("read/") + of.name).c_str(), read_body, of);
    // Responses keep their text for the events that end them, so runs are of bounded length.
    benchmark::RegisterBenchmark((std::string("piece/") + of.name).c_str(), write_piece, of)
        ->Iterations(200000);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
