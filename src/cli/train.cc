#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/model_path.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "cli/train_run.h"
#include "formats/file.h"
#include "formats/model_config.h"
#include "train/data_report.h"
#include "train/training_base.h"
#include "train/training_data.h"

namespace slora {
namespace {

constexpr LabelMarks kColouredMarks = {"\x1b[1;32m\u27E6", "\u27E7\x1b[0m"};

Result<TrainingData> read_data(const std::string& path, const ModelText& text, const TrainOptions& options) {
  ProgressBar bar;
  return read_training_data(path, text, options.tokens_max,
                            [&bar](std::uint64_t done, std::uint64_t total) { bar.show("Reading data", done, total); });
}

void warn_of_ends(const TrainingData& data) {
  const SampleCounts& counts = data.counts;
  if (counts.turns_without_end == 0) return;
  log_warning(
      "{} of {} answers do not end with a token that ends them (eos_token_id of generation_config.json): what is trained on them does not "
      "learn to stop. Does the chat template write that token, within the {{% generation %}} block if it has one?",
      counts.turns_without_end, counts.turns);
}

void show_samples(const TrainingData& data, const ModelText& text) {
  const LabelMarks marks = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr ? kColouredMarks : LabelMarks{};
  const std::size_t count = data.samples.size();
  const std::array shown = {std::size_t{0}, count / 2, count - 1};
  for (const std::size_t index : std::set<std::size_t>(shown.begin(), shown.end())) {
    const Sample& sample = data.samples[index];
    fmt::print("sample {}, line {}, {} tokens; what is learned is between {} and {}\n{}\n\n", index + 1, sample.line, sample.tokens.size(),
               LabelMarks{}.begin, LabelMarks{}.end, shown_sample(sample, *text.tokenizer, marks));
  }
}

}  // namespace

int run_train(const TrainOptions& options) {
  if (Status known = check_model_folder(options.model); !known) return report(known.error());
  const Result<ModelConfig> config = read_model_config(options.model);
  if (!config) return report(config.error());
  if (const Status trainable = check_trainable(*config); !trainable && !options.dry_run) return report(trainable.error());
  if (options.out.empty() && !options.dry_run)
    return report({"bad_option", "--out: expected the folder of the adapter to make, or --dry-run to look at the data alone", {}});
  const Result<ModelText> text = load_model_text(options.model, options.chat_template, config->vocab_size);
  if (!text) return report(text.error());
  Result<DataFiles> files = find_data_files(options.data);
  if (!files) return report(files.error());
  if (!options.eval_data.empty()) files->eval = options.eval_data;
  const Result<TrainingData> data = read_data(files->train, *text, options);
  if (!data) return report(data.error());
  if (options.dry_run) show_samples(*data, *text);
  fmt::print("{}", data_summary(*data, file_name(files->train), options.tokens_max));
  std::vector<Sample> eval_samples;
  if (!files->eval.empty()) {
    Result<TrainingData> eval = read_data(files->eval, *text, options);
    if (!eval) return report(eval.error());
    fmt::print("\n{}", data_summary(*eval, file_name(files->eval), options.tokens_max));
    eval_samples = std::move(eval->samples);
  }
  warn_of_ends(*data);
  return options.dry_run ? 0 : run_training(options, data->samples, eval_samples);
}

}  // namespace slora
