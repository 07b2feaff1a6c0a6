// SPDX-License-Identifier: Apache-2.0
// Microbenchmarks of the kernels at SmolLM2-135M's and Llama-3.2-1B's shapes, on every level this
// CPU runs, one thread. GOPS counts two operations a multiply-accumulate, GB/s the bytes of weights
// (or cache) a call reads once. Each product is compared with the reference on one output before it
// is timed.
//
//   paring_kernels_bench --benchmark_filter='matmul_q/avx512/Q4_0/576x576'
//   paring_kernels_bench --markdown=kernels.md --json=kernels.json
//
// The second form writes tables with the share of what this machine's probes of the same level and
// one thread allow (bench/kernel_table.h); without a filter it takes the kernels that serve models,
// at two shapes, in a minute or two.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernel_table.h"
#include "kernels/ops.h"
#include "kernels/test_levels.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

struct Shape {
  std::size_t rows;
  std::size_t cols;
};
constexpr Shape kShapes[] = {{576, 576},  {1536, 576},  {576, 1536},  {49152, 576},
                             {512, 2048}, {2048, 2048}, {8192, 2048}, {2048, 8192}};
constexpr std::size_t kTokens[] = {1, 2, 4, 8, 16, 64, 512};

std::vector<DType> all_types() {
  std::vector<DType> types(std::begin(kBlockTypes), std::end(kBlockTypes));
  types.insert(types.end(), {DType::kF16, DType::kBF16, DType::kF32});
  return types;
}

// Encoded rows of one panel.
std::vector<std::byte> panel_rows(DType type, std::size_t cols) {
  if (dtype_info(type).block_values > 1) return random_block_rows(type, kPanelRows, cols, 1);
  const std::vector<float> values = random_floats(kPanelRows * cols, 1, 0.05F);
  std::vector<std::byte> bytes(kPanelRows * dtype_row_bytes(type, cols).value());
  quant::find_format(type)->encode(values.data(), nullptr, bytes.data(), values.size());
  return bytes;
}

// The same 16 rows again and again.
PackedMatrix make_matrix(DType type, const Shape& shape) {
  PackedMatrix matrix = allocate_packed(type, shape.rows, shape.cols).value();
  const std::vector<std::byte> panel = panel_rows(type, shape.cols);
  std::vector<std::byte> bytes;
  bytes.reserve(panel.size() * matrix.panels());
  for (std::size_t p = 0; p < matrix.panels(); ++p) {
    bytes.insert(bytes.end(), panel.begin(), panel.end());
  }
  pack_panels(matrix, bytes.data(), {0, matrix.panels()});
  return matrix;
}

// Small matrices are repeated in memory until they exceed the caches, so that few tokens read
// weights from memory as a decode step does; many tokens use one copy. The last ones are kept: the
// benchmarks of a type and shape follow each other, and each is called several times.
const std::vector<PackedMatrix>& matrices(DType type, const Shape& shape, bool exceeds_caches) {
  constexpr std::size_t kBeyondCaches = 96U << 20;
  struct Kept {
    DType type = DType::kF32;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::vector<PackedMatrix> copies;
  };
  static Kept kept;
  if (kept.type != type || kept.rows != shape.rows || kept.cols != shape.cols) {
    kept = {type, shape.rows, shape.cols, {}};
    kept.copies.push_back(make_matrix(type, shape));
  }
  while (exceeds_caches && kept.copies.size() * kept.copies[0].bytes() < kBeyondCaches) {
    kept.copies.push_back(make_matrix(type, shape));
  }
  return kept.copies;
}

void require_close(float ours, float truth) {
  if (std::fabs(ours - truth) <= 1e-4F * (1 + std::fabs(truth))) return;
  std::fprintf(stderr, "kernels_bench: got %g, expected %g\n", static_cast<double>(ours),
               static_cast<double>(truth));
  std::abort();
}

enum class Matmul : std::uint8_t { kCodes, kFloats, kRounded };

void bench_matmul(benchmark::State& state, const KernelTable* table, DType type, Shape shape,
                  std::size_t tokens, Matmul kind) {
  const std::vector<PackedMatrix>& copies = matrices(type, shape, tokens <= 8);
  const std::size_t used = tokens <= 8 ? copies.size() : 1;
  const std::size_t bytes = copies[0].bytes();
  const std::vector<float> x = random_floats(tokens * shape.cols, 2);
  AlignedBuffer memory = AlignedBuffer::create(QuantizedRows::bytes(tokens, shape.cols)).value();
  const QuantizedRows rows = QuantizedRows::place(memory.data(), tokens, shape.cols);
  table->quantize_rows(x.data(), tokens, shape.cols, shape.cols, rows);
  std::vector<float> y(tokens * shape.rows);
  std::vector<float> truth(shape.rows);
  const auto run = [&](const KernelTable& kernel, const PackedMatrix& w, std::size_t count,
                       float* out, std::size_t panels) {
    if (kind == Matmul::kCodes) {
      kernel.matmul_q(w, rows, count, out, shape.rows, {0, panels});
      return;
    }
    const auto matmul = kind == Matmul::kFloats ? kernel.matmul_f : kernel.matmul_bf16;
    matmul(w, x.data(), shape.cols, count, out, shape.rows, {0, panels});
  };
  run(reference_kernels(), copies[0], 1, truth.data(), 1);
  run(*table, copies[0], tokens, y.data(), copies[0].panels());
  require_close(y[3], truth[3]);
  std::size_t next = 0;
  for (auto _ : state) {
    run(*table, copies[next], tokens, y.data(), copies[next].panels());
    next = next + 1 == used ? 0 : next + 1;
    benchmark::ClobberMemory();
  }
  const auto calls = static_cast<double>(state.iterations());
  const double operations = 2.0 * static_cast<double>(shape.rows * shape.cols * tokens);
  state.counters["GOPS"] =
      benchmark::Counter(calls * operations / 1e9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] =
      benchmark::Counter(calls * static_cast<double>(bytes) / 1e9, benchmark::Counter::kIsRate);
}

// One KV head of SmolLM2 (64 wide, 3 query heads) with `visible` cached tokens; the last
// `new_tokens` of them ask.
void bench_attention(benchmark::State& state, const KernelTable* table, KvType type,
                     std::size_t new_tokens, std::size_t visible) {
  constexpr std::size_t kWidth = 64;
  constexpr std::size_t kHeads = 3;
  const std::size_t page_bytes = kv_page_bytes(type, kWidth);
  const std::size_t page_count = (visible + kPageTokens - 1) / kPageTokens;
  AlignedBuffer memory = AlignedBuffer::create(page_count * page_bytes).value();
  const std::vector<float> row = random_floats(kWidth, 3);
  std::vector<const std::byte*> pages;
  for (std::size_t p = 0; p < page_count; ++p) pages.push_back(memory.data() + p * page_bytes);
  for (std::size_t t = 0; t < visible; ++t) {
    std::byte* page = memory.data() + t / kPageTokens * page_bytes;
    table->kv_write({type, kWidth, page, t % kPageTokens, row.data(), row.data()});
  }
  const std::size_t queries = new_tokens * kHeads;
  const std::vector<float> q = random_floats(queries * kWidth, 4);
  std::vector<float> out(queries * kWidth);
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  std::vector<std::size_t> sees;
  double pairs = 0;
  for (std::size_t i = 0; i < queries; ++i) {
    q_rows.push_back(q.data() + i * kWidth);
    out_rows.push_back(out.data() + i * kWidth);
    sees.push_back(visible - new_tokens + i / kHeads + 1);
    pairs += static_cast<double>(sees.back());
  }
  AlignedBuffer scratch = AlignedBuffer::create(attention_scratch_bytes(queries, kWidth)).value();
  AttentionArgs args{};
  args.type = type;
  args.head_width = kWidth;
  args.queries = queries;
  args.q = q_rows.data();
  args.out = out_rows.data();
  args.visible = sees.data();
  args.pages = pages.data();
  args.scale = 0.125F;
  args.scratch = scratch.data();
  for (auto _ : state) {
    table->attention(args);
    benchmark::ClobberMemory();
  }
  const auto calls = static_cast<double>(state.iterations());
  state.counters["GOPS"] =
      benchmark::Counter(calls * pairs * 4 * kWidth / 1e9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(
      calls * static_cast<double>(page_count * page_bytes) / 1e9, benchmark::Counter::kIsRate);
}

// Row operations over the SmolLM2 vocabulary or a hidden row; GB/s of what they read.
void bench_rows(benchmark::State& state, const KernelTable* table, const std::string& op) {
  constexpr std::size_t kVocabulary = 49152;
  const std::vector<float> a = random_floats(kVocabulary, 5, 3.0F);
  const std::vector<float> b = random_floats(kVocabulary, 6, 3.0F);
  std::vector<float> y(kVocabulary);
  AlignedBuffer memory = AlignedBuffer::create(QuantizedRows::bytes(1, kVocabulary)).value();
  const QuantizedRows rows = QuantizedRows::place(memory.data(), 1, kVocabulary);
  double sink = 0;
  double read = 4.0 * kVocabulary;
  for (auto _ : state) {
    if (op == "log_sum_exp") sink += table->log_sum_exp(a.data(), kVocabulary);
    if (op == "kl_divergence") {
      sink += table->kl_divergence(a.data(), 12.0, b.data(), 12.0, kVocabulary);
    }
    if (op == "silu_mul") table->silu_mul(a.data(), b.data(), y.data(), kVocabulary);
    if (op == "rms_norm") table->rms_norm(a.data(), b.data(), y.data(), kVocabulary, 1e-5F);
    if (op == "quantize_rows") {
      table->quantize_rows(a.data(), 1, kVocabulary, kVocabulary, rows);
    }
    benchmark::DoNotOptimize(sink);
    benchmark::ClobberMemory();
  }
  if (op == "kl_divergence" || op == "silu_mul" || op == "rms_norm") read *= 2;
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * read / 1e9,
                                              benchmark::Counter::kIsRate);
}

bool runs_bf16(const KernelTable* table) {
  for (const IsaLevel& level : isa_levels()) {
    if (level.table == table) return level.missing_for_bf16() == nullptr;
  }
  return false;
}

void register_level(const KernelTable* table) {
  const std::string isa = table->isa;
  const bool has_bf16 = runs_bf16(table);
  for (DType type : all_types()) {
    const bool is_block = dtype_info(type).block_values > 1;
    for (const Shape& shape : kShapes) {
      if (shape.cols % dtype_info(type).block_values != 0) continue;
      for (std::size_t tokens : kTokens) {
        const std::string name = isa + "/" + dtype_name(type) + "/" + std::to_string(shape.rows) +
                                 "x" + std::to_string(shape.cols) + "/" + std::to_string(tokens);
        benchmark::RegisterBenchmark(("matmul_f/" + name).c_str(), bench_matmul, table, type, shape,
                                     tokens, Matmul::kFloats);
        if (has_bf16) {
          benchmark::RegisterBenchmark(("matmul_bf16/" + name).c_str(), bench_matmul, table, type,
                                       shape, tokens, Matmul::kRounded);
        }
        if (!is_block) continue;
        benchmark::RegisterBenchmark(("matmul_q/" + name).c_str(), bench_matmul, table, type, shape,
                                     tokens, Matmul::kCodes);
      }
    }
  }
  for (const KvType type : kKvTypes) {
    for (auto [tokens, visible] : {std::pair<std::size_t, std::size_t>{1, 512},
                                   {1, 8192},
                                   {64, 64},
                                   {64, 512},
                                   {64, 2048}}) {
      const std::string name = isa + "/" + kv_type_name(type) + "/" + std::to_string(tokens) +
                               "of" + std::to_string(visible);
      benchmark::RegisterBenchmark(("attention/" + name).c_str(), bench_attention, table, type,
                                   tokens, visible);
    }
  }
  for (const char* op : {"quantize_rows", "rms_norm", "silu_mul", "log_sum_exp", "kl_divergence"}) {
    benchmark::RegisterBenchmark((std::string(op) + "/" + isa).c_str(), bench_rows, table,
                                 std::string(op));
  }
}

// Packing speed, bytes of source a second.
void bench_pack(benchmark::State& state, DType type) {
  constexpr std::size_t kRows = 16384;
  constexpr std::size_t kCols = 768;
  PackedMatrix matrix = allocate_packed(type, kRows, kCols).value();
  const std::vector<std::byte> source(kRows * dtype_row_bytes(type, kCols).value());
  pack_panels(matrix, source.data(), {0, matrix.panels()});  // touches the pages
  for (auto _ : state) {
    pack_panels(matrix, source.data(), {0, matrix.panels()});
    benchmark::ClobberMemory();
  }
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * source.size()) / 1e9, benchmark::Counter::kIsRate);
}

}  // namespace
}  // namespace paring::kernels

namespace {

// What serves models: block types by integer products, float types by float ones, attention.
constexpr const char* kServingFilter =
    "^(matmul_q/.*/(1536x576|2048x2048)/.*|matmul_f/.*/(F16|BF16|F32)/(1536x576|2048x2048)/.*|"
    "attention/.*)$";

// Takes `--NAME=VALUE` out of the arguments.
std::string take_option(int& argc, char** argv, const std::string& name) {
  const std::string start = "--" + name + "=";
  std::string value;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with(start)) {
      value = word.substr(start.size());
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return value;
}

bool has_filter(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]).starts_with("--benchmark_filter")) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace paring;
  const std::string markdown = take_option(argc, argv, "markdown");
  const std::string json = take_option(argc, argv, "json");
  const bool has_tables = !markdown.empty() || !json.empty();
  const std::string filter = has_tables && !has_filter(argc, argv) ? kServingFilter : "";
  for (const kernels::KernelTable* table : kernels::fast_levels()) kernels::register_level(table);
  for (DType type : kernels::all_types()) {
    benchmark::RegisterBenchmark((std::string("pack/") + dtype_name(type)).c_str(),
                                 kernels::bench_pack, type);
  }
  std::string short_runs = "--benchmark_min_time=0.05";
  std::vector<char*> words(argv, argv + argc);
  if (has_tables) words.insert(words.begin() + 1, short_runs.data());
  auto count = static_cast<int>(words.size());
  words.push_back(nullptr);
  benchmark::Initialize(&count, words.data());
  if (benchmark::ReportUnrecognizedArguments(count, words.data())) return 2;
  if (!has_tables) {
    benchmark::RunSpecifiedBenchmarks();
    return 0;
  }
  bench::KernelTableReporter reporter;
  if (filter.empty()) {
    benchmark::RunSpecifiedBenchmarks(&reporter);
  } else {
    benchmark::RunSpecifiedBenchmarks(&reporter, filter);
  }
  return reporter.write(markdown, json) ? 0 : 1;
}
