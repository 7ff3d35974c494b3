#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapters/adapter_importer.h"
#include "adapters/family_modules.h"
#include "adapters/testing/lora_fixture.h"
#include "formats/json.h"
#include "formats/model_files.h"

namespace slora {

// Config and tensors of an adapter of any family, imported as its folder would be. `weights`: the base's.
inline Result<AdapterPlan> import_adapter(const LoraFixture& fixture, std::shared_ptr<const ModelFiles> weights = nullptr,
                                          std::int64_t rank_max = 512) {
  static const ModuleTable base = test_modules();
  const Result<Json> json = parse_json(fixture.config);
  if (!json) return tl::unexpected(json.error());
  const Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) return tl::unexpected(config.error());
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const Result<SafetensorsFile> file = SafetensorsFile::open(folder.file("adapter_model.safetensors"));
  if (!file) return tl::unexpected(file.error());
  Result<AdapterModules> modules = read_family_modules(*config, file->tensors(), {rank_max, &base, std::move(weights), nullptr, &*file});
  if (!modules) return forward_error(modules);
  return import_modules(std::move(*modules), *config, base);
}

// "CODE: message" of the refusal, or "served".
inline std::string refusal_of(const LoraFixture& fixture) {
  const Result<AdapterPlan> plan = import_adapter(fixture);
  return plan ? "served" : plan.error().code + ": " + plan.error().message;
}

// The index of the tensor that fills a part, or -1.
inline int tensor_of(const AdapterRecord& record, PartKind kind) {
  const AdapterPart* const part = record.find(kind);
  return part == nullptr ? -1 : static_cast<int>(part->source.value);
}

// All numbers of a part that is derived from the fixture's tensors.
inline std::vector<float> derived_values(const LoraFixture& fixture, const AdapterPlan& plan, const AdapterRecord& record, PartKind kind) {
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const Result<SafetensorsFile> file = SafetensorsFile::open(folder.file("adapter_model.safetensors"));
  const std::size_t index = record.find(kind)->source.value - fixture.tensors.size();
  const DerivedTensor& tensor = *plan.derived.at(index);
  const std::int64_t rows = tensor.shape().size() == 2 ? tensor.shape()[0] : 1;
  std::vector<float> values(static_cast<std::size_t>(rows * tensor.shape().back()));
  const Status computed = tensor.compute(values.data(), *file, 0, rows, open_gate());
  EXPECT_TRUE(computed) << (computed ? "" : computed.error().message);
  return values;
}

// The numbers of a tensor of the fixture in fp32.
inline std::vector<float> numbers_of(const TensorToWrite& tensor) {
  std::vector<float> values(tensor.bytes.size() / bytes_of(tensor.dtype));
  convert_to_float(values.data(), tensor.bytes.data(), tensor.dtype, values.size());
  return values;
}

}  // namespace slora
