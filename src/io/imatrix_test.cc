// SPDX-License-Identifier: Apache-2.0
#include "io/imatrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "io/folder_for_test.h"
#include "io/gguf_writer.h"

namespace paring::io {
namespace {

Imatrix small() {
  Imatrix imatrix;
  imatrix.entries.push_back({"blk.0.attn_q.weight", {0.5F, 2.0F, 0.0F}, {512}});
  imatrix.entries.push_back({"output.weight", {4.0F}, {512}});
  imatrix.datasets = {"wiki.txt"};
  imatrix.chunk_count = 1;
  imatrix.chunk_tokens = 512;
  return imatrix;
}

class ImatrixTest : public FolderTest {
 protected:
  std::string refused(const std::string& bytes) {
    const auto imatrix = parse_imatrix(bytes_of(bytes), "i.dat");
    return imatrix ? "" : imatrix.error().message;
  }
};

TEST_F(ImatrixTest, BothLayoutsKeepTheMeans) {
  for (const auto layout : {ImatrixLayout::kGguf, ImatrixLayout::kOlder}) {
    const auto written = write_imatrix(small(), layout, path("i"), Overwrite::kReplace);
    ASSERT_TRUE(written.has_value()) << written.error().text();
    const auto read = read_imatrix(path("i"));
    ASSERT_TRUE(read.has_value()) << read.error().text();
    ASSERT_EQ(read->entries.size(), 2U);
    const ImatrixEntry* entry = read->find("blk.0.attn_q.weight");
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->mean_squares, (std::vector<float>{0.5F, 2.0F, 0.0F}));
    EXPECT_EQ(read->find("output.weight")->mean_squares, std::vector<float>{4.0F});
    EXPECT_EQ(read->find("blk.1.attn_q.weight"), nullptr);
    EXPECT_EQ(read->datasets, std::vector<std::string>{"wiki.txt"});
    EXPECT_EQ(read->chunk_count, 1U);
  }
}

// Fields of the older layout one by one, so that each may be wrong.
class Older {
 public:
  Older& i32(std::int32_t value) { return raw(&value, sizeof(value)); }
  Older& f32(float value) { return raw(&value, sizeof(value)); }
  Older& name(const std::string& text) {
    i32(static_cast<std::int32_t>(text.size()));
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Older& raw(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    return *this;
  }
  std::string bytes_;
};

TEST_F(ImatrixTest, TheOlderLayoutDividesByItsCalls) {
  const Older file = Older().i32(1).name("a").i32(4).i32(2).f32(8).f32(2).i32(4).name("t.txt");
  const auto read = parse_imatrix(bytes_of(file.bytes()), "i.dat");
  ASSERT_TRUE(read.has_value()) << read.error().text();
  EXPECT_EQ(read->entries[0].mean_squares, (std::vector<float>{2.0F, 0.5F}));
  EXPECT_EQ(read->chunk_count, 4U);
}

TEST_F(ImatrixTest, LiesOfTheOlderLayoutAreRefused) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_NE(refused(""), "");
  EXPECT_NE(refused(Older().i32(-1).bytes()).find("the number of entries is -1"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(0).bytes()).find("the number of entries is 0"), std::string::npos);
  EXPECT_NE(refused(Older().i32(0x7fffffff).bytes()).find("it must be between 1 and"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).i32(-5).bytes()).find("the name's length of entry 1 of 1 is -5"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).i32(200).bytes()).find("the file ends inside the name"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(-1).bytes()).find("the number of calls"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(0).bytes()).find("columns of entry 1"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(0x7fffffff).bytes()).find("columns"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(2).f32(1).bytes())
                .find("the file ends inside the values"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(1).f32(-1).bytes()).find("holds -1"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(1).f32(infinity).bytes()).find("holds inf"),
            std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(1).f32(std::nanf("")).bytes()).find("nan"),
            std::string::npos);
  EXPECT_NE(
      refused(Older().i32(2).name("a").i32(1).i32(1).f32(1).name("a").i32(1).i32(1).f32(1).bytes())
          .find("entry 'a' appears twice"),
      std::string::npos);
  EXPECT_NE(refused(Older().i32(1).name("a").i32(1).i32(1).f32(1).i32(1).name("t").i32(9).bytes())
                .find("4 bytes follow the end"),
            std::string::npos);
}

// A GGUF importance matrix with these tensors of F32, all values 1 but the first of each.
std::string gguf(const std::string& path, const std::string& type,
                 const std::vector<std::pair<TensorDeclaration, float>>& tensors) {
  auto writer = GgufWriter::create(path, Overwrite::kReplace);
  Metadata metadata;
  metadata.set("general.type", GgufValue::of_string(type));
  writer->set_metadata(metadata);
  for (const auto& [tensor, first] : tensors) EXPECT_TRUE(writer->declare(tensor).has_value());
  EXPECT_TRUE(writer->begin().has_value());
  for (const auto& [tensor, first] : tensors) {
    std::uint64_t count = 1;
    for (const std::uint64_t length : tensor.shape) count *= length;
    std::vector<float> values(count, 1);
    values[0] = first;
    EXPECT_TRUE(writer->append(tensor.name, std::as_bytes(std::span(values))).has_value());
  }
  EXPECT_TRUE(writer->commit().has_value());
  return path;
}

TEST_F(ImatrixTest, LiesOfTheGgufLayoutAreRefused) {
  const TensorDeclaration sums{"a.in_sum2", DType::kF32, {2}};
  const TensorDeclaration counts{"a.counts", DType::kF32, {1}};
  const auto refused_file = [&](const std::string& type, const auto& tensors) {
    const auto imatrix = read_imatrix(gguf(path("i.gguf"), type, tensors));
    return imatrix ? std::string() : imatrix.error().message;
  };
  using Tensors = std::vector<std::pair<TensorDeclaration, float>>;
  EXPECT_EQ(refused_file("imatrix", Tensors{{sums, 1.0F}, {counts, 2.0F}}), "");
  EXPECT_NE(
      refused_file("model", Tensors{{sums, 1.0F}, {counts, 2.0F}}).find("'imatrix' is needed"),
      std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{sums, 1.0F}}).find("has sums but no counts"),
            std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{counts, 1.0F}}).find("has no entries"),
            std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{sums, 1.0F}, {counts, 0.0F}}).find("over 0 tokens"),
            std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{sums, -1.0F}, {counts, 2.0F}}).find("holds -0.5"),
            std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{sums, std::nanf("")}, {counts, 2.0F}}).find("nan"),
            std::string::npos);
  EXPECT_NE(refused_file("imatrix", Tensors{{{"a.weight", DType::kF32, {2}}, 1.0F}})
                .find("is neither sums"),
            std::string::npos);
  const TensorDeclaration experts{"a.in_sum2", DType::kF32, {2, 8}};
  EXPECT_NE(refused_file("imatrix", Tensors{{experts, 1.0F}, {counts, 2.0F}})
                .find("has sums of 8 matrices and counts of 1"),
            std::string::npos);
  const TensorDeclaration numbers{"a.counts", DType::kF32, {1, 8}};
  EXPECT_NE(refused_file("imatrix", Tensors{{experts, 1.0F}, {numbers, -2.0F}})
                .find("averages over -2 tokens"),
            std::string::npos);
  EXPECT_EQ(refused_file("imatrix", Tensors{{experts, 1.0F}, {numbers, 0.0F}}), "");
}

TEST_F(ImatrixTest, ExpertsHaveCountsOfTheirOwn) {
  Imatrix imatrix;
  imatrix.entries.push_back(
      {"blk.0.ffn_up_exps.weight", {0.5F, 2.0F, 0.0F, 0.0F, 3.0F, 1.0F}, {100, 0, 28}});
  imatrix.chunk_count = 1;
  ASSERT_TRUE(write_imatrix(imatrix, ImatrixLayout::kGguf, path("i"), Overwrite::kReplace));
  const auto read = read_imatrix(path("i"));
  ASSERT_TRUE(read.has_value()) << read.error().text();
  EXPECT_EQ(read->entries[0].mean_squares, imatrix.entries[0].mean_squares);
  EXPECT_EQ(read->entries[0].counts, imatrix.entries[0].counts);
  // The older layout has the values, but one count.
  ASSERT_TRUE(write_imatrix(imatrix, ImatrixLayout::kOlder, path("i"), Overwrite::kReplace));
  const auto older = read_imatrix(path("i"));
  ASSERT_TRUE(older.has_value()) << older.error().text();
  EXPECT_EQ(older->entries[0].mean_squares, imatrix.entries[0].mean_squares);
  EXPECT_EQ(older->entries[0].counts.size(), 1U);
}

TEST_F(ImatrixTest, EveryCutIsRefused) {
  for (const auto layout : {ImatrixLayout::kGguf, ImatrixLayout::kOlder}) {
    Imatrix imatrix = small();
    ASSERT_TRUE(write_imatrix(imatrix, layout, path("i"), Overwrite::kReplace).has_value());
    const std::string whole = read("i");
    // The older layout may end after its entries or after the number of chunks; GGUF's padding may
    // be missing.
    std::size_t accepted = 0;
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      accepted += refused(whole.substr(0, bytes)).empty() ? 1 : 0;
    }
    EXPECT_LE(accepted, layout == ImatrixLayout::kGguf ? 28U : 2U);
  }
}

}  // namespace
}  // namespace paring::io
