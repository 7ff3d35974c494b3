#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "bench/peak_loops.h"
#include "bench/read_loops.h"
#include "formats/json.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::bench {

// What the machine can do at most with all threads, as measured at one moment: on shared machines it changes within minutes.
struct MachineLimits {
  double bandwidth = 0;             // bytes read per second
  double fp32_peak = 0;             // operations per second; a multiplication and an addition are two
  std::optional<double> bf16_peak;  // none: the machine has no such instruction, or it is not to be used
  std::optional<double> int8_peak;

  // The peak of products in this arithmetic, which are computed in fp32 on machines without an instruction for it.
  [[nodiscard]] double peak(Arithmetic arithmetic) const;
};

[[nodiscard]] Json to_json(const MachineLimits& limits);
[[nodiscard]] MachineLimits mean(const MachineLimits& a, const MachineLimits& b);

// Measures the limits as often as asked. Owns its threads, which sleep between measurements; used by one thread.
class MachineProbe {
 public:
  // Bandwidth is that of reading `memory`, which outlives the probe. The constructor tries all read loops and keeps the fastest. Peaks are
  // those of `instructions`.
  MachineProbe(int threads, std::span<const std::span<const std::byte>> memory, Instructions instructions = Instructions::best);

  [[nodiscard]] MachineLimits measure();
  // "avx512, 4 streams, 4096 bytes ahead".
  [[nodiscard]] std::string reading() const;
  [[nodiscard]] std::size_t read_bytes() const { return read_bytes_; }

 private:
  void read(const ReadLoop& loop, std::size_t piece_count);
  [[nodiscard]] double peak_of(const PeakLoop& loop);

  cpu::ThreadPool pool_;
  std::vector<std::span<const std::byte>> pieces_;
  std::size_t read_bytes_ = 0;  // of all pieces
  ReadLoop loop_{};
  std::vector<PeakLoop> peaks_;
};

// The median; for an even number the mean of the middle two. Requires: values is not empty.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace slora::bench
