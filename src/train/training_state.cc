#include "train/training_state.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/json.h"
#include "formats/new_file.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "formats/sha256.h"

namespace slora {
namespace {

std::string path_in(const std::string& folder, std::string_view name) { return (std::filesystem::path(folder) / name).string(); }

std::string digest_of(std::span<const Sample> samples) {
  Sha256 digest;
  for (const Sample& sample : samples) {
    const std::string header = fmt::format("{}:", sample.tokens.size());
    digest.update(std::as_bytes(std::span(header)));
    digest.update(std::as_bytes(std::span(sample.tokens)));
    std::string labels;
    for (const bool is_label : sample.labels) labels += is_label ? '1' : '0';
    digest.update(std::as_bytes(std::span(labels)));
  }
  return hex(digest.finish());
}

template <class T>
std::string text_of(const std::vector<std::pair<std::string, T>>& patterns) {
  std::string text;
  for (const auto& [key, value] : patterns) text += fmt::format("{}={};", key, value);
  return text;
}

template <class T>
std::string text_of(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "none";
}

// The arrays of a state, by their names in its file.
template <class State>
auto arrays_of(State& state) {
  return std::array{std::pair{"values", &state.values}, std::pair{"first_moments", &state.first_moments},
                    std::pair{"second_moments", &state.second_moments}, std::pair{"best_values", &state.best_values}};
}

Result<std::vector<float>> read_array(const SafetensorsFile& file, const std::string& name, std::size_t count) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr || tensor->dtype != DType::f32 || tensor->bytes != count * sizeof(float))
    return error("E_STATE", "{}: expected {} numbers {} in F32", file.name(), count, quote(name));
  std::vector<float> values(count);
  if (Status read = file.read(*tensor, std::as_writable_bytes(std::span(values))); !read) return forward_error(read);
  return values;
}

Status check_run(const nlohmann::json& found, const RunIdentity& run, const std::string& path) {
  for (const auto& [name, expected] : run) {
    const auto at = found.find(name);
    const std::string value = at != found.end() && at->is_string() ? at->get<std::string>() : "nothing";
    if (value != expected)
      return error("E_STATE", "{}: {} of the run that is to go on is {}, and now {}; give what it had, or another --out", path, quote(name),
                   quote(value), quote(expected));
  }
  return {};
}

}  // namespace

RunIdentity run_identity(const TrainOptions& options, const TrainingBase& base, std::span<const Sample> samples,
                         std::span<const Sample> eval_samples) {
  const AdapterOptions& adapter = options.adapter;
  const OptimiserOptions& optimiser = options.optimiser;
  return {{"data", digest_of(samples)},
          {"eval_data", digest_of(eval_samples)},
          {"base", base.digest},
          {"backend", std::string(base.backend->name())},
          {"method", adapter.method},
          {"rank", fmt::format("{}", adapter.rank)},
          {"alpha", fmt::format("{}", adapter.alpha)},
          {"rslora", adapter.scale_by_root_of_rank ? "true" : "false"},
          {"target_modules", fmt::format("{}", fmt::join(adapter.target_modules, ","))},
          {"rank_pattern", text_of(adapter.rank_pattern)},
          {"alpha_pattern", text_of(adapter.alpha_pattern)},
          {"init", adapter.init},
          {"rate", fmt::format("{}", optimiser.rate)},
          {"lora_plus", fmt::format("{}", optimiser.b_rate_factor)},
          {"schedule", fmt::format("{}", static_cast<int>(optimiser.schedule))},
          {"warm_up", fmt::format("{}", optimiser.warm_up_share)},
          {"rate_end", fmt::format("{}", optimiser.rate_end_share)},
          {"betas", fmt::format("{} {}", optimiser.beta1, optimiser.beta2)},
          {"epsilon", fmt::format("{}", optimiser.epsilon)},
          {"weight_decay", fmt::format("{}", optimiser.weight_decay)},
          {"clip", fmt::format("{}", optimiser.gradient_norm_max)},
          {"batch", fmt::format("{}", options.batch)},
          {"epochs", fmt::format("{}", options.epochs)},
          {"steps", text_of(options.steps_max)},
          {"seed", fmt::format("{}", options.seed)},
          {"eval_every", text_of(options.eval_every)},
          {"patience", text_of(options.patience)}};
}

Status write_state(const std::string& folder, const TrainingState& state, const RunIdentity& run) {
  std::vector<TensorShape> shapes;
  for (const auto& [name, values] : arrays_of(state)) {
    if (!values->empty()) shapes.push_back({name, DType::f32, {std::ssize(*values)}});
  }
  Result<NewFile> numbers = begin_safetensors(path_in(folder, kStateNumbers), shapes);
  if (!numbers) return forward_error(numbers);
  for (const auto& [name, values] : arrays_of(state)) {
    if (Status written = numbers->append(std::as_bytes(std::span(*values))); !written) return written;
  }
  if (Status finished = numbers->finish(); !finished) return finished;

  nlohmann::json facts = {{"step", state.step},
                          {"evaluated_step", state.evaluated_step},
                          {"best_loss", state.best_loss},  // null: infinity
                          {"evaluations_since_best", state.evaluations_since_best},
                          {"run", nlohmann::json::object()}};
  for (const auto& [name, value] : run) facts["run"][name] = value;
  Result<NewFile> file = NewFile::create(path_in(folder, kStateFacts));
  if (!file) return forward_error(file);
  if (Status written = file->append(facts.dump(1) + "\n"); !written) return written;
  return file->finish();
}

Result<TrainingState> read_state(const std::string& folder, const RunIdentity& run, std::size_t value_count) {
  constexpr std::size_t kFactBytesMax = std::size_t{1} << 20;
  const std::string path = path_in(folder, kStateFacts);
  const Result<std::string> text = read_text_file(path, kFactBytesMax);
  if (!text) return error(text.error().code, "{}: {}", path, text.error().message);
  const nlohmann::json facts = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto is_count = [&](const char* name) { return facts.contains(name) && facts[name].is_number_unsigned(); };
  const bool has_loss =
      facts.is_object() && facts.contains("best_loss") && (facts["best_loss"].is_null() || facts["best_loss"].is_number());
  if (!has_loss || !is_count("step") || !is_count("evaluated_step") || !is_count("evaluations_since_best") || !facts.contains("run") ||
      !facts["run"].is_object())
    return error("E_STATE", "{}: expected the state of a training run as slora writes it", path);
  if (Status same = check_run(facts["run"], run, path); !same) return forward_error(same);

  TrainingState state;
  state.step = facts["step"].get<std::int64_t>();
  state.evaluated_step = facts["evaluated_step"].get<std::int64_t>();
  state.evaluations_since_best = facts["evaluations_since_best"].get<std::int32_t>();
  if (facts["best_loss"].is_number()) state.best_loss = facts["best_loss"].get<double>();
  const Result<SafetensorsFile> numbers = SafetensorsFile::open(path_in(folder, kStateNumbers));
  if (!numbers) return tl::unexpected(numbers.error());
  for (const auto& [name, values] : arrays_of(state)) {
    if (values == &state.best_values && state.evaluated_step == 0) continue;
    Result<std::vector<float>> read = read_array(*numbers, name, value_count);
    if (!read) return forward_error(read);
    *values = std::move(*read);
  }
  return state;
}

}  // namespace slora
