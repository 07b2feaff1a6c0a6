// SPDX-License-Identifier: Apache-2.0
#include "shrink/statistics_file.h"

#include <cstring>
#include <span>

#include "base/sha256.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace paring::shrink {

namespace {

constexpr std::string_view kMagic = "paring statistics 2\n";
constexpr std::size_t kCountMax = std::size_t{1} << 32;  // of anything in the file

class Writer {
 public:
  explicit Writer(io::AtomicFile& file) : file_(file) {}
  template <typename T>
  Result<void> values(const T* data, std::size_t count) {
    const std::uint64_t size = count;
    PARING_TRY_VOID(raw(&size, sizeof(size)));
    return raw(data, count * sizeof(T));
  }
  Result<void> number(std::uint64_t value) { return values(&value, 1); }
  Result<void> raw(const void* data, std::size_t bytes) {
    const std::span<const std::byte> part(static_cast<const std::byte*>(data), bytes);
    hash_.update(part);
    return file_.write(part);
  }
  Sha256Digest finish() { return hash_.finish(); }

 private:
  io::AtomicFile& file_;
  Sha256 hash_;
};

// Fails for good at the first value that is not there.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> data) : rest_(data) {}
  template <typename T>
  std::vector<T> values() {
    std::uint64_t count = 0;
    if (!raw(&count, sizeof(count)) || count > kCountMax || count * sizeof(T) > rest_.size()) {
      is_good_ = false;
      return {};
    }
    std::vector<T> result(count);
    raw(result.data(), count * sizeof(T));
    return result;
  }
  std::uint64_t number() {
    const auto one = values<std::uint64_t>();
    if (one.size() != 1) is_good_ = false;
    return is_good_ ? one.front() : 0;
  }
  // `size` rows of a lower triangle, as [size][size].
  bool triangle(std::size_t size, std::vector<float>& target) {
    if (size * (size + 1) / 2 * sizeof(float) > rest_.size()) return is_good_ = false;
    target.resize(size * size);
    for (std::size_t k = 0; k < size; ++k) raw(target.data() + k * size, (k + 1) * sizeof(float));
    return is_good_;
  }
  bool is_good() const { return is_good_; }
  bool is_at_end() const { return rest_.empty(); }

 private:
  bool raw(void* target, std::size_t bytes) {
    if (!is_good_ || bytes > rest_.size()) return is_good_ = false;
    if (bytes > 0) std::memcpy(target, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
    return true;
  }
  std::span<const std::byte> rest_;
  bool is_good_ = true;
};

}  // namespace

Result<void> save_statistics(const std::string& path, const Statistics& statistics) {
  PARING_TRY(io::AtomicFile file, io::AtomicFile::create(path, io::Overwrite::kReplace));
  Writer out(file);
  PARING_TRY_VOID(out.raw(kMagic.data(), kMagic.size()));
  PARING_TRY_VOID(out.values(statistics.text_name.data(), statistics.text_name.size()));
  PARING_TRY_VOID(out.values(statistics.text_sha256.data(), statistics.text_sha256.size()));
  PARING_TRY_VOID(out.number(statistics.tokens));
  PARING_TRY_VOID(out.number(statistics.mean_squares.size()));
  for (const auto& row : statistics.mean_squares) {
    PARING_TRY_VOID(out.values(row.data(), row.size()));
  }
  PARING_TRY_VOID(out.number(statistics.expert_tokens.size()));
  for (const auto& row : statistics.expert_tokens) {
    PARING_TRY_VOID(out.values(row.data(), row.size()));
  }
  PARING_TRY_VOID(out.values(statistics.factor_of.data(), statistics.factor_of.size()));
  PARING_TRY_VOID(out.number(statistics.factors.size()));
  for (const InputFactor& factor : statistics.factors) {
    PARING_TRY_VOID(out.number(factor.blocks.size()));
    for (const FactorBlock& block : factor.blocks) {
      PARING_TRY_VOID(out.number(block.begin));
      PARING_TRY_VOID(out.values(block.order.data(), block.order.size()));
      // The lower triangle; the rest is not used.
      for (std::size_t k = 0; k < block.size; ++k) {
        PARING_TRY_VOID(out.raw(block.row(k), (k + 1) * sizeof(float)));
      }
    }
  }
  const Sha256Digest digest = out.finish();
  PARING_TRY_VOID(file.write(std::as_bytes(std::span(digest))));
  return file.commit();
}

std::optional<Statistics> load_statistics(const std::string& path) {
  const auto file = io::MappedFile::open(path);
  if (!file.has_value()) return std::nullopt;
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() < kMagic.size() + sizeof(Sha256Digest) ||
      std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return std::nullopt;
  }
  const auto content = bytes.first(bytes.size() - sizeof(Sha256Digest));
  Sha256 hash;
  hash.update(content);
  const Sha256Digest digest = hash.finish();
  if (std::memcmp(digest.data(), bytes.data() + content.size(), digest.size()) != 0) {
    return std::nullopt;
  }
  Reader in(content.subspan(kMagic.size()));
  Statistics statistics;
  const auto name = in.values<char>();
  statistics.text_name.assign(name.begin(), name.end());
  const auto sha = in.values<char>();
  statistics.text_sha256.assign(sha.begin(), sha.end());
  statistics.tokens = in.number();
  const std::uint64_t slots = in.number();
  for (std::uint64_t i = 0; i < slots && in.is_good(); ++i) {
    statistics.mean_squares.push_back(in.values<float>());
  }
  const std::uint64_t with_experts = in.number();
  for (std::uint64_t i = 0; i < with_experts && in.is_good(); ++i) {
    statistics.expert_tokens.push_back(in.values<double>());
  }
  statistics.factor_of = in.values<std::size_t>();
  const std::uint64_t factors = in.number();
  for (std::uint64_t i = 0; i < factors && in.is_good(); ++i) {
    InputFactor factor;
    const std::uint64_t blocks = in.number();
    for (std::uint64_t b = 0; b < blocks && in.is_good(); ++b) {
      FactorBlock block;
      block.begin = in.number();
      block.order = in.values<std::uint32_t>();
      block.size = block.order.size();
      if (!in.is_good() || !in.triangle(block.size, block.rows)) return std::nullopt;
      factor.blocks.push_back(std::move(block));
    }
    statistics.factors.push_back(std::move(factor));
  }
  if (!in.is_good() || !in.is_at_end()) return std::nullopt;
  return statistics;
}

}  // namespace paring::shrink
