// SPDX-License-Identifier: Apache-2.0
// Encoders beside ggml's: sum importance * (x - decoded)^2 of ours over ggml's for every block
// type, and nanoseconds a weight of both, one thread, on made rows (gaussian, heavy-tailed) and,
// where a model is given, on rows of its matrices with the importance that llama-imatrix measured.
// ggml is loaded at run time, so that nothing is built against it; both results are decoded by our
// decoders.
//
//   paring_encode_compare LIBGGML_BASE.so [MODEL_F16.gguf IMATRIX.gguf]
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "quant/format.h"

namespace paring {
namespace {

using QuantizeChunk = std::size_t (*)(int type, const float* source, void* target,
                                      std::int64_t start, std::int64_t rows, std::int64_t columns,
                                      const float* importance);

constexpr DType kTypes[] = {DType::kQ8_0, DType::kQ6_K, DType::kQ5_1,   DType::kQ5_0,
                            DType::kQ5_K, DType::kQ4_1, DType::kQ4_0,   DType::kIQ4_NL,
                            DType::kQ4_K, DType::kQ3_K, DType::kIQ4_XS, DType::kQ2_K};
constexpr std::size_t kMadeRows = 96;
constexpr std::size_t kMadeColumns = 2048;  // the width of Llama-3.2-1B
constexpr std::size_t kRowsOfAMatrix = 16;
constexpr std::size_t kColumnsUnit = 256;  // rows are cut to whole super-blocks

// Rows of one width that share an importance.
struct Sample {
  std::size_t columns;
  std::vector<float> rows;
  std::vector<float> importance;
};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "encode_compare: %s\n", why.c_str());
  std::exit(1);
}

Sample made(std::uint32_t seed, bool is_heavy_tailed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::student_t_distribution<float> student(3.0F);
  std::lognormal_distribution<float> weight(0.0F, 1.5F);
  Sample sample{kMadeColumns, std::vector<float>(kMadeRows * kMadeColumns),
                std::vector<float>(kMadeColumns)};
  for (float& x : sample.rows) x = is_heavy_tailed ? 0.03F * student(random) : normal(random);
  for (float& w : sample.importance) w = weight(random);
  return sample;
}

std::vector<float> read_f32(const io::GgufFile& file, const std::string& name) {
  const io::TensorInfo* info = file.find(name);
  if (info == nullptr || info->type != DType::kF32) fail(file.path() + " lacks " + name);
  std::vector<float> values(info->values());
  std::memcpy(values.data(), file.data(*info).data(), values.size() * sizeof(float));
  return values;
}

// Rows spread over every matrix that has an importance.
std::vector<Sample> measured(const char* model_path, const char* imatrix_path) {
  const io::GgufFile model = io::GgufFile::open(model_path).value();
  const io::GgufFile imatrix = io::GgufFile::open(imatrix_path).value();
  std::vector<Sample> samples;
  for (const io::TensorInfo& info : model.tensors()) {
    if (imatrix.find(info.name + ".in_sum2") == nullptr) continue;
    const quant::Format& format = *quant::require_format(info.type).value();
    Sample sample;
    sample.columns = info.columns() / kColumnsUnit * kColumnsUnit;
    sample.importance = read_f32(imatrix, info.name + ".in_sum2");
    sample.importance.resize(sample.columns);
    const float count = read_f32(imatrix, info.name + ".counts").at(0);
    for (float& w : sample.importance) w /= count;
    const std::size_t row_bytes = info.bytes / info.rows();
    std::vector<float> row(info.columns());
    const std::size_t step = std::max<std::size_t>(1, info.rows() / kRowsOfAMatrix);
    for (std::size_t r = 0; r < info.rows(); r += step) {
      format.decode(model.data(info).data() + r * row_bytes, row.data(), row.size());
      sample.rows.insert(sample.rows.end(), row.begin(),
                         row.begin() + static_cast<std::ptrdiff_t>(sample.columns));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

double thread_seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Outcome {
  double ours = 0;  // errors
  double theirs = 0;
  double our_seconds = 0;
  double their_seconds = 0;
  double worst_row = 0;  // ours / theirs
  std::size_t worse_rows = 0;
  std::size_t rows = 0;
  std::size_t weights = 0;
};

double row_error(const Sample& sample, std::size_t row, const std::vector<float>& decoded) {
  double error = 0;
  for (std::size_t c = 0; c < sample.columns; ++c) {
    const double miss = double{sample.rows[row * sample.columns + c]} - double{decoded[c]};
    error += double{sample.importance[c]} * miss * miss;
  }
  return error;
}

void compare(QuantizeChunk ggml, DType type, const Sample& sample, Outcome& outcome) {
  const quant::Format& format = *quant::require_format(type).value();
  const std::size_t row_bytes = dtype_row_bytes(type, sample.columns).value();
  std::vector<std::byte> bytes(row_bytes);
  std::vector<float> decoded(sample.columns);
  for (std::size_t r = 0; r < sample.rows.size() / sample.columns; ++r) {
    const float* row = sample.rows.data() + r * sample.columns;
    const double start = thread_seconds();
    format.encode(row, sample.importance.data(), bytes.data(), sample.columns);
    const double middle = thread_seconds();
    format.decode(bytes.data(), decoded.data(), sample.columns);
    const double ours = row_error(sample, r, decoded);
    const double again = thread_seconds();
    ggml(static_cast<int>(type), row, bytes.data(), 0, 1, static_cast<std::int64_t>(sample.columns),
         sample.importance.data());
    const double end = thread_seconds();
    format.decode(bytes.data(), decoded.data(), sample.columns);
    const double theirs = row_error(sample, r, decoded);
    outcome.ours += ours;
    outcome.theirs += theirs;
    outcome.our_seconds += middle - start;
    outcome.their_seconds += end - again;
    outcome.worst_row = std::max(outcome.worst_row, ours / theirs);
    outcome.worse_rows += ours > theirs ? 1 : 0;
    outcome.rows += 1;
    outcome.weights += sample.columns;
  }
}

void print(DType type, const char* kind, const Outcome& o) {
  const double per_weight = 1e9 / static_cast<double>(o.weights);
  std::printf("%-7s %-12s %8.4f %9.4f %6zu/%-6zu %9.1f %9.1f\n", dtype_name(type), kind,
              o.ours / o.theirs, o.worst_row, o.worse_rows, o.rows, o.our_seconds * per_weight,
              o.their_seconds * per_weight);
}

int run(int count, char** arguments) {
  if (count != 2 && count != 4) {
    fail("usage: paring_encode_compare LIBGGML_BASE.so [MODEL_F16.gguf IMATRIX.gguf]");
  }
  void* library = dlopen(arguments[1], RTLD_NOW);
  if (library == nullptr) fail(dlerror());
  const auto ggml = reinterpret_cast<QuantizeChunk>(dlsym(library, "ggml_quantize_chunk"));
  if (ggml == nullptr) fail(dlerror());
  const Sample gaussian = made(1, false);
  const Sample heavy = made(2, true);
  const std::vector<Sample> real =
      count == 4 ? measured(arguments[2], arguments[3]) : std::vector<Sample>{};
  std::printf("%-7s %-12s %8s %9s %13s %9s %9s\n", "type", "rows", "error", "worst row",
              "worse rows", "ns/weight", "ggml's");
  for (const DType type : kTypes) {
    Outcome of_gaussian, of_heavy, of_real;
    compare(ggml, type, gaussian, of_gaussian);
    compare(ggml, type, heavy, of_heavy);
    for (const Sample& sample : real) compare(ggml, type, sample, of_real);
    print(type, "gaussian", of_gaussian);
    print(type, "heavy-tailed", of_heavy);
    if (!real.empty()) print(type, "model", of_real);
  }
  return 0;
}

}  // namespace
}  // namespace paring

int main(int count, char** arguments) { return paring::run(count, arguments); }
