#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "train/train_options.h"

namespace slora {

// --weights NAME: the base as adapters of QLoRA had it in training.
inline constexpr std::string_view kNf4Weights = "nf4-dequantised";

// The arguments of the program's commands (`slora serve`, ...), as text from the command line. Each command returns the process's exit code
// and reports errors on standard error.

// The model, its adapters, and what resources they may use; common to the commands that run it.
struct ModelArguments {
  std::string model;
  std::vector<std::string> adapters;      // --adapters DIR
  std::vector<std::string> lora_modules;  // --lora-modules name=path
  std::vector<std::string> served_model_names;
  std::string backend = "auto";
  std::string weights = "bf16";
  std::string instructions = "best";
  std::string cuda_products = "own";
  int threads = 0;
  int shards = 1;
  std::string pool_memory;  // empty: chosen
  std::optional<std::int32_t> page_tokens;
  std::optional<std::int32_t> max_model_len;
  std::optional<std::int32_t> max_adapter_len;
  std::size_t waiting_max = 1024;
  std::string policy = "fair-share";
  // With --policy adapter-grouped only: distinct adapters in a batch (0: any number) and their memory (empty: any), and after which time
  // a sequence comes first whatever its adapter.
  std::optional<std::int32_t> adapter_group_max;
  std::string adapter_group_memory;
  std::optional<double> adapter_wait_seconds;
  std::optional<double> first_token_slo_seconds;  // with --policy deadline only
  std::string first_token_reward;                 // the same; empty: satisfaction
  std::string chat_template;                      // file; empty: the model's own
};

struct ServeArguments {
  ModelArguments model;
  std::string tool_call_parser, reasoning_parser;  // empty: found in the chat template
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::vector<std::string> api_keys;
  std::vector<std::string> admin_api_keys;
  std::string api_key_file;
  bool prefault_pool = false;
  std::optional<std::size_t> waiting_per_client_max;  // none: ModelArguments::waiting_max
  std::string request_memory = "256MiB";
  std::string host_adapter_memory;           // empty: none
  std::vector<std::string> pinned_adapters;  // --pin NAME
  int adapter_idle_seconds = 0;              // 0: for ever
  std::vector<std::string> adapter_sources;  // --adapter-source PREFIX=COMMAND
  std::string adapter_cache;                 // folder; empty: chosen
  std::string adapter_cache_size = "10GiB";
  std::string adapter_source_size = "1GiB";
  int adapter_source_seconds = 300;
  std::string hub_cache;  // folder; empty: none
  std::string adapter_push_memory = "256MiB";
  std::size_t adapter_metrics_max = 64;  // adapters with metrics of their own
  int drain_seconds = 30;
  int watch_seconds = 0;                     // 0: --adapters is read once
  std::optional<std::uint16_t> health_port;  // none: no port of its own
  std::string health_host;                   // empty: host
  std::vector<std::string> allowed_origins;  // of web pages; and lists of JSON
  std::vector<std::string> allowed_methods = {"*"};
  std::vector<std::string> allowed_headers = {"*"};
  bool allow_credentials = false;
  std::string pooling;  // empty: as the model's folder says
  bool no_page = false;
  std::string on_stall = "wait";                     // or "exit"
  std::optional<int> stall_seconds;                  // none: chosen by the backend
  std::string log_format = "text";                   // or "json"
  bool no_request_log = false;                       // of the line for each request
  std::string traces_endpoint;                       // URL of a collector; empty: none
  std::string config;                                // file of options; empty: none
  std::map<std::string, std::string> config_places;  // "FILE:LINE" of the options that it gives, by "--name"
};

struct GenerateArguments {
  ModelArguments model;
  std::string adapter;       // a name, or an adapter's folder; empty: the base model
  std::string prompt;        // continued as it is
  std::string message;       // answered as a user's message
  std::string conversation;  // JSON file of messages, "-" for standard input
  std::string input;         // JSONL file, "-" for standard input
  std::int32_t max_tokens = 128;
  double temperature = 0;
  std::optional<std::int64_t> seed;
};

struct InspectArguments {
  std::string folder;
  std::string model;  // base model to hold an adapter against; may be empty
  std::string backend = "auto";
};

struct ConvertArguments {
  std::string folder;
  std::string out;
  std::string model;  // base model, where the order of the adapter's numbers depends on it; may be empty
  std::optional<double> rope_factor;
};

struct MergeArguments {
  std::string model;
  std::string adapter;  // its folder
  std::string out;
  float weight = 1;
  std::string dtype;    // f32, bf16; empty: as the base's
  std::string weights;  // kNf4Weights; empty: as the base's files have them
};

[[nodiscard]] int run_serve(const ServeArguments& arguments);
[[nodiscard]] int run_generate(const GenerateArguments& arguments);
[[nodiscard]] int run_inspect(const InspectArguments& arguments);
[[nodiscard]] int run_convert(const ConvertArguments& arguments);
[[nodiscard]] int run_merge(const MergeArguments& arguments);
[[nodiscard]] int run_train(const TrainOptions& options);

}  // namespace slora
