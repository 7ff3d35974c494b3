#include "bench/command/memory_options.h"

#include <map>

#include "cli/byte_size.h"

namespace slora {
namespace {

const std::map<std::string, EvictionPolicy> kEvictionPolicies = {{"cost-aware", EvictionPolicy::cost_aware},
                                                                 {"greedy-dual-size", EvictionPolicy::greedy_dual_size},
                                                                 {"lru", EvictionPolicy::lru},
                                                                 {"when-idle", EvictionPolicy::evict_when_idle}};

}  // namespace

void add_memory_options(CLI::App& command, MemoryArguments& arguments) {
  command
      .add_option(
          "--eviction", arguments.eviction,
          "For comparison: which idle adapters and prefixes leave the pool first. when-idle is S-LoRA's: an adapter leaves with the "
          "last sequence that uses it")
      ->type_name("cost-aware|greedy-dual-size|lru|when-idle")
      ->check(CLI::IsMember({"cost-aware", "greedy-dual-size", "lru", "when-idle"}).description(""))
      ->capture_default_str();
  command.add_option("--prefetch", arguments.prefetch, "For comparison: whether the adapters of the next in line are loaded ahead")
      ->type_name("on|off")
      ->check(CLI::IsMember({"on", "off"}).description(""))
      ->capture_default_str();
  command
      .add_option("--separate-adapter-memory", arguments.separate_adapter_memory,
                  "For comparison: how much of --pool-memory is set aside for adapters, so that the KV cache has only the rest [nothing: "
                  "one pool for both]")
      ->type_name("SIZE");
  command.add_option("--host-adapter-memory", arguments.host_adapter_memory, "As `slora serve` takes it [none]")->type_name("SIZE");
}

Result<PoolUse> make_pool_use(const MemoryArguments& arguments) {
  PoolUse use;
  use.eviction = kEvictionPolicies.at(arguments.eviction);
  if (arguments.prefetch == "off") use.prefetched_sequences = 0;
  if (!arguments.host_adapter_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.host_adapter_memory);
    if (!bytes) return error("bad_option", "--host-adapter-memory: {}", bytes.error().message);
    use.host_adapter_bytes = *bytes;
  }
  if (arguments.separate_adapter_memory.empty()) return use;
  const Result<std::uint64_t> bytes = parse_byte_size(arguments.separate_adapter_memory);
  if (!bytes) return error("bad_option", "--separate-adapter-memory: {}", bytes.error().message);
  if (*bytes == 0) return error("bad_option", "--separate-adapter-memory: expected more than 0 bytes; leave it out for one pool");
  use.separate_adapter_bytes = *bytes;
  return use;
}

}  // namespace slora
