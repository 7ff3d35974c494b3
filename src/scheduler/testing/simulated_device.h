#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "scheduler/step_plan.h"

namespace slora {

// Splittable counter-based generator: the same numbers on every machine.
class SimulatedRandom {
 public:
  explicit SimulatedRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  // [0, count). Requires: count > 0.
  std::uint64_t below(std::uint64_t count) { return next() % count; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(most - least + 1)));
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  bool chance(double probability) { return unit() < probability; }

 private:
  std::uint64_t state_;
};

// A stand-in for a language model: the value that a token writes to its slot depends on the token, on all tokens before it, on the tenant
// and on the adapter's image, and so does the next token. As in a real model, a wrong or stale slot anywhere changes the output.
struct SimulatedModel {
  std::int32_t vocabulary = 4;
  std::uint64_t stop_period = 40;  // one in stop_period tokens ends its sequence
  std::uint64_t fail_period = 0;   // one in fail_period tokens fails; 0: none

  [[nodiscard]] static std::uint64_t image_word(AdapterId adapter, std::uint64_t word_index);
  // What one word of an image adds to the image's digest.
  [[nodiscard]] static std::uint64_t image_part(std::uint64_t word, std::uint64_t word_index);
  [[nodiscard]] static std::uint64_t start(TenantId tenant, AdapterId adapter, std::uint64_t image_digest);
  // What a digest changes by where the adapter begins to act.
  [[nodiscard]] static std::uint64_t begin_adapter(TenantId tenant, AdapterId adapter, std::uint64_t image_digest) {
    return start(tenant, adapter, image_digest) - start(tenant, kNoAdapter, 0);
  }
  // The value of the slot of `token` after tokens whose digest is `digest`.
  [[nodiscard]] static std::uint64_t slot(std::uint64_t digest, TokenId token);
  [[nodiscard]] static std::uint64_t add_slot(std::uint64_t digest, std::uint64_t slot, std::int32_t position);
  [[nodiscard]] RowResult next(std::uint64_t digest) const;
};

// A device that executes plans on pages of slots. Owned by the simulator.
class SimulatedDevice {
 public:
  SimulatedDevice(const SimulatedModel& model, std::uint32_t page_count, std::int32_t page_tokens);

  // While an image is loading its pages hold noise. Shared images that are not there are loaded with it, by the first that lands.
  void begin_load(const AdapterLoad& load);
  void land(AdapterId adapter);
  void fail(AdapterId adapter);
  // The scheduler reported that the image, or a shared image, left the pool.
  void evict(AdapterId adapter);
  void fill_with_noise(std::span<const PageIndex> pages);

  // Reads and writes pages as the plan says; `previous` are the rows of the previous plan. Fills `digests` with the digest after each span.
  // Returns what is wrong with the plan itself, or nothing.
  [[nodiscard]] std::string run(const StepPlan& plan, std::span<const TenantId> tenants, const StepResult& previous, StepResult& result,
                                std::vector<std::uint64_t>& digests);

  [[nodiscard]] bool is_loading(AdapterId adapter) const { return loading_.contains(adapter); }
  [[nodiscard]] bool is_resident(AdapterId adapter) const { return resident_.contains(adapter); }
  // Of a resident image, with those that it shares; empty for any other.
  [[nodiscard]] std::span<const PageIndex> image_pages(AdapterId adapter) const;
  // Shared ones included.
  [[nodiscard]] std::size_t image_count() const { return loading_.size() + resident_.size() + shared_.size(); }
  // Empty when it is not there.
  [[nodiscard]] std::span<const PageIndex> shared_pages(AdapterId id) const;
  [[nodiscard]] bool is_written(AdapterId shared) const { return shared_.at(shared).is_written; }
  // Whether an image is loading that needs this shared one, which has not come yet.
  [[nodiscard]] bool is_awaited(AdapterId shared) const;
  // Whether every shared image is used, and is where those that use it read it; what is wrong, or nothing.
  [[nodiscard]] std::string check_shared() const;

 private:
  struct Image {
    std::vector<PageIndex> pages;     // its own, then those that it shares
    std::vector<SharedPages> shared;  // as they were when it was loaded
  };
  struct Shared {
    std::vector<PageIndex> pages;
    bool is_written = false;
  };

  [[nodiscard]] std::span<std::uint64_t> slots_of(PageIndex page);
  void write_words(std::span<const PageIndex> pages, AdapterId id);

  const SimulatedModel model_;
  const std::size_t page_tokens_;
  std::vector<std::uint64_t> slots_;  // [page_count, page_tokens]
  std::unordered_map<AdapterId, Image> loading_, resident_;
  std::unordered_map<AdapterId, Shared> shared_;
  SimulatedRandom noise_{1};
};

}  // namespace slora
