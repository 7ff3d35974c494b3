#include "cli/operation_options.h"

#include "cli/option_range.h"

namespace slora {
namespace {

void add_page_options(CLI::App& command, ServeArguments& arguments) {
  command
      .add_option("--tool-call-parser", arguments.tool_call_parser,
                  "Form in which the model writes tool calls, such as hermes; none: calls stay text [found in the chat template]")
      ->type_name("NAME");
  command
      .add_option("--reasoning-parser", arguments.reasoning_parser,
                  "Form in which the model marks its reasoning, such as think; none: it stays text [found in the chat template]")
      ->type_name("NAME");
  command
      .add_option(
          "--allowed-origins", arguments.allowed_origins,
          "Origins of web pages that may call the server (CORS), such as https://app.example.org; \"*\": all. Texts or a JSON list [none]")
      ->type_name("ORIGIN");
  command.add_option("--allowed-methods", arguments.allowed_methods, "Methods that these pages may use [all]")->type_name("METHOD");
  command.add_option("--allowed-headers", arguments.allowed_headers, "Request headers that these pages may set [all]")->type_name("HEADER");
  command.add_flag("--allow-credentials", arguments.allow_credentials, "Let these pages send cookies and other credentials");
  command.add_flag("--no-page", arguments.no_page, "Give browsers no page at /");
}

void add_health_options(CLI::App& command, ServeArguments& arguments) {
  command
      .add_option(
          "--health-port", arguments.health_port,
          "A second port with /health, /ping, /metrics, /version and /load only, which need no key there and stay reachable when all "
          "connections are in use; 0: any that is free [none]")
      ->type_name("N")
      ->check(in_range(0, kPortMax));
  command.add_option("--health-host", arguments.health_host, "Address of the second port [--host]")->type_name("ADDRESS");
  command
      .add_option(
          "--stall-time", arguments.stall_seconds,
          "Seconds without any progress of the engine after which it counts as hung: requests are answered 503, and /health says so "
          "[10; reference backend: 60]")
      ->type_name("N")
      ->check(in_range(1, 86400));
  command.add_option("--on-stall", arguments.on_stall, "When the engine hangs: wait for it, or exit with code 1")
      ->type_name("wait|exit")
      ->check(one_of({"wait", "exit"}))
      ->capture_default_str();
}

}  // namespace

void add_operation_options(CLI::App& command, ServeArguments& arguments) {
  add_page_options(command, arguments);
  add_health_options(command, arguments);
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
