#include "bench/random_adapters.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "bench/workload/random_numbers.h"
#include "formats/json.h"
#include "formats/module_table.h"
#include "formats/safetensors_writer.h"

namespace slora::bench {
namespace {

// A thousand large adapters would fill a disk. Further adapters share the weight files of the first ones by hard links, with a different
// config each: so their content hash differs, and each is read, checked and loaded by itself.
constexpr std::int32_t kWeightFilesMax = 64;
constexpr std::array<std::int32_t, 3> kMixedRanks = {8, 16, 64};

bool is_target(const ModuleEntry& module, AdapterTargets targets) {
  if (module.site.kind == SiteKind::head) return false;
  const auto ends_with = [&](std::string_view name) { return module.path.ends_with(name); };
  return targets == AdapterTargets::all || ends_with(".q_proj") || ends_with(".v_proj") || ends_with(".qkv_proj");
}

// [rows, cols] bf16 with random signs and fractions, magnitudes from 0.5 to 2 times the largest power of two up to `size`.
TensorToWrite random_tensor(std::string name, std::int64_t rows, std::int64_t cols, double size, RandomNumbers& random) {
  constexpr std::uint16_t kSignAndFraction = 0x807f;
  constexpr int kExponentBias = 127, kFractionBits = 7;
  const int exponent = kExponentBias + static_cast<int>(std::floor(std::log2(size))) - 1;
  TensorToWrite tensor{
      std::move(name), DType::bf16, {rows, cols}, std::vector<std::byte>(static_cast<std::size_t>(rows * cols) * sizeof(Bfloat16))};
  auto* numbers = reinterpret_cast<Bfloat16*>(tensor.bytes.data());
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const auto bits = static_cast<std::uint16_t>(random.next() >> 48);
    const int drawn = exponent + (bits >> 8 & 1);
    numbers[i].bits = static_cast<std::uint16_t>((bits & kSignAndFraction) | drawn << kFractionBits);
  }
  return tensor;
}

// Requires: errno was 0 before the file was opened; streams leave the system's error there.
tl::unexpected<Error> not_written(const std::filesystem::path& file) {
  return error("E_WRITE", "{} can't be written: {}", file.string(), errno != 0 ? std::strerror(errno) : "its stream failed");
}

Status write_config(const std::filesystem::path& folder, const ModuleTable& table, const AdapterKind& kind, std::int32_t index) {
  const std::int32_t rank = kind.rank_of(index);
  Json modules = Json::array();
  for (const ModuleEntry& module : table.modules) {
    if (is_target(module, kind.targets) && module.site.layer == 0) modules.push_back(module.path.substr(module.path.rfind('.') + 1));
  }
  Json config = {{"peft_type", "LORA"}, {"task_type", "CAUSAL_LM"}, {"base_model_name_or_path", fmt::format("random-{}", index)},
                 {"r", rank},           {"lora_alpha", rank},       {"target_modules", modules},
                 {"bias", "none"}};
  if (kind.family == RandomFamily::vera) {
    config["peft_type"] = "VERA";
    config["save_projection"] = false;
    config["projection_prng_key"] = 0;
    config.erase("lora_alpha");
  }
  const std::filesystem::path path = folder / "adapter_config.json";
  errno = 0;
  std::ofstream file(path);
  file << config.dump(2) << '\n';
  file.close();
  if (!file) return not_written(path);
  return {};
}

}  // namespace

std::int32_t AdapterKind::rank_of(std::int32_t index) const {
  return rank > 0 ? rank : kMixedRanks[static_cast<std::size_t>(index) % kMixedRanks.size()];
}

std::string name_of(const AdapterKind& kind) {
  const std::string_view targets = kind.targets == AdapterTargets::all ? "all" : "qv";
  const std::string_view family = kind.family == RandomFamily::vera ? "vera-" : "";
  return kind.rank > 0 ? fmt::format("{}r{} {}", family, kind.rank, targets) : fmt::format("{}mixed {}", family, targets);
}

std::uint64_t parameter_count(const ModelConfig& config, AdapterTargets targets, std::int32_t rank, RandomFamily family) {
  std::uint64_t count = 0;
  for (const ModuleEntry& module : make_module_table(config).modules) {
    if (!is_target(module, targets)) continue;
    const std::int64_t numbers = family == RandomFamily::vera ? rank + module.out : std::int64_t{rank} * (module.in + module.out);
    count += static_cast<std::uint64_t>(numbers);
  }
  return count;
}

std::string RandomAdapters::adapter_name(const AdapterKind& kind, std::int32_t index) {
  std::string name = name_of(kind);
  name[name.find(' ')] = '-';
  return fmt::format("{}-{}", name, index);
}

std::filesystem::path RandomAdapters::folder_of(const AdapterKind& kind, std::int32_t index) const {
  return folder_ / adapter_name(kind, index);
}

Status RandomAdapters::provide(AdapterStore& store, const AdapterKind& kind, std::int32_t count) {
  std::int32_t& provided = counts_[kind];
  for (std::int32_t i = provided; i < count; ++i) {
    if (Status written = write(kind, i); !written) return written;
  }
  for (; provided < count; ++provided) {
    const std::string name = adapter_name(kind, provided);
    if (Status added = store.add_folder(name, folder_of(kind, provided).string()); !added) return added;
  }
  return {};
}

Status RandomAdapters::write(const AdapterKind& kind, std::int32_t index) const {
  const std::filesystem::path folder = folder_of(kind, index);
  std::error_code failure;
  std::filesystem::create_directories(folder_, failure);
  if (failure) return error("E_WRITE", "{}: {}", folder_.string(), failure.message());
  // Other adapters may share the weight file of an existing folder.
  const bool is_new = std::filesystem::create_directory(folder, failure);
  if (failure) return error("E_WRITE", "{}: {}", folder.string(), failure.message());
  if (!is_new) return error("E_WRITE", "{} is there already", folder.string());
  Status written = write_files(kind, index);
  // An incomplete folder would be refused by servers, and by the next run.
  if (!written) std::filesystem::remove_all(folder, failure);
  return written;
}

Status RandomAdapters::write_files(const AdapterKind& kind, std::int32_t index) const {
  const std::filesystem::path folder = folder_of(kind, index);
  const std::int32_t rank = kind.rank_of(index);
  const ModuleTable table = make_module_table(config_);
  if (Status written = write_config(folder, table, kind, index); !written) return written;
  constexpr std::string_view kWeights = "adapter_model.safetensors";
  // A multiple of the number of ranks, so that a linked file has its adapter's rank.
  constexpr std::int32_t kFiles =
      kWeightFilesMax / static_cast<std::int32_t>(kMixedRanks.size()) * static_cast<std::int32_t>(kMixedRanks.size());
  if (index >= kFiles) {
    std::error_code failure;
    std::filesystem::create_hard_link(folder_of(kind, index % kFiles) / kWeights, folder / kWeights, failure);
    if (failure) return error("E_WRITE", "{}: {}", folder.string(), failure.message());
    return {};
  }
  RandomNumbers random(static_cast<std::uint64_t>(index) + 1);
  std::vector<TensorToWrite> tensors;
  for (const ModuleEntry& module : table.modules) {
    if (!is_target(module, kind.targets)) continue;
    const std::string name = "base_model.model." + module.path;
    if (kind.family == RandomFamily::vera) {
      tensors.push_back(random_tensor(name + ".vera_lambda_b", 1, module.out, 0.1, random));
      tensors.push_back(random_tensor(name + ".vera_lambda_d", 1, rank, 0.1, random));
      for (std::size_t i = tensors.size() - 2; i < tensors.size(); ++i) tensors[i].shape.erase(tensors[i].shape.begin());
      continue;
    }
    tensors.push_back(random_tensor(name + ".lora_A.weight", rank, module.in, 1 / std::sqrt(module.in), random));
    tensors.push_back(random_tensor(name + ".lora_B.weight", module.out, rank, 0.1 / std::sqrt(rank), random));
  }
  errno = 0;
  if (!write_safetensors((folder / kWeights).string(), tensors)) return not_written(folder / kWeights);
  return {};
}

}  // namespace slora::bench
