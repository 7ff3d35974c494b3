#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.h"

namespace slora::bench {

// What is recorded with every figure so that it can be interpreted later: machine, program and date.
struct MachineFacts {
  std::string cpu;           // its name as the system reports it
  int cores = 0;             // that this process may use
  std::string instructions;  // the relevant ones: "avx2 avx512f avx512bf16"
  std::uint64_t memory_bytes = 0;
  std::string huge_pages;  // the system's mode: always, madvise or never
  std::string system;      // kernel and architecture
  std::string compiler;
  std::string commit;
  std::string date;  // UTC
};

[[nodiscard]] MachineFacts machine_facts();
[[nodiscard]] Json to_json(const MachineFacts& facts);

// Peak memory of this process, and how much of its memory is in huge pages now. 0 when the system does not report it.
[[nodiscard]] std::uint64_t peak_memory_bytes();
[[nodiscard]] std::uint64_t huge_page_bytes();

}  // namespace slora::bench
