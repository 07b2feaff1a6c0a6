// SPDX-License-Identifier: Apache-2.0
// The reference kernels: scalar, complete, written to be read. Sums are in double, so this is the
// truth that the fast tables are compared with, not bit for bit (their order is fixed in ops.h) but
// within the rounding of an f32 sum. Layouts: packed_matrix.h and ops.h.
#include <math.h>

#include "kernels/ops.h"
#include "kernels/tables.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

constexpr double kInfinity = __builtin_inf();

constexpr int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};

struct Weight {
  int code;     // minus the zero point, or the codebook's value
  float scale;  // with its sub-scale; so is min
  float min;
};

// The code of `bits` bits of (row r, column k) in a panel's plane of 4 or 2 bits a code.
unsigned packed_code(const std::uint8_t* plane, unsigned bits, std::size_t r, std::size_t k) {
  const std::size_t quads = 8 / bits;  // that share 16 rows x 4 bytes
  const std::size_t quad = k / 4;
  const unsigned byte = plane[(quad / quads * kPanelRows + r) * 4 + k % 4];
  return byte >> (bits * (quad % quads)) & ((1U << bits) - 1);
}

struct SubScale {
  int scale;
  int min;
};

// Sub-scales of column k of a super-block, from its bytes: byte i lies at bytes[16 * i].
SubScale sub_scale(DType type, const std::uint8_t* bytes, std::size_t k) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(bytes[kPanelRows * i]); };
  const std::size_t half = k / 16;
  const std::size_t group = k / 32;
  if (type == DType::kQ2_K) {
    return {static_cast<int>(byte(half) & 15), static_cast<int>(byte(half) >> 4)};
  }
  if (type == DType::kQ6_K) return {static_cast<std::int8_t>(byte(half)), 0};
  if (type == DType::kQ3_K) {
    const unsigned low = byte(half % 8) >> (half / 8 * 4) & 15;
    const unsigned high = byte(8 + half % 4) >> (half / 4 * 2) & 3;
    return {static_cast<int>(low | high << 4) - 32, 0};
  }
  if (type == DType::kIQ4_XS) {
    const unsigned low = byte(2 + group / 2) >> (group % 2 * 4) & 15;
    const unsigned high = byte(group / 4) >> (group % 4 * 2) & 3;
    return {static_cast<int>(low | high << 4) - 32, 0};
  }
  // Q4_K, Q5_K
  if (group < 4)
    return {static_cast<int>(byte(group) & 63), static_cast<int>(byte(group + 4) & 63)};
  const unsigned scale = (byte(group + 4) & 15) | byte(group - 4) >> 6 << 4;
  const unsigned min = byte(group + 4) >> 4 | byte(group) >> 6 << 4;
  return {static_cast<int>(scale), static_cast<int>(min)};
}

// Code of (row, k) without its zero point.
int weight_code(const PackedMatrix& w, std::size_t panel, std::size_t r, std::size_t k) {
  const std::uint8_t* codes = w.codes.as<std::uint8_t>() + panel * w.codes_panel_bytes();
  if (w.type == DType::kQ8_0) {
    return static_cast<std::int8_t>(codes[(k / 4 * kPanelRows + r) * 4 + k % 4]);
  }
  const unsigned low_bits = w.type == DType::kQ2_K || w.type == DType::kQ3_K ? 2 : 4;
  unsigned code = packed_code(codes, low_bits, r, k);
  const std::uint8_t* high = w.high.as<std::uint8_t>() + panel * (w.high.bytes() / w.panels());
  if (w.type == DType::kQ6_K) {
    code |= packed_code(high, 2, r, k) << 4;
  } else if (w.high.bytes() != 0) {
    const std::uint64_t word = reinterpret_cast<const std::uint64_t*>(high)[k / 4];
    code |= static_cast<unsigned>(word >> (4 * r + k % 4) & 1) << low_bits;
  }
  if (w.type == DType::kIQ4_NL || w.type == DType::kIQ4_XS) return kIq4Values[code];
  int zero = 0;
  if (w.type == DType::kQ3_K) zero = 4;
  if (w.type == DType::kQ4_0) zero = 8;
  if (w.type == DType::kQ5_0) zero = 16;
  if (w.type == DType::kQ6_K) zero = 32;
  return static_cast<int>(code) - zero;
}

// Weight (row, k) of a block type, before scaling.
Weight block_weight(const PackedMatrix& w, std::size_t row, std::size_t k) {
  const std::size_t panel = row / kPanelRows;
  const std::size_t r = row % kPanelRows;
  const std::size_t block = panel * (w.cols / w.block_values) + k / w.block_values;
  const std::size_t entry = block * kPanelRows + r;
  Weight weight{weight_code(w, panel, r, k), quant::f16_to_f32(w.scales.as<std::uint16_t>()[entry]),
                0};
  if (w.mins.bytes() != 0) weight.min = quant::f16_to_f32(w.mins.as<std::uint16_t>()[entry]);
  if (w.subs.bytes() != 0) {
    const std::size_t blocks = w.padded_rows / kPanelRows * (w.cols / w.block_values);
    const std::uint8_t* bytes = w.subs.as<std::uint8_t>() + block * (w.subs.bytes() / blocks) + r;
    const SubScale sub = sub_scale(w.type, bytes, k % w.block_values);
    weight.scale *= static_cast<float>(sub.scale);
    weight.min *= -static_cast<float>(sub.min);
  }
  return weight;
}

// Weight (row, k) of any type as f32.
float weight_f32(const PackedMatrix& w, std::size_t row, std::size_t k) {
  const std::size_t index = (row / kPanelRows * w.cols + k) * kPanelRows + row % kPanelRows;
  if (w.type == DType::kF32) return w.codes.as<float>()[index];
  if (w.type == DType::kF16) return quant::f16_to_f32(w.codes.as<std::uint16_t>()[index]);
  if (w.type == DType::kBF16) return quant::bf16_to_f32(w.codes.as<std::uint16_t>()[index]);
  const Weight weight = block_weight(w, row, k);
  return weight.scale * static_cast<float>(weight.code) + weight.min;
}

float group_scale(const float* x) {
  float largest = 0;
  for (std::size_t k = 0; k < kGroupValues; ++k) largest = fmaxf(largest, fabsf(x[k]));
  return largest / 127.0F;
}

// Halfway cases to even. The limit matters when a denormal scale has lost its last bits.
std::int8_t quantize(float x, float scale) {
  if (scale == 0) return 0;
  return static_cast<std::int8_t>(rintf(fmaxf(-127.0F, fminf(127.0F, x / scale))));
}

void quantize_rows(const float* x, std::size_t tokens, std::size_t cols, std::size_t stride,
                   const QuantizedRows& out) noexcept {
  const std::size_t groups = cols / kGroupValues;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t g = 0; g < groups; ++g) {
      const float* source = x + t * stride + g * kGroupValues;
      const float scale = group_scale(source);
      std::int32_t* sums = out.code_sums + 2 * (t * groups + g);
      sums[0] = sums[1] = 0;
      for (std::size_t k = 0; k < kGroupValues; ++k) {
        const std::int8_t code = quantize(source[k], scale);
        out.codes[t * cols + g * kGroupValues + k] = code;
        sums[k / 16] += code;
      }
      out.scales[t * groups + g] = scale;
      out.value_sums[t * groups + g] = scale * static_cast<float>(sums[0] + sums[1]);
    }
  }
}

double dot_q(const PackedMatrix& w, std::size_t row, const QuantizedRows& x, std::size_t t) {
  double sum = 0;
  for (std::size_t k = 0; k < w.cols; k += 16) {  // columns that share scales and minimum
    std::int64_t products = 0;
    Weight weight{};
    for (std::size_t i = k; i < k + 16; ++i) {
      weight = block_weight(w, row, i);
      products += weight.code * x.codes[t * w.cols + i];
    }
    const double x_scale = x.scales[t * w.groups() + k / kGroupValues];
    const double x_sum = x_scale * x.code_sums[(t * w.cols + k) / 16];
    sum += x_scale * weight.scale * static_cast<double>(products) + x_sum * weight.min;
  }
  return sum;
}

std::size_t end_row(const PackedMatrix& w, PanelRange panels) {
  const std::size_t end = panels.end * kPanelRows;
  return end < w.rows ? end : w.rows;
}

void matmul_q(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
              std::size_t stride, PanelRange panels) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t n = panels.begin * kPanelRows; n < end_row(w, panels); ++n) {
      y[t * stride + n] = static_cast<float>(dot_q(w, n, x, t));
    }
  }
}

void matmul_f(const PackedMatrix& w, const float* x, std::size_t x_stride, std::size_t tokens,
              float* y, std::size_t stride, PanelRange panels) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t n = panels.begin * kPanelRows; n < end_row(w, panels); ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < w.cols; ++k) {
        sum += static_cast<double>(weight_f32(w, n, k)) * x[t * x_stride + k];
      }
      y[t * stride + n] = static_cast<float>(sum);
    }
  }
}

float rounded_to_bf16(float value) {
  const float rounded = quant::bf16_to_f32(quant::f32_to_bf16(value));
  return fabsf(rounded) < 0x1p-126F ? 0.0F : rounded;
}

void matmul_bf16(const PackedMatrix& w, const float* x, std::size_t x_stride, std::size_t tokens,
                 float* y, std::size_t stride, PanelRange panels) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t n = panels.begin * kPanelRows; n < end_row(w, panels); ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < w.cols; ++k) {
        sum += static_cast<double>(rounded_to_bf16(weight_f32(w, n, k))) *
               rounded_to_bf16(x[t * x_stride + k]);
      }
      y[t * stride + n] = static_cast<float>(sum);
    }
  }
}

void rms_norm(const float* x, const float* weight, float* y, std::size_t width,
              float epsilon) noexcept {
  double squares = 0;
  for (std::size_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double norm = 1 / sqrt(squares / static_cast<double>(width) + epsilon);
  for (std::size_t i = 0; i < width; ++i) y[i] = static_cast<float>(x[i] * norm * weight[i]);
}

void layer_norm(const float* x, const float* weight, const float* bias, float* y, std::size_t width,
                float epsilon) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += x[i];
  const double mean = sum / static_cast<double>(width);
  double squares = 0;
  for (std::size_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double norm = 1 / sqrt(squares / static_cast<double>(width) + epsilon);
  for (std::size_t i = 0; i < width; ++i) {
    y[i] = static_cast<float>((x[i] - mean) * norm * weight[i] + bias[i]);
  }
}

void add(float* x, const float* y, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) x[i] += y[i];
}

void silu_mul(const float* gate, const float* up, float* y, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double v = gate[i];
    y[i] = static_cast<float>(v / (1 + exp(-v)) * up[i]);
  }
}

void gelu_mul(const float* gate, const float* up, float* y, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double v = gate[i];
    const double u = sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
    // 1 + tanh(u) = 2 / (1 + exp(-2u)), which keeps its digits where tanh(u) is near -1.
    y[i] = static_cast<float>(v / (1 + exp(-2 * u)) * up[i]);
  }
}

void gelu_erf(float* x, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double v = x[i];
    // 1 + erf(u) = erfc(-u), which keeps its digits where erf(u) is near -1.
    x[i] = static_cast<float>(v / 2 * erfc(-v / sqrt(2)));
  }
}

void gelu_tanh(float* x, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const float one = 1;
    gelu_mul(x + i, &one, x + i, 1);
  }
}

void soft_cap(float* x, std::size_t count, float cap) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = static_cast<float>(cap * tanh(static_cast<double>(x[i]) / cap));
  }
}

float bf16_value(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// Rounded up to bf16, of a group of the cache.
std::uint16_t cache_scale(const float* x) {
  float largest = 0;
  for (std::size_t i = 0; i < kCacheGroupValues; ++i) largest = fmaxf(largest, fabsf(x[i]));
  const float scale = largest / 127.0F;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &scale, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0xffffU) >> 16);
}

std::uint16_t cache_scale_q4(const float* x) {
  float above = 0;
  float below = 0;
  for (std::size_t i = 0; i < kCacheGroupValues; ++i) {
    above = fmaxf(above, x[i] / 7.0F);
    below = fmaxf(below, -x[i] / 8.0F);
  }
  const float scale = fmaxf(above, below);
  std::uint32_t bits;
  __builtin_memcpy(&bits, &scale, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0xffffU) >> 16);
}

// Value `i` of a page plane in the page's type; of codes times the group's scale.
struct PagePlane {
  KvType type;
  std::byte* data;
  std::uint16_t* scales;

  double get(std::size_t i, std::size_t scale_index) const {
    if (type == KvType::kF32) return reinterpret_cast<const float*>(data)[i];
    if (type == KvType::kF16) {
      return quant::f16_to_f32(reinterpret_cast<const std::uint16_t*>(data)[i]);
    }
    if (type == KvType::kBF16) {
      return bf16_value(reinterpret_cast<const std::uint16_t*>(data)[i]);
    }
    if (type == KvType::kQ4) {  // i counts nibbles
      const int both = reinterpret_cast<const std::uint8_t*>(data)[i / 2];
      const int code = (i % 2 == 0 ? both & 15 : both >> 4) - 8;
      return static_cast<double>(bf16_value(scales[scale_index])) * code;
    }
    return static_cast<double>(bf16_value(scales[scale_index])) *
           reinterpret_cast<const std::int8_t*>(data)[i];
  }
};

struct Page {
  PagePlane keys;
  PagePlane values;
};

Page page_planes(KvType type, std::byte* page, std::size_t width) {
  const std::size_t count = kPageTokens * width;
  const std::size_t value_bytes = type == KvType::kF32 ? 4 : is_integer(type) ? 1 : 2;
  std::byte* values = page + count * value_bytes;
  const std::size_t values_bytes = type == KvType::kQ4 ? count / 2 : count * value_bytes;
  auto* scales = reinterpret_cast<std::uint16_t*>(values + values_bytes);
  const KvType keys_type = type == KvType::kQ4 ? KvType::kQ8 : type;  // its keys are int8
  return {{keys_type, page, scales}, {type, values, scales + count / kCacheGroupValues}};
}

// Where element d of the key or value in a slot lies (ops.h).
std::size_t key_index(KvType type, std::size_t slot, std::size_t d) {
  if (is_integer(type)) return d / 2 * 2 * kPageTokens + 2 * slot + d % 2;
  return d * kPageTokens + slot;
}
std::size_t value_index(KvType type, std::size_t slot, std::size_t d, std::size_t width) {
  if (type == KvType::kQ8) return slot / 2 * 2 * width + 2 * d + slot % 2;
  if (type == KvType::kQ4) return slot * width + 2 * (d % (width / 2)) + d / (width / 2);
  return slot * width + d;
}
std::size_t scale_index(std::size_t slot, std::size_t d) {
  return d / kCacheGroupValues * kPageTokens + slot;
}

// Writes element d of x[D], which lies at `at` in a plane, and its group's scale.
void write_element(const PagePlane& plane, const float* x, std::size_t slot, std::size_t d,
                   std::size_t at) {
  if (plane.type == KvType::kF32) reinterpret_cast<float*>(plane.data)[at] = x[d];
  if (plane.type == KvType::kF16) {
    reinterpret_cast<std::uint16_t*>(plane.data)[at] = quant::f32_to_f16(x[d]);
  }
  if (plane.type == KvType::kBF16) {
    reinterpret_cast<std::uint16_t*>(plane.data)[at] = quant::f32_to_bf16(x[d]);
  }
  if (plane.type == KvType::kQ4) {
    const std::uint16_t scale = cache_scale_q4(x + d / kCacheGroupValues * kCacheGroupValues);
    plane.scales[scale_index(slot, d)] = scale;
    const float step = bf16_value(scale);
    const float code = step == 0 ? 0 : fmaxf(-8, fminf(7, nearbyintf(x[d] / step)));
    auto& both = reinterpret_cast<std::uint8_t*>(plane.data)[at / 2];
    const int shift = at % 2 == 0 ? 0 : 4;
    both =
        static_cast<std::uint8_t>((both & ~(15 << shift)) | (static_cast<int>(code) + 8) << shift);
  }
  if (plane.type == KvType::kQ8) {
    const std::uint16_t scale = cache_scale(x + d / kCacheGroupValues * kCacheGroupValues);
    plane.scales[scale_index(slot, d)] = scale;
    reinterpret_cast<std::int8_t*>(plane.data)[at] = quantize(x[d], bf16_value(scale));
  }
}

void kv_write(const KvWriteArgs& args) noexcept {
  const Page page = page_planes(args.type, args.page, args.head_width);
  for (std::size_t d = 0; d < args.head_width; ++d) {
    write_element(page.keys, args.key, args.slot, d, key_index(args.type, args.slot, d));
    write_element(page.values, args.value, args.slot, d,
                  value_index(args.type, args.slot, d, args.head_width));
  }
}

const std::byte* page_of(const AttentionArgs& args, std::size_t position) {
  return args.pages[position / kPageTokens - args.first_page];
}

double score(const AttentionArgs& args, std::size_t query, std::size_t position) {
  const std::size_t slot = position % kPageTokens;
  auto* bytes = const_cast<std::byte*>(page_of(args, position));  // only read
  const Page page = page_planes(args.type, bytes, args.head_width);
  double sum = 0;
  for (std::size_t d = 0; d < args.head_width; ++d) {
    sum += args.q[query][d] * page.keys.get(key_index(args.type, slot, d), scale_index(slot, d));
  }
  sum *= static_cast<double>(args.scale);
  const double cap = args.soft_cap;
  return cap > 0 ? cap * tanh(sum / cap) : sum;
}

// One query: largest score, then weights and their sum, element by element of the output. With
// parts only the positions of a span, and the sums as they are.
void attend(const AttentionArgs& args, std::size_t query) {
  std::size_t end = args.visible[query];
  std::size_t begin = args.window != 0 && end > args.window ? end - args.window : 0;
  if (args.parts != nullptr) {
    const std::size_t first = args.span * kSpanTokens;
    begin = begin > first ? begin : first;
    end = end < first + kSpanTokens ? end : first + kSpanTokens;
  }
  const std::size_t width = args.head_width;
  double largest = -kInfinity;
  for (std::size_t t = begin; t < end; ++t) largest = fmax(largest, score(args, query, t));
  auto* sums = reinterpret_cast<double*>(args.scratch);  // [D]
  for (std::size_t d = 0; d < width; ++d) sums[d] = 0;
  double total = 0;
  for (std::size_t t = begin; t < end; ++t) {
    auto* bytes = const_cast<std::byte*>(page_of(args, t));  // only read
    const Page page = page_planes(args.type, bytes, width);
    const double p = exp(score(args, query, t) - largest);
    const std::size_t slot = t % kPageTokens;
    total += p;
    for (std::size_t d = 0; d < width; ++d) {
      sums[d] += p * page.values.get(value_index(args.type, slot, d, width), scale_index(slot, d));
    }
  }
  if (args.parts != nullptr) {
    for (std::size_t d = 0; d < width; ++d) {
      args.parts[query][d] = static_cast<float>(sums[d]);
    }
    args.parts[query][width] = static_cast<float>(largest);
    args.parts[query][width + 1] = static_cast<float>(total);
    return;
  }
  for (std::size_t d = 0; d < width; ++d) {
    args.out[query][d] = begin >= end ? 0.0F : static_cast<float>(sums[d] / total);
  }
}

void attention(const AttentionArgs& args) noexcept {
  for (std::size_t query = 0; query < args.queries; ++query) attend(args, query);
}

void attention_join(const AttentionJoinArgs& args) noexcept {
  const std::size_t width = args.head_width;
  double largest = -kInfinity;
  for (std::size_t i = 0; i < args.count; ++i) {
    largest = fmax(largest, args.parts[i * args.stride + width]);
  }
  for (std::size_t d = 0; d < width; ++d) {
    double sum = 0;
    double total = 0;
    for (std::size_t i = 0; i < args.count; ++i) {
      const float* part = args.parts + i * args.stride;
      const double factor = part[width + 1] > 0 ? exp(part[width] - largest) : 0;
      sum += factor * part[d];
      total += factor * part[width + 1];
    }
    args.out[d] = total > 0 ? static_cast<float>(sum / total) : 0.0F;
  }
}

double log_sum_exp(const float* x, std::size_t count) noexcept {
  double largest = -kInfinity;
  for (std::size_t i = 0; i < count; ++i) largest = fmax(largest, x[i]);
  if (largest == -kInfinity) return largest;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += exp(x[i] - largest);
  return largest + log(sum);
}

double kl_divergence(const float* p, double p_lse, const float* q, double q_lse,
                     std::size_t count) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double log_p = p[i] - p_lse;
    sum += exp(log_p) * (log_p - (q[i] - q_lse));
  }
  return sum;
}

}  // namespace

const KernelTable kReferenceKernels = {
    .isa = "reference",
    .quantize_rows = quantize_rows,
    .matmul_q = matmul_q,
    .matmul_f = matmul_f,
    .matmul_bf16 = matmul_bf16,
    .bf16_from = {.float_types = 9, .block_types = 9},  // as AMX
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .gelu_erf = gelu_erf,
    .gelu_tanh = gelu_tanh,
    .soft_cap = soft_cap,
    .kv_write = kv_write,
    .attention = attention,
    .attention_join = attention_join,
    .log_sum_exp = log_sum_exp,
    .kl_divergence = kl_divergence,
};

}  // namespace paring::kernels
