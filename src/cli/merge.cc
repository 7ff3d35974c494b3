#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/progress_bar.h"
#include "cli/runtime_arguments.h"
#include "formats/gguf_names.h"
#include "formats/model_folder.h"
#include "merge/merged_model.h"
#include "model/weights.h"

namespace slora {
namespace {

std::optional<DType> dtype_of(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  return std::nullopt;
}

void print_report(const MergeReport& report, const MergeArguments& arguments) {
  for (const std::string& warning : report.warnings) fmt::print("{:<16}{}\n", "note", warning);
  fmt::print("{:<16}{}\n", "merged", arguments.out);
  fmt::print("{:<16}{} in {} tensors, of which the adapter changes {}\n", "weights", shown_byte_size(report.bytes), report.tensor_count,
             report.changed_count);
  if (report.rounding.change == 0) return;
  fmt::print("{:<16}{:.2g} % of what the adapter changes is lost by rounding the sums (norms: {:.3g} of {:.3g})", "rounding",
             100 * report.rounding.share(), report.rounding.error, report.rounding.change);
  if (!report.most_rounded.empty()) fmt::print("; most in {}: {:.2g} %", report.most_rounded, 100 * report.most_rounded_share);
  fmt::print("\n");
}

}  // namespace

int run_merge(const MergeArguments& arguments) {
  if (const Status model = check_model_folder(arguments.model); !model) return report(model.error());
  if (is_gguf_path(arguments.model)) {
    return report({"no_model",
                   fmt::format("--model: {} is a GGUF file: expected a Hugging Face model folder, whose other files the merged model needs",
                               arguments.model),
                   {}});
  }
  if (std::error_code ignored; !std::filesystem::is_directory(arguments.adapter, ignored))
    return report({"bad_option", fmt::format("--adapter: expected a folder, found none at {}", arguments.adapter), {}});
  Result<ModelFolder> opened =
      open_model_folder(arguments.model, arguments.weights == kNf4Weights ? WeightRounding::nf4 : WeightRounding::none);
  if (!opened) return report(opened.error());
  if (const Status weights = check_weights(opened->files, opened->config); !weights) return report(weights.error());
  for (const std::string& warning : opened->config.warnings) fmt::print("{:<16}{}\n", "note", warning);
  const Interrupt interrupt("Removing what was written");
  ProgressBar bar;
  const MergeOptions options{.base_folder = arguments.model,
                             .adapter = arguments.adapter,
                             .out = arguments.out,
                             .weight = arguments.weight,
                             .dtype = dtype_of(arguments.dtype),
                             .progress = [&](std::uint64_t done, std::uint64_t total) { bar.show("Merging", done, total); },
                             .stop = &interrupt.requested()};
  const Result<MergeReport> merged = write_merged_model(std::make_shared<const ModelFolder>(std::move(*opened)), options);
  if (!merged && merged.error().code == "E_STOPPED") return kInterrupted;
  if (!merged) return report(merged.error());
  print_report(*merged, arguments);
  return 0;
}

}  // namespace slora
