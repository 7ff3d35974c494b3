#pragma once
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "formats/json.h"
#include "formats/readable_tensor.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace slora {

// Writes the LoRA adapter of a PEFT folder as mlx-lm saves it. Requires: lora_A and lora_B of equal ranks.
inline void write_as_mlx(const std::string& peft_folder, const std::string& folder) {
  const Json peft = read_json_file(peft_folder + "/adapter_config.json").value();
  const auto file = std::make_shared<const SafetensorsFile>(SafetensorsFile::open(peft_folder + "/adapter_model.safetensors").value());
  std::vector<ReadableTensor> tensors;
  for (ReadableTensor& tensor : readable_tensors(file)) {
    constexpr std::string_view kPrefix = "base_model.model.", kEnding = "lora_A.weight";
    const std::string name = tensor.info.name.substr(kPrefix.size());
    tensor = transposed(std::move(tensor));
    tensor.info.name = name.substr(0, name.size() - kEnding.size()) + (name.ends_with(kEnding) ? "lora_a" : "lora_b");
    tensors.push_back(std::move(tensor));
  }
  std::filesystem::create_directories(folder);
  std::ofstream weights(folder + "/adapters.safetensors", std::ios::binary | std::ios::trunc);
  const ByteSink sink = [&](std::span<const std::byte> bytes) -> Status {
    weights.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return {};
  };
  check(write_safetensors(sink, tensors).has_value(), "expected to write the file");
  const double rank = peft["r"].get<double>(), divisor = peft.value("use_rslora", false) ? std::sqrt(rank) : rank;
  const Json config = {{"fine_tune_type", "lora"},
                       {"num_layers", -1},
                       {"lora_parameters", {{"rank", peft["r"]}, {"dropout", 0.0}, {"scale", peft["lora_alpha"].get<double>() / divisor}}}};
  std::ofstream(folder + "/adapter_config.json") << config.dump();
}

}  // namespace slora
