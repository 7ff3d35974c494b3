#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "engine/runtime.h"

namespace slora {

// How an engine in this process manages its memory, to compare ways of doing it. As text from the command line.
struct MemoryArguments {
  std::string eviction = "cost-aware";
  std::string prefetch = "on";
  std::string separate_adapter_memory;  // empty: adapters share the pool
  std::string host_adapter_memory;      // empty: none
};

void add_memory_options(CLI::App& command, MemoryArguments& arguments);
[[nodiscard]] Result<PoolUse> make_pool_use(const MemoryArguments& arguments);

}  // namespace slora
