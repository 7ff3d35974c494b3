#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "adapters/adapter_version.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/engine.h"

namespace slora {

// What the API needs of an engine. Two implementations: the engine's (engine_generator.h), and the scripted one of tests, which produces
// full queues, failing loads and hanging steps on demand. Any thread.
class Generator {
 public:
  virtual ~Generator() = default;

  [[nodiscard]] virtual SequenceId next_sequence_id() = 0;
  // As Engine::submit: "queue_full", "client_queue_full", "draining" or "never_fits"; otherwise exactly one event with `end` follows.
  [[nodiscard]] virtual Status submit(GenerationRequest request) = 0;
  // As Engine::check_queue: "queue_full" or "client_queue_full", or "too_many_sequences" or "too_many_prompt_tokens" for good.
  [[nodiscard]] virtual Status check_queue(ClientId client, const QueueDemand& demand) const = 0;
  virtual void cancel(SequenceId id) = 0;
  [[nodiscard]] virtual std::int32_t output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const = 0;
  // As Engine::embeddings.
  [[nodiscard]] virtual EmbeddingSupport embeddings() const = 0;
  // As Engine::follows_priority.
  [[nodiscard]] virtual bool follows_priority() const = 0;

  // As AdapterStore::find_version: "not_found", or why the adapter is refused. Reads no file.
  [[nodiscard]] virtual Result<std::shared_ptr<const AdapterVersion>> resolve(std::string_view adapter_name) = 0;
  // As AdapterStore::find_blend.
  [[nodiscard]] virtual Result<std::shared_ptr<const AdapterVersion>> find_blend(std::span<const WeightedAdapter> names) = 0;
  // As AdapterStore::is_known and AdapterStore::await_look: whether resolve() knows enough, and how to wait until it does, and until the
  // adapter's text files have been read.
  [[nodiscard]] virtual bool is_known(std::string_view adapter_name) const = 0;
  virtual void await_adapter(std::string_view adapter_name, std::function<void()> then) = 0;
  // As AdapterStore::name_of_folder.
  [[nodiscard]] virtual std::optional<std::string> adapter_in_folder(std::string_view path) const = 0;
};

}  // namespace slora
