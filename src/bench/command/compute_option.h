#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "bench/adapter_product.h"
#include "formats/json.h"

namespace slora {

// How adapters are applied, for comparison, as text from the command line. For every command that runs an engine.
struct ComputeArguments {
  std::string compute = "gathered";
};

CLI::Option* add_compute_option(CLI::App& command, ComputeArguments& arguments);
[[nodiscard]] bench::AdapterProduct adapter_product_of(const ComputeArguments& arguments);

// What merging took since the last call, for one run.
class MergeMeter {
 public:
  explicit MergeMeter(const bench::MergeCounts& counts) : counts_(counts) {}

  struct Reading {
    std::uint64_t switches = 0;
    double seconds = 0;
    std::uint64_t weight_bytes = 0;  // in all
  };
  [[nodiscard]] Reading read();

 private:
  const bench::MergeCounts& counts_;
  std::uint64_t switches_ = 0;
  std::int64_t nanoseconds_ = 0;
};

// A line to print, such as "12 switches in 0.53 s, 44.2 ms each; the second weights take 45.00 MiB".
[[nodiscard]] std::string merge_text(const MergeMeter::Reading& reading);
[[nodiscard]] Json to_json(const MergeMeter::Reading& reading);

}  // namespace slora
