#include "cli/adapter_options.h"

#include <CLI/CLI.hpp>

#include "cli/option_range.h"

namespace slora {

void add_adapter_options(CLI::App& command, ServeArguments& arguments) {
  command
      .add_option("--watch-adapters", arguments.watch_seconds,
                  "Check --adapters for new and removed folders every N seconds; without a number, every 5")
      ->type_name("[N]")
      ->expected(0, 1)
      ->default_str("5")
      ->check(in_range(1, 86400));
  command.add_option("--pin", arguments.pinned_adapters, "Adapter to load at the start and to keep in the pool, by name; repeatable")
      ->type_name("NAME");
  command
      .add_option("--adapter-idle-time", arguments.adapter_idle_seconds,
                  "Seconds after which an adapter that nobody used leaves the pool [when its memory is needed]")
      ->type_name("N")
      ->check(in_range(1, 1 << 24));
  command
      .add_option("--adapter-source", arguments.adapter_sources,
                  "Names that begin with PREFIX are fetched when they are first named, by the program COMMAND with the arguments NAME "
                  "REVISION DIR; the same for addresses such as s3://... in /v1/load_lora_adapter; repeatable")
      ->type_name("PREFIX=COMMAND");
  command.add_option("--adapter-cache", arguments.adapter_cache, "Folder for what is fetched [slora/adapters in the user's cache folder]")
      ->type_name("DIR");
  command.add_option("--adapter-cache-size", arguments.adapter_cache_size, "Bytes of that folder; those used longest ago are removed")
      ->type_name("SIZE")
      ->capture_default_str();
  command.add_option("--adapter-source-size", arguments.adapter_source_size, "Bytes that one fetched adapter may have")
      ->type_name("SIZE")
      ->capture_default_str();
  command.add_option("--adapter-source-time", arguments.adapter_source_seconds, "Seconds that one fetch may take")
      ->type_name("N")
      ->check(in_range(1, 86400))
      ->capture_default_str();
  command
      .add_option("--hub-cache", arguments.hub_cache,
                  "Folder of Hugging Face's cache, such as ~/.cache/huggingface/hub: adapters in it are served by their names, org/name")
      ->type_name("DIR");
  command
      .add_option("--adapter-push-memory", arguments.adapter_push_memory,
                  "Bytes of all adapters whose tensors came in the body of PUT /slora/adapters/NAME, in the system's temporary folder")
      ->type_name("SIZE")
      ->capture_default_str();
  command
      .add_option("--adapter-metrics", arguments.adapter_metrics_max,
                  "Adapters with metrics of their own in /metrics: the busiest, the others are summed; 0: none")
      ->type_name("N")
      ->check(in_range(0, 10'000))
      ->capture_default_str();
  command
      .add_option("--host-adapter-memory", arguments.host_adapter_memory,
                  "Memory besides the pool for adapters that left it, such as 4GiB: they come back without their files being read again "
                  "[none]")
      ->type_name("SIZE");
}

}  // namespace slora
