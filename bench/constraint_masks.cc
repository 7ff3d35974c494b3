// What constrained answers cost those next to them: the time between tokens of the other sequences of a batch, with and without a
// constraint for every second sequence.
//   constraint_masks MODEL_FOLDER [MICROSECONDS [BATCH [STEPS]]]
// Each mask takes this much processor time (30). Rounds with and without constraints take turns; medians of nine, and of their quotients.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/thread_time.h"
#include "constraint/constraint.h"
#include "engine/runtime.h"

namespace slora::bench {
namespace {

constexpr int kRounds = 9;
constexpr std::int32_t kPromptTokens = 16;

double thread_microseconds() { return seconds(thread_time()) * 1e6; }

// Allows three in four tokens, other ones after each token, and never ends.
class BusyConstraint final : public CompiledConstraint {
 public:
  explicit BusyConstraint(double microseconds) : microseconds_(microseconds) {}
  std::unique_ptr<TokenConstraint> start() const override { return std::make_unique<Started>(microseconds_); }

 private:
  class Started final : public TokenConstraint {
   public:
    explicit Started(double microseconds) : microseconds_(microseconds) {}
    Status fill(std::span<std::uint32_t> allowed) override {
      const double end = thread_microseconds() + microseconds_;
      std::ranges::fill(allowed, ~(0x11111111u << (count_ % 4)));
      while (thread_microseconds() < end) continue;
      return {};
    }
    Status accept(TokenId) override {
      ++count_;
      return {};
    }
    bool is_complete() const override { return false; }

   private:
    const double microseconds_;
    std::uint32_t count_ = 0;
  };

  const double microseconds_;
};

// When the tokens of each sequence came.
class TokenTimes {
 public:
  Engine::EventSink sink() {
    return [this](std::vector<TokenEvent>&& events) {
      const Timestamp now = SteadyClock().now();
      const std::lock_guard lock(mutex_);
      for (const TokenEvent& event : events) {
        if (event.token.id >= 0) times_[event.sequence].push_back(now);
        if (event.end) ++ended_;
      }
      changed_.notify_all();
    };
  }
  void wait_for(std::size_t ends) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ == ends; });
    ended_ = 0;
  }
  // Mean milliseconds from the first token to the last.
  double between_tokens(SequenceId id) {
    const std::lock_guard lock(mutex_);
    const std::vector<Timestamp>& times = times_.at(id);
    return seconds(times.back() - times.front()) * 1000 / static_cast<double>(times.size() - 1);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<SequenceId, std::vector<Timestamp>> times_;
  std::size_t ended_ = 0;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Milliseconds between the tokens of the even sequences and of the odd ones, which may have a constraint.
struct RoundTimes {
  double even = 0, odd = 0;
};

RoundTimes run_round(Runtime& runtime, TokenTimes& times, std::shared_ptr<const CompiledConstraint> constraint, int batch, int steps) {
  std::vector<SequenceId> ids;
  for (int i = 0; i < batch; ++i) {
    GenerationRequest request;
    request.id = runtime.engine().next_sequence_id();
    std::vector<TokenId> prompt;
    for (std::int32_t k = 0; k < kPromptTokens; ++k) prompt.push_back((i * 977 + k * 31) % (runtime.model_config().vocab_size - 1));
    request.prompt = std::move(prompt);
    request.output_tokens_max = steps;
    request.sampling.seed = static_cast<std::uint64_t>(i);
    if (i % 2 == 1) request.constraint = constraint;
    ids.push_back(request.id);
    if (const Status submitted = runtime.engine().submit(std::move(request)); !submitted) {
      fmt::print(stderr, "{}\n", submitted.error().message);
      std::exit(1);
    }
  }
  times.wait_for(ids.size());
  std::vector<double> even, odd;
  for (std::size_t i = 0; i < ids.size(); ++i) (i % 2 == 0 ? even : odd).push_back(times.between_tokens(ids[i]));
  return {median(even), median(odd)};
}

int run(const std::string& model_folder, double microseconds, int batch, int steps) {
  TokenTimes times;
  RuntimeOptions options;
  options.model_folder = model_folder;
  options.model_name = "bench";
  options.backend = "cpu";
  Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options), times.sink());
  if (!runtime) {
    fmt::print(stderr, "{}\n", runtime.error().message);
    return 1;
  }
  const auto constraint = std::make_shared<BusyConstraint>(microseconds);
  std::vector<double> plain, others, constrained, share;
  (void)run_round(**runtime, times, constraint, batch, 4);
  for (int round = 0; round < kRounds; ++round) {
    const RoundTimes without = run_round(**runtime, times, nullptr, batch, steps);
    const RoundTimes with = run_round(**runtime, times, constraint, batch, steps);
    plain.push_back(without.even);
    others.push_back(with.even);
    constrained.push_back(with.odd);
    share.push_back(with.even / without.even);
  }
  const auto suspended = (*runtime)->metrics().counter("slora_constraint_suspended_rows_total", "").value();
  fmt::print("batch {}, {} tokens each, vocabulary {}, {} us a mask\n", batch, steps, (*runtime)->model_config().vocab_size, microseconds);
  fmt::print("ms between tokens: {:.3f} without constraints; {:.3f} of the others, {:.3f} of those constrained\n", median(plain),
             median(others), median(constrained));
  fmt::print("others with over without: {:.4f}; suspended rows: {} of {}\n", median(share), suspended, kRounds * batch / 2 * steps);
  return 0;
}

}  // namespace
}  // namespace slora::bench

int main(int argc, char** argv) {
  std::array<int, 3> numbers = {30, 16, 64};
  for (int i = 2; i < argc && i < 5; ++i)
    std::from_chars(argv[i], argv[i] + std::strlen(argv[i]), numbers[static_cast<std::size_t>(i) - 2]);
  if (argc < 2 || numbers[1] < 2 || numbers[2] < 2) {
    fmt::print(stderr, "usage: constraint_masks MODEL_FOLDER [MICROSECONDS [BATCH [STEPS]]]\n");
    return 2;
  }
  return slora::bench::run(argv[1], numbers[0], numbers[1], numbers[2]);
}
