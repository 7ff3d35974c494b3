#include "cli/operation_options.h"

#include "cli/option_range.h"

namespace slora {

void add_operation_options(CLI::App& command, ServeArguments& arguments) {
  command
      .add_option("--config", arguments.config,
                  "YAML or JSON file of these options, as \"max-waiting: 64\"; lists for those that are repeatable. What is given here "
                  "too counts instead")
      ->type_name("FILE");
  command
      .add_option("--log-format", arguments.log_format,
                  "text, or json: an object in each line of the log, and a line for each request that generates: request_id, model, "
                  "status, tokens and times, never its texts")
      ->type_name("text|json")
      ->check(one_of({"text", "json"}))
      ->capture_default_str();
  command.add_flag("--no-request-log", arguments.no_request_log, "With --log-format json: no line for each request");
  command
      .add_option("--otlp-traces-endpoint", arguments.traces_endpoint,
                  "Collector of OpenTelemetry traces, as http://HOST:4318/v1/traces: receives spans of each request that generates, in "
                  "the trace of the request's traceparent header [none]")
      ->type_name("URL");
}

}  // namespace slora
