#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "adapters/adapter_importer.h"
#include "adapters/family_modules.h"
#include "adapters/image_layout.h"
#include "adapters/testing/lora_fixture.h"
#include "base/check.h"
#include "formats/json.h"

namespace {

// "NAME TYPE DIMENSION...": after the name, one byte for the type and one for each dimension.
slora::TensorInfo tensor_from(std::string_view line) {
  slora::TensorInfo tensor;
  const std::size_t end = line.find(' ');
  tensor.name = line.substr(0, end);
  if (end == std::string_view::npos) return tensor;
  const std::string_view rest = line.substr(end + 1);
  tensor.bytes = 1;
  for (std::size_t i = 0; i < rest.size() && i < 9; ++i) {
    const auto digit = static_cast<unsigned char>(rest[i]);
    if (i == 0) {
      tensor.dtype = static_cast<slora::DType>(digit % 12);
    } else {
      tensor.shape.push_back(digit);
      tensor.bytes *= digit;
    }
  }
  tensor.bytes *= bytes_of(tensor.dtype);
  return tensor;
}

}  // namespace

// The first line is a config, each other line a tensor. Any plan that results must have parts of tensors that there are, use every tensor
// of LoRA once, and have an image layout.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  static const ModuleTable base = test_modules();
  std::string_view text(reinterpret_cast<const char*>(data), bytes);
  std::vector<std::string_view> lines;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  if (lines.empty()) return 0;
  const Result<Json> json = parse_json(lines[0]);
  if (!json) return 0;
  const Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) return 0;
  std::vector<TensorInfo> tensors;
  for (std::size_t i = 1; i < lines.size(); ++i) tensors.push_back(tensor_from(lines[i]));
  Result<AdapterModules> modules = read_family_modules(*config, tensors, {.rank_max = 512, .modules = &base});
  if (!modules) return 0;
  Result<AdapterPlan> plan = import_modules(std::move(*modules), *config, base);
  if (!plan) return 0;

  std::vector<int> uses(tensors.size() + plan->derived.size());
  for (const AdapterRecord& record : plan->records) {
    for (const AdapterPart& part : record.parts) ++uses.at(part.source.value);
  }
  if (config->family == AdapterFamily::lora) {
    for (const int count : uses) check(count == 1, "expected every tensor to be used once");
  }
  check(make_image_layout(std::move(plan->records), {DType::bf16, 2}, 4096).has_value(), "expected an image of a plan for a small base");
  return 0;
}
