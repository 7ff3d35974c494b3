#include "cli/bench_machine.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "bench/machine_facts.h"
#include "bench/machine_limits.h"
#include "cli/byte_size.h"
#include "tensor/buffer.h"

namespace slora {
namespace {

constexpr std::size_t kMemoryBytes = std::size_t{1} << 30;

void print_peak(std::string_view what, std::optional<double> peak) {
  if (peak) fmt::print("{:<16}{:.0f} G/s\n", what, *peak / 1e9);
}

}  // namespace

int run_bench_machine(int threads) {
  const bench::MachineFacts facts = bench::machine_facts();
  fmt::print("{:<16}{}, {} cores, {}\n", "cpu", facts.cpu, facts.cores, facts.instructions);
  fmt::print("{:<16}{}, huge pages: {}\n", "memory", shown_byte_size(facts.memory_bytes), facts.huge_pages);
  fmt::print("{:<16}{}\n", "system", facts.system);
  const Buffer memory(kMemoryBytes);
  std::memset(memory.data(), 1, memory.bytes());
  const std::array pieces = {std::span<const std::byte>(memory.data(), memory.bytes())};
  bench::MachineProbe probe(threads, pieces);
  const bench::MachineLimits limits = probe.measure();
  fmt::print("{:<16}{:.1f} GB/s ({})\n", "reading", limits.bandwidth / 1e9, probe.reading());
  print_peak("fp32", limits.fp32_peak);
  print_peak("bf16", limits.bf16_peak);
  print_peak("int8", limits.int8_peak);
  return 0;
}

}  // namespace slora
