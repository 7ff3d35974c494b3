#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_importer.h"
#include "adapters/family_modules.h"
#include "adapters/image_layout.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
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

// Names of tensors that derived ones are made of.
std::set<std::string> sources_of(const slora::AdapterPlan& plan) {
  std::set<std::string> names;
  for (const auto& derived : plan.derived) names.insert(derived->sources().begin(), derived->sources().end());
  return names;
}

// What importers leave out: buffers, modules of AdaLoRA that are pruned to rank 0, and stored matrices of VeRA that are drawn again.
bool may_be_unused(const slora::TensorInfo& tensor, const slora::AdapterConfig& config) {
  const bool is_pruned = config.family == slora::AdapterFamily::adalora && tensor.bytes == 0;
  const bool is_drawn =
      config.family == slora::AdapterFamily::vera && !config.saves_projection && !slora::name_of_shared(tensor.name).empty();
  return slora::is_stray(tensor) || is_pruned || is_drawn;
}

}  // namespace

// The first line is a config, each other line a tensor. Any plan that results must use every tensor and every derived one, LoRA's once, and
// have an image layout.
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
  for (std::size_t i = tensors.size(); i < uses.size(); ++i) check(uses[i] > 0, "expected every derived tensor to be used");
  const std::set<std::string> sources = sources_of(*plan);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (may_be_unused(tensors[i], *config)) continue;
    check(uses[i] > 0 || sources.contains(tensors[i].name), "expected every tensor to be used");
    check(uses[i] <= 1 || config->family == AdapterFamily::vera, "expected no tensor in two places, except where modules share it");
  }
  check(make_image_layout(std::move(plan->records), {DType::bf16, 2}, 4096).has_value(), "expected an image of a plan for a small base");
  return 0;
}
