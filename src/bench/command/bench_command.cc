#include "bench/command/bench_command.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "bench/machine_facts.h"
#include "bench/machine_limits.h"
#include "cli/byte_size.h"
#include "cli/option_range.h"
#include "tensor/buffer.h"

namespace slora {
namespace {

constexpr std::size_t kMemoryBytes = std::size_t{1} << 30;

void print_peak(std::string_view what, std::optional<double> peak) {
  if (peak) fmt::print("{:<16}{:.0f} G/s\n", what, *peak / 1e9);
}

int run_machine(int threads) {
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

}  // namespace

BenchCommand::BenchCommand(CLI::App& app)
    : offline_(add_bench_offline(app, offline_arguments_)),
      kernels_(add_bench_kernels(app, kernels_arguments_)),
      traffic_(add_bench_traffic(app, traffic_arguments_)),
      online_(add_bench_online(app, online_arguments_)),
      simulate_(add_bench_simulate(app, simulate_arguments_)),
      adapters_(add_bench_adapters(app, adapters_arguments_)) {
  app.require_subcommand(1);
  CLI::App* machine = app.add_subcommand("machine", "Measure what the machine can do: read memory, multiply");
  machine->add_option("--threads", machine_threads_, "Threads that read and compute; 0: one per core")
      ->type_name("N")
      ->check(in_range(0, 1024))
      ->capture_default_str();
}

int BenchCommand::run(const std::string& command_line) const {
  if (offline_->parsed()) return run_bench_offline(offline_arguments_, command_line);
  if (kernels_->parsed()) return run_bench_kernels(kernels_arguments_, command_line);
  if (traffic_->parsed()) return run_bench_traffic(traffic_arguments_, command_line);
  if (online_->parsed()) return run_bench_online(online_arguments_, command_line);
  if (simulate_->parsed()) return run_bench_simulate(simulate_arguments_, command_line);
  if (adapters_->parsed()) return run_bench_adapters(adapters_arguments_);
  return run_machine(machine_threads_);
}

}  // namespace slora
