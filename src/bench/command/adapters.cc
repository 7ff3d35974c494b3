#include "bench/command/adapters.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "bench/model_source.h"
#include "bench/random_adapters.h"
#include "cli/byte_size.h"
#include "cli/interrupt.h"
#include "cli/option_range.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/json.h"
#include "formats/model_config.h"
#include "formats/temporary_folder.h"

namespace slora {

CLI::App* add_bench_adapters(CLI::App& bench, BenchAdaptersArguments& arguments) {
  CLI::App* command = bench.add_subcommand("adapters", "Write adapters of random numbers, for servers that are to be measured");
  command->add_option("folder", arguments.folder, "Where the adapter folders go; created if missing; existing ones are not overwritten")
      ->required()
      ->type_name("DIR");
  command->add_option("--model", arguments.model, "For which model: as `slora bench offline` takes it")
      ->type_name("MODEL")
      ->capture_default_str();
  command->add_option("--count", arguments.count, "Number of adapters; those beyond 63 share weight files by hard links")
      ->type_name("N")
      ->check(in_range(1, 100000))
      ->capture_default_str();
  command->add_option("--rank", arguments.rank, "Their rank; mixed: 8, 16 and 64 in rotation")->type_name("N|mixed")->capture_default_str();
  command->add_option("--targets", arguments.targets, "Modules that they change: qv, or all seven of a layer")
      ->type_name("qv|all")
      ->check(CLI::IsMember({"qv", "all"}).description(""))
      ->capture_default_str();
  command->add_option("--family", arguments.family, "Of adapters: lora, or vera with drawn A and B of one key")
      ->type_name("lora|vera")
      ->check(CLI::IsMember({"lora", "vera"}).description(""))
      ->capture_default_str();
  return command;
}

Result<std::int32_t> parse_adapter_rank(const std::string& text, const std::string& option) {
  if (text == "mixed") return 0;
  std::int32_t rank = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (failure == std::errc() && end == text.data() + text.size() && rank >= 1 && rank <= kAdapterRankMax) return rank;
  return error("bad_option", "{}: expected numbers from 1 to {}, or mixed, found {}", option, kAdapterRankMax, quote(text));
}

int run_bench_adapters(const BenchAdaptersArguments& arguments) {
  const Result<std::int32_t> rank = parse_adapter_rank(arguments.rank, "--rank");
  if (!rank) return report(rank.error());
  const Interrupt interrupt("stopping after this adapter");
  const Result<TemporaryFolder> scratch = TemporaryFolder::create();
  if (!scratch) return report(scratch.error());
  const Result<bench::ModelSource> model = bench::find_model(arguments.model, scratch->path());
  if (!model) return report({"bad_option", "--model: " + model.error().message, {}});
  const Result<ModelConfig> config = read_model_config(model->folder.string());
  if (!config) return report(config.error());
  const auto targets = arguments.targets == "all" ? bench::AdapterTargets::all : bench::AdapterTargets::qv;
  const auto family = arguments.family == "vera" ? bench::RandomFamily::vera : bench::RandomFamily::lora;
  const bench::AdapterKind kind{*rank, targets, family};
  const bench::RandomAdapters adapters(arguments.folder, *config);
  std::int32_t count = 0;
  {
    ProgressBar bar;
    for (; count < arguments.count && !interrupt.requested().load(); ++count) {
      bar.show("Adapters", static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(arguments.count));
      if (Status written = adapters.write(kind, count); !written) return report(written.error());
    }
  }
  const std::uint64_t bytes = bench::parameter_count(*config, targets, kind.rank_of(0), family) * sizeof(Bfloat16);
  fmt::print("{} adapters of {}{} in {}\n", count, shown_byte_size(bytes), *rank == 0 ? " and more" : "", arguments.folder);
  if (!interrupt.requested().load()) return 0;
  fmt::print("interrupted: {} of {} adapters were written\n", count, arguments.count);
  return kInterrupted;
}

}  // namespace slora
