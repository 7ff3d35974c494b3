#pragma once
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_image.h"
#include "base/check.h"
#include "base/gate.h"
#include "formats/model_config.h"
#include "formats/module_table.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {

inline void write_text(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// One that is never closed.
inline Gate& open_gate() {
  static Gate gate;
  return gate;
}

// A base of two layers with unequal widths and biases on q, k and v.
inline ModuleTable test_modules(std::int32_t shard_count = 1) {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = 48;
  config.intermediate_size = 80;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.head_dim = 12;
  config.qkv_bias = true;
  std::vector<ShardShape> shards;
  for (std::int32_t shard = 0; shard < shard_count; ++shard) shards.push_back(*make_shard_shape(config, shard, shard_count));
  return make_module_table(config, shards);
}

inline AdapterBase test_base(AdapterFormat format = {}, std::size_t page_bytes = 4096) {
  return {.modules = test_modules(), .format = format, .page_bytes = page_bytes};
}

// A PEFT adapter folder to be written, tensor by tensor.
struct LoraFixture {
  std::string config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6})";
  std::vector<TensorToWrite> tensors;

  static std::vector<float> random_values(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> values(count);
    // Multiples of 1/8 below 16: exact in bf16.
    for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 255) - 127) / 8;
    return values;
  }

  LoraFixture& add(const std::string& name, std::vector<std::int64_t> shape, DType dtype = DType::f32,
                   const std::string& prefix = "base_model.model.") {
    std::size_t count = 1;
    for (const std::int64_t dimension : shape) count *= static_cast<std::size_t>(dimension);
    if (count == 0) {
      tensors.push_back({prefix + name, dtype, std::move(shape), {}});
      return *this;
    }
    tensors.push_back(tensor_to_write(prefix + name, dtype, std::move(shape), random_values(count, static_cast<unsigned>(tensors.size()))));
    return *this;
  }

  LoraFixture& add_pair(const std::string& module, std::int64_t rank, std::int64_t in, std::int64_t out, DType dtype = DType::f32) {
    add(module + ".lora_A.weight", {rank, in}, dtype);
    return add(module + ".lora_B.weight", {out, rank}, dtype);
  }

  const LoraFixture& write(const std::string& folder) const {
    std::filesystem::create_directories(folder);
    write_text(folder + "/adapter_config.json", config);
    check(write_safetensors(folder + "/adapter_model.safetensors", tensors).has_value(), "expected to write the file");
    return *this;
  }
};

inline LoraFixture small_lora() {
  LoraFixture fixture;
  fixture.add_pair("model.layers.0.self_attn.q_proj", 4, 48, 48);
  fixture.add_pair("model.layers.1.mlp.down_proj", 4, 80, 48);
  return fixture;
}

// An adapter of one module.
inline LoraFixture lora_of_rank(int rank) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": )" + std::to_string(rank) + R"(, "lora_alpha": 8, "base_model_name_or_path": "a/base"})";
  fixture.add_pair("model.layers.0.self_attn.q_proj", rank, 48, 48);
  return fixture;
}

}  // namespace slora
