#include "cli/train_command.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cli/option_range.h"

namespace slora {
namespace {

constexpr double kLargest = std::numeric_limits<double>::max();

// "--rank-pattern KEY=N": adds to `patterns` in the order of the command line.
template <class T>
void add_patterns(CLI::App& command, const std::string& name, std::vector<std::pair<std::string, T>>& patterns, const std::string& what) {
  const auto add = [&patterns](const std::vector<std::string>& given) {
    for (const std::string& text : given) {
      const std::size_t at = text.rfind('=');
      T value{};
      if (at == std::string::npos || at == 0 || !CLI::detail::lexical_cast(text.substr(at + 1), value)) return false;
      patterns.emplace_back(text.substr(0, at), value);
    }
    return true;
  };
  command
      .add_option_function<std::vector<std::string>>(
          name,
          [add, name](const std::vector<std::string>& given) {
            if (!add(given)) throw CLI::ValidationError(name, "expected KEY=NUMBER");
          },
          what)
      ->type_name("KEY=N")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_adapter_options(CLI::App& command, AdapterOptions& adapter) {
  command.add_option("--rank", adapter.rank, "Rank of each module")->type_name("N")->check(in_range(1, 512))->capture_default_str();
  command.add_option("--alpha", adapter.alpha, "B A x is multiplied by this, divided by the rank")
      ->type_name("X")
      ->check(real_range(0, kLargest))
      ->capture_default_str();
  command.add_flag("--rslora", adapter.scale_by_root_of_rank, "Divide alpha by the root of the rank instead (rsLoRA)");
  command
      .add_option("--target-modules", adapter.target_modules,
                  "Last names of modules, such as q_proj,v_proj [all linear ones of the layers]")
      ->type_name("NAME,...")
      ->delimiter(',');
  add_patterns(command, "--rank-pattern", adapter.rank_pattern,
               "Another rank for modules whose path ends so, as PEFT's rank_pattern; repeatable");
  add_patterns(command, "--alpha-pattern", adapter.alpha_pattern, "The same of alpha");
  command.add_option("--init", adapter.init, "Folder of a LoRA adapter to continue: its modules, ranks, scales and numbers")
      ->type_name("DIR");
}

void add_optimiser_options(CLI::App& command, OptimiserOptions& optimiser) {
  const auto add = [&](const std::string& name, double& value, double max, const std::string& what) {
    command.add_option(name, value, what)->type_name("X")->check(real_range(0, max))->capture_default_str();
  };
  add("--rate", optimiser.rate, kLargest, "Learning rate, after the warm-up");
  add("--lora-plus", optimiser.b_rate_factor, kLargest, "Rate of B, divided by that of A (LoRA+)");
  const std::vector<std::pair<std::string, RateSchedule>> schedules = {
      {"linear", RateSchedule::linear}, {"cosine", RateSchedule::cosine}, {"constant", RateSchedule::constant}};
  command.add_option("--schedule", optimiser.schedule, "How the rate changes after the warm-up: linear, cosine or constant [linear]")
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(schedules).description(""));
  add("--warm-up", optimiser.warm_up_share, 1, "Share of the steps in which the rate rises");
  add("--rate-end", optimiser.rate_end_share, 1, "What is left of the rate at the end, but with --schedule constant");
  add("--beta1", optimiser.beta1, 1, "Of AdamW");
  add("--beta2", optimiser.beta2, 1, "Of AdamW");
  add("--epsilon", optimiser.epsilon, 1, "Of AdamW");
  add("--weight-decay", optimiser.weight_decay, 1, "Of AdamW");
  add("--clip", optimiser.gradient_norm_max, kLargest, "Gradients of a larger norm are scaled down to it; 0: none are");
}

void add_run_options(CLI::App& command, TrainOptions& options) {
  constexpr std::int64_t kStepsMax = std::int64_t{1} << 40;
  command.add_option("--out", options.out, "Folder of the adapter to make; its checkpoints are in it")->type_name("DIR");
  command.add_option("--batch", options.batch, "Samples of a step")->type_name("N")->check(in_range(1, 1 << 20))->capture_default_str();
  command
      .add_option("--micro-tokens", options.micro_batch_tokens, "Tokens that are computed at once; bounds memory, and changes no result")
      ->type_name("N")
      ->check(in_range(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--epochs", options.epochs, "How often each sample is learned")
      ->type_name("X")
      ->check(real_range(0, 1e9))
      ->capture_default_str();
  command.add_option("--steps", options.steps_max, "Steps, instead of epochs")->type_name("N")->check(in_range(1, kStepsMax));
  command.add_option("--time-limit", options.time_limit_seconds, "The run ends after the step that exceeds it")
      ->type_name("SECONDS")
      ->check(real_range(0, kLargest));
  command.add_option("--seed", options.seed, "Of initial values and the order of samples")->type_name("N")->capture_default_str();
  command.add_option("--eval-every", options.eval_every, "Steps from one evaluation to the next [an epoch]")
      ->type_name("N")
      ->check(in_range(1, kStepsMax));
  command.add_option("--patience", options.patience, "Evaluations without a lower loss after which the run ends [any number]")
      ->type_name("N")
      ->check(in_range(1, 1 << 30));
  command.add_option("--save-every", options.save_every, "Steps from one checkpoint to the next [an epoch]")
      ->type_name("N")
      ->check(in_range(1, kStepsMax));
  command.add_option("--keep", options.checkpoints_max, "Checkpoints that are kept, the newest")
      ->type_name("N")
      ->check(in_range(1, 1 << 30))
      ->capture_default_str();
  command.add_option("--log", options.log, "JSON lines to append to: one for each step and each evaluation")->type_name("FILE");
  command
      .add_option(
          "--load-into", options.load_into,
          "A running server, such as http://127.0.0.1:8000, that loads each checkpoint and the adapter under the name of --out; they "
          "must be beneath its --adapters")
      ->type_name("URL");
  command.add_option("--load-into-key", options.api_key, "Key of that server's operator")->type_name("KEY")->envname("SLORA_ADMIN_API_KEY");
  command.add_flag("--resume", options.resume, "Go on from the last checkpoint in --out, with the same options and data");
  command.add_option("--backend", options.backend, "cpu, or reference: plain loops in fp32")
      ->type_name("NAME")
      ->check(one_of({"cpu", "reference"}))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "Threads that compute [one for each core]")->type_name("N")->check(in_range(0, 4096));
  command
      .add_option("--memory", options.memory,
                  "For what is computed, in addition to weights and adapter, such as 2GiB [four fifths of what is free]")
      ->type_name("SIZE");
}

}  // namespace

CLI::App* add_train(CLI::App& app, TrainOptions& options) {
  CLI::App* command = app.add_subcommand("train", "Train an adapter on a model that stays as it is");
  command->add_option("--model", options.model, "Folder with a Hugging Face model, or a GGUF file")->required()->type_name("DIR");
  command
      ->add_option("--data", options.data,
                   "Samples, one JSON object a line: messages, prompt and completion, text, instruction and output, conversations, "
                   "segments, input_ids and labels; or a folder with train.jsonl and maybe valid.jsonl (docs/training.md)")
      ->required()
      ->type_name("FILE");
  command->add_option("--eval-data", options.eval_data, "Samples of the same forms that are not learned [valid.jsonl of the folder]")
      ->type_name("FILE");
  command->add_option("--max-length", options.tokens_max, "Tokens of a sample; what comes after them is cut off")
      ->type_name("N")
      ->check(in_range(2, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--chat-template", options.chat_template,
                   "Jinja file to use instead of the model's own chat template, such as one with {% generation %} blocks")
      ->type_name("FILE");
  command->add_flag("--dry-run", options.dry_run,
                    "Show three samples, with what is learned of them marked, and what the data holds; no more");
  add_run_options(*command, options);
  add_adapter_options(*command, options.adapter);
  add_optimiser_options(*command, options.optimiser);
  command->footer(
      "Examples:\n"
      "  slora train --model models/llama --data train.jsonl --dry-run\n"
      "  slora train --model models/llama --data my-data --max-length 2048 --out adapters/mine\n"
      "  slora train --model models/llama --data my-data --max-length 2048 --out adapters/mine --resume\n"
      "where train.jsonl has lines such as\n"
      "  {\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}, {\"role\": \"assistant\", \"content\": \"Good day!\"}]}\n"
      "Exit codes: 1: refused, with the reason; 130: stopped by a signal, after a checkpoint was saved.\n");
  return command;
}

}  // namespace slora
