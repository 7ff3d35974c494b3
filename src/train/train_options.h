#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace slora {

// How the rate changes after the warm-up, up to the last step.
enum class RateSchedule : std::uint8_t { constant, linear, cosine };

// What is trained: the adapter's form and where it acts.
struct AdapterOptions {
  std::string method = "lora";
  std::int32_t rank = 16;
  double alpha = 32;
  bool scale_by_root_of_rank = false;         // rsLoRA: alpha / sqrt(rank) instead of alpha / rank
  std::vector<std::string> target_modules{};  // last names of modules, such as "q_proj"; empty: all linear modules of the layers
  std::vector<std::pair<std::string, std::int32_t>> rank_pattern{};  // PEFT's patterns of module paths; the first match counts
  std::vector<std::pair<std::string, double>> alpha_pattern{};
  double dropout = 0;  // only 0 is trained
  std::string init{};  // folder of the adapter to continue; empty: A random, B zero
};

// AdamW and its rate.
struct OptimiserOptions {
  double rate = 2e-4;
  double b_rate_factor = 1;  // LoRA+: the rate of B divided by that of A
  RateSchedule schedule = RateSchedule::linear;
  double warm_up_share = 0.03;  // of all steps
  double rate_end_share = 0;    // what is left of the rate after the last step
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  double gradient_norm_max = 1;  // larger gradients are scaled down to it; 0: none are
};

// What `slora train` is asked for. Constant after it was parsed.
struct TrainOptions {
  std::string model;          // folder
  std::string data;           // JSONL file, or a folder with train.jsonl and maybe valid.jsonl
  std::string eval_data;      // JSONL file; empty: the folder's valid.jsonl if there is one
  std::string chat_template;  // Jinja file to use instead of the model's own; empty: none
  std::string out;            // PEFT folder to make

  std::size_t tokens_max = 1024;  // of a sample; what is beyond is cut off
  AdapterOptions adapter;
  OptimiserOptions optimiser;

  std::int32_t batch = 8;                  // samples of a step
  std::int32_t micro_batch_tokens = 2048;  // tokens computed at once; bounds memory and changes no result
  double epochs = 3;
  std::optional<std::int64_t> steps_max;     // instead of epochs
  std::optional<double> time_limit_seconds;  // the run ends after the step that exceeds it
  std::uint64_t seed = 0;

  std::optional<std::int64_t> eval_every;  // steps; none: at the end of every epoch
  std::optional<std::int32_t> patience;    // evaluations without a lower loss after which the run ends
  std::optional<std::int64_t> save_every;  // steps between checkpoints; none: at the end of every epoch
  std::int32_t checkpoints_max = 2;        // older ones are removed
  bool resume = false;                     // continue from the last checkpoint at `out`

  std::string backend = "cpu";
  int threads = 0;        // 0: chosen
  std::string memory;     // for activations, such as 2GiB; empty: chosen
  std::string log;        // file of JSON lines, one for each step; empty: none
  std::string load_into;  // URL of a server that loads each checkpoint; empty: none
  std::string api_key;    // for that server
  bool dry_run = false;   // look at the data only
};

}  // namespace slora
