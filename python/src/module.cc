// The Python module slora._slora: the engine as Python sees it. What only shapes requests and answers is written in Python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/request_table.h"
#include "base/log.h"
#include "engine_host.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace slora::python {
namespace {

// Raises the exception that the package has for this error. Requires: the GIL.
[[noreturn]] void raise(const ApiError& error) {
  constexpr const char* kKinds[] = {"invalid_request", "authentication", "permission", "not_found",
                                    "rate_limit",      "unavailable",    "timeout",    "internal"};
  const nb::object exception =
      nb::module_::import_("slora.errors").attr("make_error")(kKinds[static_cast<int>(error.kind)], error.code, error.message, error.param);
  PyErr_SetObject(exception.type().ptr(), exception.ptr());
  throw nb::python_error();
}

// The value of a call that is made without the GIL; other Python threads run meanwhile.
template <class Call>
auto call_released(Call call) {
  auto result = [&] {
    const nb::gil_scoped_release released;
    return call();
  }();
  if (!result) raise(to_api_error(result.error()));
  if constexpr (!std::is_same_v<decltype(result), Status>) return std::move(*result);
}

// An engine of this process. Its threads do not survive fork(), so that the copy in a child is of no use and is left as it is.
class PythonEngine {
 public:
  explicit PythonEngine(std::unique_ptr<EngineHost> host) : host_(std::move(host)) {}
  ~PythonEngine() {
    if (is_forked()) {
      (void)host_.release();
      return;
    }
    const nb::gil_scoped_release released;
    host_.reset();
  }

  EngineHost& host() const {
    if (is_forked()) {
      raise({ErrorKind::unavailable,
             "forked",
             "This engine was made before the process was forked, and its threads are in the parent: make an engine in this process, or "
             "start it with the method \"spawn\".",
             {}});
    }
    return *host_;
  }
  [[nodiscard]] bool is_forked() const { return getpid() != process_; }

 private:
  std::unique_ptr<EngineHost> host_;
  const pid_t process_ = getpid();
};

constexpr std::string_view kNf4Weights = "nf4-dequantised";

struct EngineArguments {
  std::string model, device, weights, policy;
  std::vector<std::string> names, adapter_folders;
  std::vector<std::pair<std::string, std::string>> named_adapters;
  std::optional<std::uint64_t> pool_bytes;
  std::optional<std::int32_t> max_model_len, running_max;
  int threads = 0;
  std::optional<std::string> chat_template;
};

Result<ApiOptions> api_options_of(const EngineArguments& arguments) {
  constexpr std::size_t waiting_max = 1 << 16;  // batches are handed over whole
  ApiOptions options;
  RuntimeOptions& runtime = options.runtime;
  runtime.model_folder = arguments.model;
  runtime.backend = arguments.device;
  const bool is_nf4 = arguments.weights == kNf4Weights;
  const std::optional<WeightStorage> storage = is_nf4 ? WeightStorage::bf16 : weight_storage_of(arguments.weights);
  if (!storage) return error("bad_option", "weights: expected bf16, int8, int4 or {}, found \"{}\"", kNf4Weights, arguments.weights);
  runtime.weights = *storage;
  runtime.weight_rounding = is_nf4 ? WeightRounding::nf4 : WeightRounding::none;
  runtime.threads = arguments.threads;
  runtime.pool_bytes = arguments.pool_bytes;
  runtime.max_model_len = arguments.max_model_len;
  if (arguments.running_max) runtime.running_max = *arguments.running_max;
  runtime.waiting_max = waiting_max;
  runtime.policy.name = arguments.policy;
  for (const std::string& folder : arguments.adapter_folders) runtime.adapter_folders.emplace_back(folder);
  for (const auto& [name, folder] : arguments.named_adapters) runtime.named_adapters.emplace_back(name, folder);
  options.model_names = arguments.names;
  if (arguments.chat_template) options.chat_template_file = *arguments.chat_template;
  return options;
}

std::unique_ptr<EngineHost> make_host(const EngineArguments& arguments) {
  return call_released([&]() -> Result<std::unique_ptr<EngineHost>> {
    Result<ApiOptions> options = api_options_of(arguments);
    if (!options) return forward_error(options);
    return EngineHost::create(std::move(*options));
  });
}

// Calls a Python function on the engine's thread, with the GIL. The function is given back with the GIL too: its queue may end with the
// last request that writes into it, on that thread.
std::function<void()> make_notify(nb::object function) {
  if (function.is_none()) return {};
  const auto give_back = [](nb::object* held) {
    const nb::gil_scoped_acquire gil;
    delete held;  // NOLINT(cppcoreguidelines-owning-memory): a deleter
  };
  const std::shared_ptr<nb::object> shared(new nb::object(std::move(function)), give_back);
  return [shared] {
    const nb::gil_scoped_acquire gil;
    try {
      (*shared)();
    } catch (nb::python_error& failure) {
      failure.discard_as_unraisable("slora: the notification of a queue");
    }
  };
}

Endpoint endpoint_of(const std::string& name) {
  if (name == "completions") return Endpoint::completions;
  if (name == "chat") return Endpoint::chat;
  throw nb::value_error("endpoint: expected completions or chat");
}

void set_level(const std::string& level) {
  constexpr std::pair<std::string_view, LogLevel> kLevels[] = {
      {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"error", LogLevel::error}};
  for (const auto& [name, value] : kLevels) {
    if (name == level) return set_log_level(value);
  }
  throw nb::value_error("level: expected debug, info, warning or error");
}

// Names of the fields that a completion request has, without those that select a model.
std::vector<std::string> field_names() {
  std::vector<std::string> names;
  for (const Field& field : request_fields()) {
    if ((field.sets & kCompletionFields) != 0 && !std::holds_alternative<ModelField>(field.kind)) names.emplace_back(field.name);
  }
  return names;
}

void bind_answers(nb::module_& module) {
  nb::class_<ScoredToken>(module, "ScoredToken")
      .def_ro("id", &ScoredToken::id)
      .def_ro("logprob", &ScoredToken::logprob)
      .def_ro("rank", &ScoredToken::rank)
      .def_ro("text", &ScoredToken::text);
  nb::class_<PromptAnswer>(module, "PromptAnswer")
      .def_ro("tokens", &PromptAnswer::tokens)
      .def_ro("text", &PromptAnswer::text)
      .def_ro("logprobs", &PromptAnswer::logprobs)
      .def_ro("cached_tokens", &PromptAnswer::cached_tokens);
  nb::class_<ChoiceAnswer>(module, "ChoiceAnswer")
      .def_ro("index", &ChoiceAnswer::index)
      .def_ro("text", &ChoiceAnswer::text)
      .def_ro("tokens", &ChoiceAnswer::tokens)
      .def_ro("logprobs", &ChoiceAnswer::logprobs)
      .def_ro("finish_reason", &ChoiceAnswer::finish_reason)
      .def_ro("stop_reason", &ChoiceAnswer::stop_reason);
  nb::class_<AnswerUpdate>(module, "AnswerUpdate")
      .def_ro("request", &AnswerUpdate::request)
      .def_ro("prompt", &AnswerUpdate::prompt)
      .def_ro("choices", &AnswerUpdate::choices)
      .def_ro("is_last", &AnswerUpdate::is_last)
      .def_ro("first_token_seconds", &AnswerUpdate::first_token_seconds)
      .def_ro("seconds", &AnswerUpdate::seconds)
      .def(
          "raise_error",
          [](const AnswerUpdate& update) {
            if (update.error) raise(*update.error);
          },
          "Raises the error that ended the request, if one did.");
  nb::class_<AnswerQueue>(module, "AnswerQueue")
      .def(
          "__init__", [](AnswerQueue* queue, nb::object notify) { new (queue) AnswerQueue(make_notify(std::move(notify))); },
          "notify"_a = nb::none(), nb::sig("def __init__(self, notify: collections.abc.Callable[[], object] | None = None) -> None"),
          "`notify` is called on the engine's thread when there are updates: once, until they are taken.")
      .def("take", &AnswerQueue::take)
      .def(
          "wait",
          [](AnswerQueue& queue, double seconds) {
            const nb::gil_scoped_release released;
            return queue.wait(std::chrono::duration<double>(seconds));
          },
          "seconds"_a)
      .def("close", &AnswerQueue::close);
}

void bind_adapters(nb::module_& module) {
  nb::class_<AdapterListing>(module, "AdapterListing")
      .def_ro("name", &AdapterListing::name)
      .def_ro("folder", &AdapterListing::folder)
      .def_ro("rank", &AdapterListing::rank)
      .def_prop_ro("refused", [](const AdapterListing& listing) {
        return listing.refused ? std::optional<std::string>(listing.refused->message) : std::nullopt;
      });
  nb::class_<HostStats>(module, "Stats")
      .def_ro("steps", &HostStats::steps)
      .def_ro("running", &HostStats::running)
      .def_ro("waiting", &HostStats::waiting)
      .def_ro("adapter_queries", &HostStats::adapter_queries)
      .def_ro("adapter_hits", &HostStats::adapter_hits)
      .def_ro("adapter_loads", &HostStats::adapter_loads)
      .def_ro("adapter_evictions", &HostStats::adapter_evictions)
      .def_ro("adapters_resident", &HostStats::adapters_resident)
      .def_ro("prefix_query_tokens", &HostStats::prefix_query_tokens)
      .def_ro("prefix_hit_tokens", &HostStats::prefix_hit_tokens)
      .def_ro("pool_bytes", &HostStats::pool_bytes)
      .def_ro("pool_bytes_used", &HostStats::pool_bytes_used);
}

void bind_arguments(nb::module_& module) {
  nb::class_<EngineArguments>(module, "EngineArguments")
      .def(nb::init<>())
      .def_rw("model", &EngineArguments::model)
      .def_rw("names", &EngineArguments::names)
      .def_rw("device", &EngineArguments::device)
      .def_rw("weights", &EngineArguments::weights)
      .def_rw("policy", &EngineArguments::policy)
      .def_rw("adapter_folders", &EngineArguments::adapter_folders)
      .def_rw("named_adapters", &EngineArguments::named_adapters)
      .def_rw("pool_bytes", &EngineArguments::pool_bytes, nb::for_setter(nb::arg("value").none()))
      .def_rw("max_model_len", &EngineArguments::max_model_len, nb::for_setter(nb::arg("value").none()))
      .def_rw("running_max", &EngineArguments::running_max, nb::for_setter(nb::arg("value").none()))
      .def_rw("threads", &EngineArguments::threads)
      .def_rw("chat_template", &EngineArguments::chat_template, nb::for_setter(nb::arg("value").none()));
}

void bind_texts(nb::class_<PythonEngine>& bound) {
  bound
      .def(
          "encode",
          [](PythonEngine& engine, const std::string& text, const std::string& model, bool add_special_tokens) {
            EngineHost& host = engine.host();
            return call_released([&] { return host.encode(model, text, add_special_tokens ? SpecialTokens::add : SpecialTokens::omit); });
          },
          "text"_a, "model"_a, "add_special_tokens"_a)
      .def(
          "decode",
          [](PythonEngine& engine, const std::vector<TokenId>& tokens, const std::string& model, bool skip_special_tokens) {
            EngineHost& host = engine.host();
            return call_released([&] { return host.decode(model, tokens, skip_special_tokens ? SpecialText::skip : SpecialText::keep); });
          },
          "tokens"_a, "model"_a, "skip_special_tokens"_a)
      .def(
          "output_tokens_that_fit",
          [](PythonEngine& engine, std::int32_t prompt_tokens, const std::string& model) {
            EngineHost& host = engine.host();
            return call_released([&] { return host.output_tokens_that_fit(model, prompt_tokens); });
          },
          "prompt_tokens"_a, "model"_a);
}

void bind_engine(nb::module_& module) {
  nb::class_<PythonEngine> bound(module, "Engine");
  bind_texts(bound);
  bound
      .def(
          "__init__", [](PythonEngine* engine, const EngineArguments& arguments) { new (engine) PythonEngine(make_host(arguments)); },
          "arguments"_a)
      .def("close",
           [](PythonEngine& engine) {
             if (engine.is_forked()) return;
             const nb::gil_scoped_release released;
             engine.host().close();
           })
      .def_prop_ro("is_closed", [](const PythonEngine& engine) { return engine.is_forked() || engine.host().is_closed(); })
      .def(
          "submit",
          [](PythonEngine& engine, std::uint64_t request, const std::string& endpoint, std::string body, std::shared_ptr<AnswerQueue> queue,
             bool in_parts) {
            EngineHost& host = engine.host();
            EngineHost::Submission submission{request, endpoint_of(endpoint), std::move(body),
                                              in_parts ? Delivery::in_parts : Delivery::whole, std::move(queue)};
            call_released([&] { return host.submit(std::move(submission)); });
          },
          "request"_a, "endpoint"_a, "body"_a, "queue"_a, "in_parts"_a)
      .def(
          "cancel", [](PythonEngine& engine, std::uint64_t request) { engine.host().cancel(request); }, "request"_a)
      .def(
          "add_adapter",
          [](PythonEngine& engine, const std::string& name, const std::string& folder) {
            EngineHost& host = engine.host();
            call_released([&] { return host.add_adapter(name, folder); });
          },
          "name"_a, "folder"_a)
      .def(
          "remove_adapter",
          [](PythonEngine& engine, const std::string& name) {
            EngineHost& host = engine.host();
            call_released([&] { return host.remove_adapter(name); });
          },
          "name"_a)
      .def("adapters",
           [](PythonEngine& engine) {
             EngineHost& host = engine.host();
             return call_released([&] { return host.adapters(); });
           })
      .def("stats",
           [](PythonEngine& engine) {
             EngineHost& host = engine.host();
             return call_released([&] { return host.stats(); });
           })
      .def("summary", [](PythonEngine& engine) {
        EngineHost& host = engine.host();
        return call_released([&] { return host.summary(); });
      });
}

}  // namespace
}  // namespace slora::python

NB_MODULE(_slora, module) {
  using namespace slora;
  set_log_level(LogLevel::warning);
  nb::set_leak_warnings(false);  // of what daemon threads hold when the interpreter ends
  python::bind_answers(module);
  python::bind_adapters(module);
  python::bind_arguments(module);
  python::bind_engine(module);
  module.attr("version") = SLORA_VERSION;
  module.def("field_names", &python::field_names);
  module.def("set_log_level", &python::set_level, "level"_a);
  module.def(
      "check_request",
      [](const std::string& endpoint, const std::string& body) {
        if (const Status valid = python::check_request(python::endpoint_of(endpoint), body); !valid)
          python::raise(to_api_error(valid.error()));
      },
      "endpoint"_a, "body"_a, "Raises the error of the first field that no engine would accept.");
}
