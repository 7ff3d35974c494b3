#include "bench/command/compute_option.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/byte_size.h"

namespace slora {
namespace {

const std::map<std::string, bench::AdapterProduct> kProducts = {
    {"gathered", bench::AdapterProduct::gathered}, {"padded", bench::AdapterProduct::padded}, {"merged", bench::AdapterProduct::merged}};

}  // namespace

CLI::Option* add_compute_option(CLI::App& command, ComputeArguments& arguments) {
  return command
      .add_option("--compute", arguments.compute,
                  "For comparison: adapters as they lie, each once; copied and padded to the largest rank of a batch, in each step; or one "
                  "at a time merged into the weights, which takes their memory twice")
      ->type_name("gathered|padded|merged")
      ->check(CLI::IsMember({"gathered", "padded", "merged"}).description(""))
      ->capture_default_str();
}

bench::AdapterProduct adapter_product_of(const ComputeArguments& arguments) { return kProducts.at(arguments.compute); }

MergeMeter::Reading MergeMeter::read() {
  const std::uint64_t switches = counts_.switches.load();
  const std::int64_t nanoseconds = counts_.nanoseconds.load();
  return {.switches = switches - std::exchange(switches_, switches),
          .seconds = static_cast<double>(nanoseconds - std::exchange(nanoseconds_, nanoseconds)) * 1e-9,
          .weight_bytes = counts_.weight_bytes.load()};
}

std::string merge_text(const MergeMeter::Reading& reading) {
  const double each = reading.switches == 0 ? 0 : reading.seconds / static_cast<double>(reading.switches);
  return fmt::format("{} switches in {:.2f} s, {:.1f} ms each; the second weights take {}", reading.switches, reading.seconds, each * 1e3,
                     shown_byte_size(reading.weight_bytes));
}

Json to_json(const MergeMeter::Reading& reading) {
  return {{"switches", reading.switches}, {"seconds", reading.seconds}, {"weight_bytes", reading.weight_bytes}};
}

}  // namespace slora
