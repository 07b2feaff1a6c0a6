// SPDX-License-Identifier: Apache-2.0
// Folders in Hugging Face layout read as GGUF, written back, and refused when they lie.
#include "model/hf_translation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/folder_for_test.h"
#include "io/json_object.h"
#include "io/safetensors_writer.h"
#include "model/architecture.h"
#include "model/hf_export.h"
#include "model/hf_rope.h"
#include "quant/format.h"

namespace paring::model {
namespace {

using io::SafetensorsDeclaration;

constexpr std::size_t kWidth = 64;
constexpr std::size_t kHeadWidth = 32;
constexpr std::size_t kVocabulary = 8;

constexpr const char* kConfig = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
  "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "max_position_embeddings": 256, "rms_norm_eps": 1e-05,
  "rope_theta": 100000.0, "rope_scaling": null, "tie_word_embeddings": true, "vocab_size": 8
})";

std::vector<SafetensorsDeclaration> llama_tensors(DType type) {
  std::vector<SafetensorsDeclaration> tensors;
  tensors.push_back({"model.embed_tokens.weight", type, {kVocabulary, kWidth}});
  for (const char* layer : {"0", "1"}) {
    const std::string prefix = std::string("model.layers.") + layer + ".";
    tensors.push_back({prefix + "input_layernorm.weight", type, {kWidth}});
    tensors.push_back({prefix + "self_attn.q_proj.weight", type, {kWidth, kWidth}});
    tensors.push_back({prefix + "self_attn.k_proj.weight", type, {kHeadWidth, kWidth}});
    tensors.push_back({prefix + "self_attn.v_proj.weight", type, {kHeadWidth, kWidth}});
    tensors.push_back({prefix + "self_attn.o_proj.weight", type, {kWidth, kWidth}});
    tensors.push_back({prefix + "post_attention_layernorm.weight", type, {kWidth}});
    tensors.push_back({prefix + "mlp.gate_proj.weight", type, {96, kWidth}});
    tensors.push_back({prefix + "mlp.up_proj.weight", type, {96, kWidth}});
    tensors.push_back({prefix + "mlp.down_proj.weight", type, {kWidth, 96}});
  }
  tensors.push_back({"model.norm.weight", type, {kWidth}});
  return tensors;
}

class HfTranslation : public io::FolderTest {
 protected:
  // Values in [-1, 1) that differ everywhere, in the type of each tensor.
  void write_tensors(const std::vector<SafetensorsDeclaration>& tensors,
                     const std::string& name = "model.safetensors") {
    auto writer = io::SafetensorsWriter::create(path(name), io::Overwrite::kReplace, tensors);
    ASSERT_TRUE(writer.has_value()) << writer.error().text();
    for (const SafetensorsDeclaration& tensor : tensors) {
      std::vector<float> values(tensor.bytes() / dtype_info(tensor.type).block_bytes);
      for (float& value : values) {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        value = static_cast<float>(state_ >> 40U) / 8388608.0F - 1.0F;
      }
      std::vector<std::byte> bytes(tensor.bytes());
      (*quant::require_format(tensor.type))
          ->encode(values.data(), nullptr, bytes.data(), values.size());
      ASSERT_TRUE(writer->append(bytes).has_value());
    }
    ASSERT_TRUE(writer->commit().has_value());
  }
  void write_llama(const std::string& config = kConfig, DType type = DType::kBF16) {
    write("config.json", config);
    write_tensors(llama_tensors(type));
  }

  Result<io::ModelFile> open(const std::string& folder) {
    PARING_TRY(io::HfFolder opened, io::HfFolder::open(folder));
    PARING_TRY(io::ModelParts parts, translate_hf(opened));
    return io::ModelFile(std::move(parts));
  }
  // The message of the refusal; empty when the folder was read.
  std::string refused() {
    const auto file = open(folder_.string());
    if (file) return "";
    return file.error().text();
  }
  // As refused(), with `from` in config.json replaced by `to`.
  std::string refused_with(const std::string& from, const std::string& to) {
    std::string config = kConfig;
    const std::size_t at = config.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    write_llama(config.replace(at, from.size(), to));
    const auto file = open(folder_.string());
    if (!file) return file.error().text();
    const auto spec = read_block_spec(*file);
    return spec ? "" : spec.error().text();
  }

  std::uint64_t state_ = 1;
};

std::vector<float> values_of(const io::ModelFile& file, const std::string& name) {
  const io::TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) return {};
  const io::TensorBytes bytes = file.data(*tensor);
  std::vector<float> values(tensor->values());
  (*quant::require_format(tensor->type))->decode(bytes.data(), values.data(), values.size());
  return values;
}

// Tensors of a safetensors folder by name, as they lie there.
std::map<std::string, std::string> raw_tensors(const std::string& folder) {
  std::map<std::string, std::string> raw;
  const auto opened = io::HfFolder::open(folder);
  EXPECT_TRUE(opened.has_value()) << opened.error().text();
  if (!opened) return raw;
  for (const io::HfTensor& tensor : opened->tensors) {
    const auto bytes =
        opened->maps[tensor.file].bytes().subspan(tensor.info.offset, tensor.info.bytes);
    raw[tensor.info.name] = tensor.info.type_name +
                            std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return raw;
}

TEST_F(HfTranslation, HyperParametersAreThoseOfTheConverter) {
  write_llama();
  const auto file = open(folder_.string());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  const io::Metadata& metadata = file->metadata();
  EXPECT_EQ(*metadata.get_string("general.architecture"), "llama");
  EXPECT_EQ(*metadata.get_u64("llama.block_count"), 2U);
  EXPECT_EQ(*metadata.get_u64("llama.context_length"), 256U);
  EXPECT_EQ(*metadata.get_u64("llama.embedding_length"), kWidth);
  EXPECT_EQ(*metadata.get_u64("llama.feed_forward_length"), 96U);
  EXPECT_EQ(*metadata.get_u64("llama.attention.head_count"), 2U);
  EXPECT_EQ(*metadata.get_u64("llama.attention.head_count_kv"), 1U);
  EXPECT_EQ(*metadata.get_u64("llama.rope.dimension_count"), kHeadWidth);
  EXPECT_EQ(*metadata.get_u64("llama.vocab_size"), kVocabulary);
  EXPECT_FLOAT_EQ(static_cast<float>(*metadata.get_f64("llama.attention.layer_norm_rms_epsilon")),
                  1e-5F);
  EXPECT_EQ(*metadata.get_f64("llama.rope.freq_base"), 100000.0);
  EXPECT_EQ(*metadata.get_u64("general.file_type"), 32U);  // mostly BF16
  const auto spec = read_block_spec(*file);
  ASSERT_TRUE(spec.has_value()) << spec.error().text();
  EXPECT_EQ(spec->head_width, kHeadWidth);
}

TEST_F(HfTranslation, TensorsHaveGgufNamesShapesAndTypes) {
  write_llama();
  const auto file = open(folder_.string());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  EXPECT_EQ(file->tensors().size(), 20U);
  EXPECT_EQ(file->tensors()[0].name, "token_embd.weight");
  const io::TensorInfo* up = file->find("blk.1.ffn_up.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(up->shape, (std::vector<std::uint64_t>{kWidth, 96}));
  EXPECT_EQ(up->type, DType::kBF16);
  const io::TensorInfo* norm = file->find("blk.0.attn_norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->type, DType::kF32);
}

TEST_F(HfTranslation, QueryAndKeyRowsChangePlaces) {
  write_llama(kConfig, DType::kF32);
  const auto file = open(folder_.string());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  const auto raw = raw_tensors(folder_.string());
  for (const auto& [hf, gguf, rows] :
       {std::tuple("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", kWidth),
        std::tuple("model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight", kHeadWidth)}) {
    const std::string bytes = raw.at(hf).substr(3);  // behind "F32"
    const std::vector<float> values = values_of(*file, gguf);
    for (std::size_t row = 0; row < rows; ++row) {
      // Element j of the first half of a head and element j of the second become neighbours.
      const std::size_t j = row % kHeadWidth;
      const std::size_t from = row - j + (j % 2) * (kHeadWidth / 2) + j / 2;
      EXPECT_EQ(
          std::memcmp(values.data() + row * kWidth, bytes.data() + from * kWidth * 4, kWidth * 4),
          0)
          << gguf << " row " << row;
    }
  }
}

TEST_F(HfTranslation, AnExportedFolderHoldsTheSameBytes) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
    write_llama(kConfig, type);
    const auto file = open(folder_.string());
    ASSERT_TRUE(file.has_value()) << file.error().text();
    for (const std::uint64_t shard_bytes : {kHfShardBytesMax, std::uint64_t{40'000}}) {
      const std::string out = path("out");
      std::filesystem::remove_all(out);
      std::filesystem::create_directories(out);
      const auto progress =
          make_progress({.style = ProgressStyle::kSilent, .clock = nullptr, .write = {}});
      const auto written =
          export_hf(*file, out, {.type = type, .shard_bytes_max = shard_bytes}, *progress);
      ASSERT_TRUE(written.has_value()) << written.error().text();
      EXPECT_EQ(raw_tensors(out), raw_tensors(folder_.string()));
      EXPECT_EQ(std::filesystem::exists(out + "/model.safetensors.index.json"),
                shard_bytes != kHfShardBytesMax);
      const auto again = open(out);
      ASSERT_TRUE(again.has_value()) << again.error().text();
      for (const auto& [key, value] : file->metadata().entries()) {
        if (key == "general.name") continue;  // the folder's
        ASSERT_TRUE(again->metadata().has(key)) << key;
        EXPECT_EQ(*again->metadata().find(key), value) << key;
      }
    }
  }
}

TEST_F(HfTranslation, ValuesBeyondF16AreNotExportedAsF16) {
  write("config.json", kConfig);
  write_tensors(llama_tensors(DType::kF32));
  // The first value of the embedding, which lies first in the data.
  std::string text = read("model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, text.data(), sizeof(header));
  const float large = 1e6F;
  std::memcpy(text.data() + 8 + header, &large, sizeof(large));
  write("model.safetensors", text);
  const auto file = open(folder_.string());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  std::filesystem::create_directories(path("out"));
  const auto progress =
      make_progress({.style = ProgressStyle::kSilent, .clock = nullptr, .write = {}});
  const auto written = export_hf(*file, path("out"), {.type = DType::kF16}, *progress);
  ASSERT_FALSE(written.has_value());
  EXPECT_NE(written.error().message.find("holds 1e+06, which F16 cannot"), std::string::npos)
      << written.error().message;
}

TEST_F(HfTranslation, ShardsAreOneModel) {
  write("config.json", kConfig);
  const auto tensors = llama_tensors(DType::kF16);
  const std::size_t half = tensors.size() / 2;
  const std::vector<SafetensorsDeclaration> first(tensors.begin(), tensors.begin() + half);
  const std::vector<SafetensorsDeclaration> second(tensors.begin() + half, tensors.end());
  write_tensors(first, "a.safetensors");
  write_tensors(second, "b.safetensors");
  const auto index = [&](const std::string& second_name) {
    std::vector<std::pair<std::string, std::string>> map;
    for (const auto& tensor : first) map.emplace_back(tensor.name, "a.safetensors");
    for (const auto& tensor : second) map.emplace_back(tensor.name, second_name);
    write("model.safetensors.index.json", io::safetensors_index_json(0, map));
  };
  index("b.safetensors");
  const auto file = open(folder_.string());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  EXPECT_EQ(file->tensors().size(), 20U);
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(path("a.safetensors")) +
                                    std::filesystem::file_size(path("b.safetensors")));
  // Names that lead out of the folder, or that are no shards.
  for (const char* name : {"../b.safetensors", "/etc/passwd", "..\\b.safetensors", "b.bin",
                           ".safetensors", "sub/b.safetensors", ""}) {
    index(name);
    EXPECT_NE(refused().find("is not the name of a safetensors file of this folder"),
              std::string::npos)
        << name << ": " << refused();
  }
  index("c.safetensors");
  EXPECT_NE(refused().find("c.safetensors"), std::string::npos);
  index("a.safetensors");
  EXPECT_NE(refused().find("is missing, model.safetensors.index.json says it is here"),
            std::string::npos);
}

TEST_F(HfTranslation, LinksOutOfTheFolderAreRefusedButThoseOfTheCache) {
  namespace fs = std::filesystem;
  fs::create_directories(path("elsewhere"));
  write_llama();
  const fs::path model = folder_ / "snapshots" / "0123";
  fs::create_directories(model);
  fs::create_directories(folder_ / "blobs");
  fs::copy_file(folder_ / "config.json", model / "config.json");
  fs::copy_file(folder_ / "model.safetensors", folder_ / "blobs" / "abc");
  fs::create_symlink("../../blobs/abc", model / "model.safetensors");
  EXPECT_TRUE(open(model.string()).has_value());
  fs::remove(model / "model.safetensors");
  fs::create_symlink(folder_ / "model.safetensors", model / "model.safetensors");
  const auto file = open(model.string());
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message.find("outside of its folder"), std::string::npos);
}

TEST_F(HfTranslation, NumbersThatCannotBeAreRefusedByName) {
  EXPECT_EQ(refused_with("\"hidden_act\"", "\"hidden_act\""), "");  // the frame itself is sound
  const std::pair<const char*, std::pair<const char*, const char*>> lies[] = {
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": \"2\"", "'num_hidden_layers' holds a string"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": 0", "'num_hidden_layers' is 0, it must be between 1 and"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": -2", "'num_hidden_layers' holds i64 -2"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": 2.5", "'num_hidden_layers' holds f64 2.5"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": 99999999999", "'num_hidden_layers' is 99999999999"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": 2000000", "llama.block_count is 2000000"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": null", "'num_hidden_layers' is missing"}},
      {"\"num_hidden_layers\": 2",
       {"\"num_hidden_layers\": 1", "is of layer 1, 'num_hidden_layers' is 1"}},
      {"\"num_attention_heads\": 2", {"\"num_attention_heads\": 0", "'num_attention_heads' is 0"}},
      {"\"num_attention_heads\": 2",
       {"\"num_attention_heads\": 3",
        "'hidden_size' 64 is not a multiple of num_attention_heads 3"}},
      {"\"rms_norm_eps\": 1e-05", {"\"rms_norm_eps\": NaN", "is no JSON"}},
      {"\"rms_norm_eps\": 1e-05", {"\"rms_norm_eps\": 1e300", "beyond the range of an F32"}},
      {"\"rms_norm_eps\": 1e-05", {"\"rms_norm_eps\": \"1e-5\"", "'rms_norm_eps' holds a string"}},
      {"\"rope_theta\": 100000.0", {"\"rope_theta\": 0", "'rope_theta' is 0, it must be between"}},
      {"\"rope_theta\": 100000.0", {"\"rope_theta\": -1.0", "'rope_theta' is -1"}},
      {"\"rope_scaling\": null",
       {"\"rope_scaling\": {\"rope_type\": \"magic\", \"factor\": 2}",
        "'rope_scaling.rope_type' is 'magic', which is not known"}},
      {"\"rope_scaling\": null",
       {"\"rope_scaling\": {\"rope_type\": \"linear\"}", "'rope_scaling.factor' is missing"}},
      {"\"rope_scaling\": null",
       {"\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0.0}",
        "'rope_scaling.factor' is 0"}},
      {"\"hidden_act\": \"silu\"", {"\"hidden_act\": \"relu\"", "'hidden_act' is 'relu'"}},
      {"\"LlamaForCausalLM\"", {"\"NoSuchModel\"", "'architectures' is 'NoSuchModel'"}},
      {"\"vocab_size\": 8",
       {"\"quantization_config\": {\"quant_method\": \"gptq\"}",
        "the weights are quantized by gptq"}},
      {"\"tie_word_embeddings\": true",
       {"\"tie_word_embeddings\": false", "there is no tensor 'lm_head.weight'"}},
      {"\"tie_word_embeddings\": true",
       {"\"tie_word_embeddings\": 1", "'tie_word_embeddings' holds u64 1"}},
  };
  for (const auto& [from, lie] : lies) {
    const std::string message = refused_with(from, lie.first);
    EXPECT_NE(message.find(lie.second), std::string::npos) << lie.first << ": " << message;
    EXPECT_NE(message.find(folder_.string()), std::string::npos) << message;
  }
}

TEST_F(HfTranslation, TensorsThatCannotBeAreRefusedByName) {
  const auto refused_tensors =
      [&](const std::function<void(std::vector<SafetensorsDeclaration>&)>& change) {
        write("config.json", kConfig);
        auto tensors = llama_tensors(DType::kBF16);
        change(tensors);
        write_tensors(tensors);
        return refused();
      };
  EXPECT_EQ(refused_tensors([](auto&) {}), "");
  EXPECT_NE(refused_tensors([](auto& t) {
              t[0].name = "model.vision.weight";
            }).find("tensor 'model.vision.weight' is not known for this architecture"),
            std::string::npos);
  EXPECT_NE(refused_tensors([](auto& t) {
              t[1].name = "model.layers.01.input_layernorm.weight";
            }).find("is not known"),
            std::string::npos);
  EXPECT_NE(refused_tensors([](auto& t) {
              t[1].name = "model.layers.7.input_layernorm.weight";
            }).find("is of layer 7, 'num_hidden_layers' is 2"),
            std::string::npos);
  EXPECT_NE(refused_tensors([](auto& t) {
              t[2].shape = {7, kWidth};
            }).find("has 7 rows, not an even number for each of 2 heads"),
            std::string::npos);
  EXPECT_NE(refused_tensors([](auto& t) {
              t[2].shape = {0, kWidth};
            }).find("has a dimension of length 0"),
            std::string::npos);
  EXPECT_NE(refused_tensors([](auto& t) {
              t[2].shape = {2, 2, 2};
            }).find("has 3 dimensions, 1 or 2 are needed"),
            std::string::npos);
  EXPECT_EQ(refused_tensors([](auto& t) {
              t.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {16}});
            }),
            "");
  // A type that no weights are read from.
  std::string text = read("model.safetensors");
  const std::size_t at = text.find("\"BF16\"");
  ASSERT_NE(at, std::string::npos);
  write("model.safetensors", text.replace(at, 6, "\"I16\" "));
  EXPECT_NE(refused().find("is of type I16, F32, F16 and BF16 can be read"), std::string::npos);
}

TEST_F(HfTranslation, FilesThatAreMissingAreNamed) {
  write("config.json", kConfig);
  EXPECT_NE(refused().find("holds no 'model.safetensors'"), std::string::npos);
  write("pytorch_model.bin", "x");
  EXPECT_NE(refused().find("can run any program"), std::string::npos);
}

TEST(HfRope, Llama3DivisorsFollowTheWavelengths) {
  // Llama 3.2 1B: 32 pairs of base 500000, factor 32.
  const Llama3Scaling scaling{.factor = 32};
  const std::vector<float> divisors = llama3_divisors(scaling, 500000, 64);
  ASSERT_EQ(divisors.size(), 32U);
  EXPECT_EQ(divisors.front(), 1.0F);  // turns 1304 times in 8192 positions
  EXPECT_EQ(divisors.back(), 32.0F);  // turns less than once
  EXPECT_TRUE(std::is_sorted(divisors.begin(), divisors.end()));
  // Pair 16 turns 8192 / (2 pi) * 500000^-0.5 = 1.8438 times: between 1 and 4.
  const double share = (8192 / (2 * 3.14159265358979) / std::sqrt(500000.0) - 1) / 3;
  EXPECT_NEAR(divisors[16], 1 / ((1 - share) / 32 + share), 1e-4);
}

TEST_F(HfTranslation, Llama3ScalingBecomesATensorAndComesBack) {
  for (const int context : {64, 8192, 32768}) {
    std::string config = kConfig;
    const std::string from = "\"rope_scaling\": null";
    config.replace(config.find(from), from.size(),
                   R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0,
                       "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                       "original_max_position_embeddings": )" +
                       std::to_string(context) + "}");
    write_llama(config);
    const auto file = open(folder_.string());
    ASSERT_TRUE(file.has_value()) << file.error().text();
    const std::vector<float> divisors = values_of(*file, "rope_freqs.weight");
    ASSERT_EQ(divisors.size(), kHeadWidth / 2);
    EXPECT_EQ(divisors.back(), 8.0F);
    const auto exported = hf_config_json(*file, {});
    ASSERT_TRUE(exported.has_value()) << exported.error().text();
    const auto read_back = io::parse_json_object(*exported, "config.json");
    EXPECT_EQ(*read_back->get_string("rope_scaling.rope_type"), "llama3");
    EXPECT_EQ(*read_back->get_f64("rope_scaling.factor"), 8.0);
    EXPECT_EQ(*read_back->get_u64("rope_scaling.original_max_position_embeddings"),
              static_cast<std::uint64_t>(context));
  }
}

}  // namespace
}  // namespace paring::model
