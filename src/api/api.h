#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/adapter_texts.h"
#include "api/constraint_step.h"
#include "api/engine_generator.h"
#include "api/generation_job.h"
#include "api/job_table.h"
#include "api/request_metrics.h"
#include "api/request_preparer.h"
#include "api/text_model.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/runtime.h"
#include "sources/adapter_sources.h"

namespace slora {

struct ApiOptions {
  RuntimeOptions runtime;
  std::vector<std::string>
      model_names;  // that mean the base model in requests; the first is the one in answers. Empty: default_model_name()
  std::optional<std::filesystem::path> chat_template_file;  // used instead of the model's own
  AdapterSourceOptions sources = {};
  AnswerFormChoice answer_forms = {};
};

// A model and its adapters with everything that turns requests into answers: text, validation, engine, jobs. The one way in for servers and
// programs alike; those without an event loop use LocalApi. Any thread may prepare requests; jobs are made, started and run on one thread,
// which the owner chooses by `post`.
class Api {
 public:
  // Runs work on the jobs' thread, in the order of the calls; called from any thread. Work is not run when this throws.
  using Post = std::function<void(std::function<void()>)>;

  // Reads the model and starts the engine. Work that was posted may be dropped once the Api is gone, but not run.
  [[nodiscard]] static Result<std::unique_ptr<Api>> create(ApiOptions options, Post post);

  // Turns a body into a request ready for the engine: the slow part of every request. Any thread.
  [[nodiscard]] const RequestPreparer& preparer() const { return preparer_; }
  // Compiles the form of what was prepared, for whoever uses the preparer in steps. Any thread.
  [[nodiscard]] const ConstraintStep& constraints() const { return constraints_; }
  // A job that gives its answer to `sink` once it is started with a prepared request.
  [[nodiscard]] std::shared_ptr<GenerationJob> make_job(std::shared_ptr<AnswerSink> sink, JobOrigin origin);

  // The text sides of the base and of its adapters.
  [[nodiscard]] AdapterTexts& texts() { return texts_; }
  [[nodiscard]] const std::vector<std::string>& model_names() const { return model_names_; }
  // The base model's.
  [[nodiscard]] const TextModel& text() const { return *texts_.base(); }
  [[nodiscard]] Runtime& runtime() { return *runtime_; }
  [[nodiscard]] JobTable& jobs() { return *jobs_; }
  // Null: all adapters are in folders that the server was given.
  [[nodiscard]] AdapterSources* sources() { return sources_.get(); }
  [[nodiscard]] const RequestMetrics& request_metrics() const { return metrics_; }

 private:
  Api(std::vector<std::string> model_names, std::shared_ptr<const TextModel> text, std::unique_ptr<JobTable> jobs,
      std::unique_ptr<Runtime> runtime);
  [[nodiscard]] Status open_sources(AdapterSourceOptions options);

  const std::vector<std::string> model_names_;  // at least one
  AdapterTexts texts_;
  const SteadyClock clock_;
  const std::unique_ptr<JobTable> jobs_;     // on the heap: the engine's events refer to it
  const std::unique_ptr<Runtime> runtime_;   // after the table: its engine posts to it until it has ended
  std::unique_ptr<AdapterSources> sources_;  // constant once it is created
  EngineGenerator generator_;
  RequestMetrics metrics_;
  const std::unique_ptr<ConstraintCompiler> compiler_;  // null: forms are refused
  const ConstraintStep constraints_;
  const RequestPreparer preparer_;
};

}  // namespace slora
