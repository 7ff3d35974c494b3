#include <CLI/CLI.hpp>
#include <span>
#include <string_view>

#include "bench/command/bench_command.h"
#include "bench/command/log.h"
#include "cli/option_range.h"

// slora-bench, which `slora bench` runs with its own words: those from "bench" on are the command.
int main(int argc, char** argv) {
  const std::string command_line = slora::shown_command_line({argv, static_cast<std::size_t>(argc)});
  const int skipped = argc > 1 && std::string_view(argv[1]) == "bench" ? 1 : 0;
  CLI::App app("Measure how near slora comes to what this machine can do", "slora bench");
  app.get_formatter()->column_width(36);
  const slora::BenchCommand bench(app);
  try {
    app.parse(argc - skipped, argv + skipped);
  } catch (const CLI::ParseError& failed) {
    return slora::report_parse(app, failed);
  }
  return bench.run(command_line);
}
