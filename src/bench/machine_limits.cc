#include "bench/machine_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/clock.h"

namespace slora::bench {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::size_t kReadBytesMax = std::size_t{1} << 30;   // of larger memory, every n-th piece is read
constexpr std::size_t kTriedBytesMax = std::size_t{1} << 28;  // while the read loop is chosen
constexpr int kReadRuns = 5, kTriedRuns = 3, kPeakRuns = 5;
constexpr int kPeakItemsPerThread = 4;  // more than one, so that other threads can take over from one that is delayed

template <class Function>
double median_seconds(int runs, Function&& run) {
  const SteadyClock clock;
  std::vector<double> times;
  run();
  for (int i = 0; i < runs; ++i) {
    const Timestamp begin = clock.now();
    run();
    times.push_back(seconds(clock.now() - begin));
  }
  return median(std::move(times));
}

std::vector<std::span<const std::byte>> cut(std::span<const std::span<const std::byte>> memory) {
  std::vector<std::span<const std::byte>> pieces;
  for (std::span<const std::byte> part : memory) {
    for (; part.size() >= kReadUnitBytes; part = part.subspan(std::min(kPieceBytes, part.size()))) {
      const std::size_t bytes = std::min(kPieceBytes, part.size()) / kReadUnitBytes * kReadUnitBytes;
      pieces.push_back(part.first(bytes));
    }
  }
  const std::size_t stride = pieces.size() * kPieceBytes / kReadBytesMax + 1;
  std::vector<std::span<const std::byte>> kept;
  for (std::size_t i = 0; i < pieces.size(); i += stride) kept.push_back(pieces[i]);
  return kept;
}

}  // namespace

double median(std::vector<double> values) {
  check(!values.empty(), "expected values to take the median of");
  std::ranges::sort(values);
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

double MachineLimits::peak(Arithmetic arithmetic) const {
  switch (arithmetic) {
    case Arithmetic::fp32:
      return fp32_peak;
    case Arithmetic::bf16:
      return std::max(bf16_peak.value_or(0), fp32_peak);  // on some processors multiplying widened numbers is faster
    case Arithmetic::int8:
      return int8_peak.value_or(peak(Arithmetic::bf16));
  }
  fail_check("expected a known arithmetic", std::source_location::current());
}

Json to_json(const MachineLimits& limits) {
  Json json = {{"bytes_per_second", limits.bandwidth}, {"fp32_per_second", limits.fp32_peak}};
  if (limits.bf16_peak) json["bf16_per_second"] = *limits.bf16_peak;
  if (limits.int8_peak) json["int8_per_second"] = *limits.int8_peak;
  return json;
}

MachineLimits mean(const MachineLimits& a, const MachineLimits& b) {
  const auto of_both = [](std::optional<double> x, std::optional<double> y) {
    return x && y ? std::optional((*x + *y) / 2) : std::nullopt;
  };
  return {(a.bandwidth + b.bandwidth) / 2, (a.fp32_peak + b.fp32_peak) / 2, of_both(a.bf16_peak, b.bf16_peak),
          of_both(a.int8_peak, b.int8_peak)};
}

MachineProbe::MachineProbe(int threads, std::span<const std::span<const std::byte>> memory, Instructions instructions)
    : pool_(threads > 0 ? threads : cpu::usable_core_count()), pieces_(cut(memory)), peaks_(usable_peak_loops(instructions)) {
  check(!pieces_.empty(), "expected memory to read");
  for (const std::span<const std::byte> piece : pieces_) read_bytes_ += piece.size();
  const std::size_t tried = std::min(pieces_.size(), kTriedBytesMax / kPieceBytes);
  double least = std::numeric_limits<double>::infinity();
  for (const ReadLoop& loop : usable_read_loops()) {
    const double time = median_seconds(kTriedRuns, [&] { read(loop, tried); });
    if (time < least) {
      least = time;
      loop_ = loop;
    }
  }
}

MachineLimits MachineProbe::measure() {
  MachineLimits limits;
  limits.bandwidth = static_cast<double>(read_bytes_) / median_seconds(kReadRuns, [&] { read(loop_, pieces_.size()); });
  for (const PeakLoop& loop : peaks_) {
    const double peak = peak_of(loop);
    if (loop.arithmetic == Arithmetic::fp32) limits.fp32_peak = peak;
    if (loop.arithmetic == Arithmetic::bf16) limits.bf16_peak = peak;
    if (loop.arithmetic == Arithmetic::int8) limits.int8_peak = peak;
  }
  return limits;
}

std::string MachineProbe::reading() const {
  return fmt::format("{}, {} stream{}, {} bytes ahead", loop_.instructions, loop_.streams, loop_.streams == 1 ? "" : "s",
                     loop_.ahead_bytes);
}

// Each thread reads neighbouring pieces, in order, as far as possible.
void MachineProbe::read(const ReadLoop& loop, std::size_t piece_count) {
  std::atomic<std::uint64_t> total{0};
  pool_.parallel_for(static_cast<std::int64_t>(piece_count), [&](std::int64_t index, int) {
    const std::span<const std::byte> piece = pieces_[static_cast<std::size_t>(index)];
    total.fetch_add(loop.read(piece.data(), piece.size()), std::memory_order_relaxed);
  });
}

double MachineProbe::peak_of(const PeakLoop& loop) {
  std::atomic<double> total{0};
  const int items = kPeakItemsPerThread * pool_.thread_count();
  const double time = median_seconds(kPeakRuns, [&] { pool_.parallel_for(items, [&](std::int64_t, int) { total = total + loop.run(); }); });
  return items * loop.operations_per_run / time;
}

}  // namespace slora::bench
