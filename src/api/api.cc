#include "api/api.h"

#include <utility>

#include "api/model_name.h"
#include "formats/model_config.h"

namespace slora {
namespace {

Result<std::shared_ptr<const TextModel>> load_text(const ApiOptions& options) {
  const std::string folder = options.runtime.model_folder.string();
  const auto refuse = [&](const Error& why) { return error(why.code, "{}: {}", folder, why.message); };
  const Result<ModelConfig> config = read_model_config(folder);
  if (!config) return refuse(config.error());
  Result<std::shared_ptr<const TextModel>> text =
      TextModel::load(folder, {config->vocab_size, options.chat_template_file, options.answer_forms});
  if (!text && !text.error().message.starts_with("--")) return refuse(text.error());  // that file is the option's, not the folder's
  return text;
}

}  // namespace

Result<std::unique_ptr<Api>> Api::create(ApiOptions options, Post post) {
  std::vector<std::string> names = std::move(options.model_names);
  if (names.empty()) names.push_back(default_model_name(options.runtime.model_folder));
  if (options.runtime.model_name.empty()) options.runtime.model_name = names.front();
  Result<std::shared_ptr<const TextModel>> text = load_text(options);
  if (!text) return forward_error(text);

  auto jobs = std::make_unique<JobTable>();
  const auto deliver = [&table = *jobs, post = std::move(post)](std::vector<TokenEvent>&& events) {
    // The events are handed over whole or not at all: when this throws, the engine still has them.
    const auto held = std::make_shared<std::vector<TokenEvent>>();
    std::function<void()> work = [&table, held] { table.deliver(std::move(*held)); };
    held->swap(events);
    try {
      post(std::move(work));
    } catch (...) {
      held->swap(events);
      throw;
    }
  };
  Result<std::unique_ptr<Runtime>> runtime = Runtime::create(std::move(options.runtime), deliver);
  if (!runtime) return forward_error(runtime);
  std::unique_ptr<Api> api(new Api(std::move(names), std::move(*text), std::move(jobs), std::move(*runtime)));
  if (Status opened = api->open_sources(std::move(options.sources)); !opened) return forward_error(opened);
  return api;
}

Status Api::open_sources(AdapterSourceOptions options) {
  if (!options.has_any()) return {};
  const auto check_texts = [this](const FolderPath& folder, std::int32_t added_tokens, Gate& gate) {
    return texts_.check(folder, added_tokens, gate);
  };
  Result<std::unique_ptr<AdapterSources>> sources = AdapterSources::create(
      std::move(options), runtime_->adapters(), runtime_->engine().options().scheduler.page_count - 1, check_texts, runtime_->metrics());
  if (!sources) return forward_error(sources);
  sources_ = std::move(*sources);
  generator_.use(*sources_);
  return {};
}

Api::Api(std::vector<std::string> model_names, std::shared_ptr<const TextModel> text, std::unique_ptr<JobTable> jobs,
         std::unique_ptr<Runtime> runtime)
    : model_names_(std::move(model_names)),
      texts_(std::move(text)),
      jobs_(std::move(jobs)),
      runtime_(std::move(runtime)),
      generator_(runtime_->engine(), runtime_->adapters()),
      metrics_(runtime_->metrics(), model_names_.front()),
      compiler_(make_constraint_compiler(*texts_.base(), runtime_->model_config().vocab_size)),
      constraints_(compiler_.get(), runtime_->metrics()),
      preparer_(model_names_, runtime_->model_config().vocab_size, texts_, generator_) {
  // Why a text side is refused is remembered for the requests that need it.
  runtime_->adapters().on_look([this](const AdapterVersion& version) { (void)texts_.of(version); });
}

std::shared_ptr<GenerationJob> Api::make_job(std::shared_ptr<AnswerSink> sink, JobOrigin origin) {
  return std::make_shared<GenerationJob>(std::move(sink), JobServices{generator_, *jobs_, metrics_, clock_}, std::move(origin));
}

}  // namespace slora
