#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/adapter_look.h"
#include "adapters/adapter_version.h"
#include "api/generator.h"
#include "formats/temporary_folder.h"

namespace slora {

// Accepts sequences up to its capacity and records them; tokens come from the tests.
class ScriptedGenerator final : public Generator {
 public:
  SequenceId next_sequence_id() override { return SequenceId{++last_id}; }
  Status submit(GenerationRequest request) override {
    if (submitted.size() >= capacity) return error("queue_full", "full");
    submitted.push_back(std::move(request));
    return {};
  }
  Status check_queue(ClientId, const QueueDemand& demand) const override {
    demands.push_back(demand);
    if (demand.sequences > sequences_max) return error("too_many_sequences", "expected at most {}", sequences_max);
    if (has_late_limit || submitted.size() + demand.sequences <= capacity) return {};
    return error("queue_full", "full");
  }
  void cancel(SequenceId id) override { cancelled.insert(id.value); }
  std::int32_t output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion*) const override { return context - prompt_tokens; }
  EmbeddingSupport embeddings() const override { return embedding_support; }
  bool follows_priority() const override { return has_priorities; }
  Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view name) override {
    if (name == "broken") return error("E_RANK", "rank 0");
    if (name == "fine" || name == "good") {
      const FolderStamp stamp = current_stamp(system_folders(), folder_of_fine.path()).value();
      return std::make_shared<const AdapterVersion>(AdapterId{name == "fine" ? id_of_fine : 3u},
                                                    AdapterVersion::Origin{std::string(name), folder_of_fine.path(), 1, stamp}, 1);
    }
    if (name == "late") {
      return std::make_shared<const AdapterVersion>(AdapterId{4},
                                                    AdapterVersion::Origin{"late",
                                                                           folder_of_fine.path(),
                                                                           1,
                                                                           current_stamp(system_folders(), folder_of_fine.path()).value(),
                                                                           {.invocation_tokens = {7, 8}}},
                                                    1);
    }
    return error("not_found", "no adapter {}", name);
  }
  Result<std::shared_ptr<const AdapterVersion>> find_blend(std::span<const WeightedAdapter> names) override {
    std::vector<BlendComponent> components;
    for (const WeightedAdapter& wanted : names) components.push_back({resolve(wanted.name).value(), wanted.weight});
    return std::make_shared<const AdapterVersion>(AdapterId{2}, std::move(components));
  }
  bool is_known(std::string_view) const override { return true; }
  void await_adapter(std::string_view name, std::function<void()> then) override {
    if (const auto version = resolve(name); version && on_look) on_look(**version);
    then();
  }
  std::optional<std::string> adapter_in_folder(std::string_view path) const override {
    return path == "adapters/fine" ? std::optional<std::string>("fine") : std::nullopt;
  }

  const TemporaryFolder folder_of_fine;  // empty: the adapter brings no text files
  std::uint64_t id_of_fine = 1;
  std::function<void(const AdapterVersion&)> on_look;  // reads the adapter's texts
  EmbeddingSupport embedding_support{true, Pooling::last, 4};
  std::int32_t context = 64;
  bool has_priorities = false;
  bool has_late_limit = false;  // only submit() refuses
  std::uint64_t last_id = 0;
  std::size_t capacity = 100, sequences_max = 1000;
  mutable std::vector<QueueDemand> demands;
  std::vector<GenerationRequest> submitted;
  std::set<std::uint64_t> cancelled;
};

}  // namespace slora
