#pragma once
#include <functional>
#include <utility>

#include "api/generator.h"
#include "engine/engine.h"
#include "sources/adapter_sources.h"

namespace slora {

// The engine and its adapters, those that are fetched when they are asked for among them, behind the interface that jobs use. All of them
// outlive it.
class EngineGenerator final : public Generator {
 public:
  EngineGenerator(Engine& engine, AdapterStore& adapters) : engine_(engine), adapters_(adapters) {}

  // Requires: no request has come yet.
  void use(AdapterSources& sources) { sources_ = &sources; }

  SequenceId next_sequence_id() override { return engine_.next_sequence_id(); }
  Status submit(GenerationRequest request) override { return engine_.submit(std::move(request)); }
  Status check_queue(ClientId client, const QueueDemand& demand) const override { return engine_.check_queue(client, demand); }
  void cancel(SequenceId id) override { engine_.cancel(id); }
  std::int32_t output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const override {
    return engine_.output_tokens_that_fit(prompt_tokens, adapter);
  }
  EmbeddingSupport embeddings() const override { return engine_.embeddings(); }
  bool follows_priority() const override { return engine_.follows_priority(); }
  Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view adapter_name) override {
    Result<std::shared_ptr<const AdapterVersion>> version = adapters_.find_version(adapter_name);
    if (version || sources_ == nullptr || version.error().code != "not_found") return version;
    if (const std::optional<Error> why = sources_->failure_of(adapter_name)) return tl::unexpected(*why);
    return version;
  }
  Result<std::shared_ptr<const AdapterVersion>> find_blend(std::span<const WeightedAdapter> names) override {
    return adapters_.find_blend(names);
  }
  bool is_known(std::string_view adapter_name) const override { return !is_elsewhere(adapter_name) && adapters_.is_known(adapter_name); }
  void await_adapter(std::string_view adapter_name, std::function<void()> then) override {
    if (is_elsewhere(adapter_name)) return sources_->fetch(adapter_name, std::move(then));
    adapters_.await_look(adapter_name, std::move(then));
  }
  std::optional<std::string> adapter_in_folder(std::string_view path) const override { return adapters_.name_of_folder(path); }

 private:
  [[nodiscard]] bool is_elsewhere(std::string_view adapter_name) const {
    return sources_ != nullptr && sources_->may_have(adapter_name) && !adapters_.find(adapter_name);
  }

  Engine& engine_;
  AdapterStore& adapters_;
  AdapterSources* sources_ = nullptr;  // null: there are none
};

}  // namespace slora
