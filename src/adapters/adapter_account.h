#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"

namespace slora {

// What is counted of the requests for an adapter, and of its loads.
enum class AdapterFigure : std::uint8_t {
  stopped,  // sequences that ended by a stop token or text
  cut,      // by their length
  aborted,  // because the client left, or something failed
  prompt_tokens,
  generation_tokens,
  loads,
  hits,  // sequences that came while the image was in the pool
  first_token_microseconds,
  requests,  // sequences that came
};

// Upper ends of the ranges that times to the first token are counted in.
inline constexpr std::array<double, 10> kFirstTokenSeconds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

struct AdapterFigures {
  std::array<std::uint64_t, 9> counts{};                                    // by AdapterFigure
  std::array<std::uint64_t, kFirstTokenSeconds.size() + 1> first_tokens{};  // per range

  [[nodiscard]] std::uint64_t operator[](AdapterFigure figure) const { return counts[static_cast<std::size_t>(figure)]; }
  AdapterFigures& operator+=(const AdapterFigures& other);
  AdapterFigures& operator-=(const AdapterFigures& other);
  bool operator==(const AdapterFigures&) const = default;
};

// What a server keeps of an adapter's name as long as it is registered, whatever content the name has: what requests did with it, and how
// long its image stays without them. Shared by the store and the versions of the name. Any thread; counting is a few atomic additions.
class AdapterAccount {
 public:
  // `total` counts all that is counted here, too; null: nothing does.
  explicit AdapterAccount(std::shared_ptr<AdapterAccount> total = nullptr) : total_(std::move(total)) {}

  void add(AdapterFigure figure, std::uint64_t amount = 1);
  void observe_first_token(double seconds);
  [[nodiscard]] AdapterFigures figures() const;
  [[nodiscard]] const std::shared_ptr<AdapterAccount>& total() const { return total_; }

  // A sequence came; and: one ended, or one of a blend with the adapter came. Called by one thread, that of the jobs.
  void note_request(Timestamp now);
  void note_use(Timestamp now) { note(now, 0); }
  // When the latest of these was; zero: never.
  [[nodiscard]] Timestamp used_at() const { return Timestamp(used_at_.load(std::memory_order_relaxed)); }
  // Sequences that came of late: those of ten minutes ago count half.
  [[nodiscard]] double recent_requests(Timestamp now) const;

  // Without requests for so long, its image leaves the pool; zero: it stays. Nothing: as the server's options say.
  [[nodiscard]] std::optional<Timestamp> idle_time() const;
  void set_idle_time(std::optional<Timestamp> time);

 private:
  static constexpr Timestamp::rep kAsServer = -1;

  void note(Timestamp now, double requests);

  const std::shared_ptr<AdapterAccount> total_;  // shared by all accounts of a store
  std::array<std::atomic<std::uint64_t>, std::tuple_size_v<decltype(AdapterFigures::counts)>> counts_{};
  std::array<std::atomic<std::uint64_t>, std::tuple_size_v<decltype(AdapterFigures::first_tokens)>> first_tokens_{};
  std::atomic<double> recent_requests_{0};  // as they counted at used_at_
  std::atomic<Timestamp::rep> used_at_{0};
  std::atomic<Timestamp::rep> idle_time_{kAsServer};
};

}  // namespace slora
