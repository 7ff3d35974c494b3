#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "adapters/adapter_store.h"
#include "formats/model_config.h"

namespace slora::bench {

enum class AdapterTargets : std::uint8_t { qv, all };   // of each layer: q and v, or all seven projections
enum class RandomFamily : std::uint8_t { lora, vera };  // VeRA with A and B that are drawn, of one key

// A group of adapters that differ only in their numbers.
struct AdapterKind {
  std::int32_t rank = 16;  // 0: 8, 16 and 64 in rotation
  AdapterTargets targets = AdapterTargets::all;
  RandomFamily family = RandomFamily::lora;
  auto operator<=>(const AdapterKind&) const = default;

  [[nodiscard]] std::int32_t rank_of(std::int32_t index) const;
};
// "r16 all", "mixed qv", "vera-r256 all".
[[nodiscard]] std::string name_of(const AdapterKind& kind);
// Number of parameters of an adapter of this rank, of LoRA or in its own file.
[[nodiscard]] std::uint64_t parameter_count(const ModelConfig& config, AdapterTargets targets, std::int32_t rank,
                                            RandomFamily family = RandomFamily::lora);

// Writes PEFT folders of random numbers for one model below a folder, and registers them. Completed ones are not removed. One thread.
class RandomAdapters {
 public:
  // `folder` exists and stays until the last adapter has been loaded.
  RandomAdapters(std::filesystem::path folder, const ModelConfig& config) : folder_(std::move(folder)), config_(config) {}

  // Registers the first `count` adapters of a kind with `store`, and writes those that are new.
  [[nodiscard]] Status provide(AdapterStore& store, const AdapterKind& kind, std::int32_t count);
  // Writes the folder of one adapter, completely or not at all; an error when it exists. Requires: those with a lower index were
  // written.
  [[nodiscard]] Status write(const AdapterKind& kind, std::int32_t index) const;
  [[nodiscard]] static std::string adapter_name(const AdapterKind& kind, std::int32_t index);

 private:
  // Into the adapter's folder, which exists.
  [[nodiscard]] Status write_files(const AdapterKind& kind, std::int32_t index) const;
  [[nodiscard]] std::filesystem::path folder_of(const AdapterKind& kind, std::int32_t index) const;

  const std::filesystem::path folder_;
  const ModelConfig config_;
  std::map<AdapterKind, std::int32_t> counts_;  // registered so far
};

}  // namespace slora::bench
