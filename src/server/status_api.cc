#include "server/status_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>

#include "metrics/prometheus.h"
#include "server/error_response.h"
#include "server/json_text.h"

namespace slora {
namespace {

// A step takes as long as its tokens do: half a minute for the largest on a slow machine, so that only a hanging one takes longer.
constexpr std::chrono::seconds kHeartbeatAgeMax(60);

struct ModelLine {
  std::string_view name, root, parent;  // parent: empty for the base
  std::int64_t created_seconds;
  std::int32_t max_model_len;
};

void append_model(std::string& out, const ModelLine& line) {
  out += R"({"id":)";
  append_json_string(out, line.name);
  out += fmt::format(R"(,"object":"model","created":{},"owned_by":"slora","root":)", line.created_seconds);
  append_json_string(out, line.root);
  out += R"(,"parent":)";
  if (line.parent.empty()) {
    out += "null";
  } else {
    append_json_string(out, line.parent);
  }
  out += fmt::format(R"(,"max_model_len":{}}})", line.max_model_len);
}

std::string joined(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ",")); }

}  // namespace

StatusApi::StatusApi(std::vector<std::string> model_names, Runtime& runtime, const JobTable& jobs)
    : model_names_(std::move(model_names)),
      runtime_(runtime),
      jobs_(jobs),
      created_seconds_(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count()) {}

void StatusApi::models(const std::shared_ptr<Exchange>& exchange) const {
  const std::string& base = model_names_.front();
  const std::int32_t max_model_len = runtime_.max_model_len();
  HttpResponse response;
  std::string& out = response.body;
  out = R"({"object":"list","data":[)";
  append_model(out, {base, base, {}, created_seconds_, max_model_len});
  for (const AdapterListing& adapter : runtime_.adapters().list()) {
    if (adapter.refused || std::ranges::find(model_names_, adapter.name) != model_names_.end()) continue;
    out += ",";
    append_model(out, {adapter.name, adapter.name, base, created_seconds_, max_model_len});
  }
  out += "]}";
  exchange->respond(std::move(response));
}

void StatusApi::health(const std::shared_ptr<Exchange>& exchange) const {
  if (draining_) return exchange->respond(error_response({"draining", "The server is shutting down.", {}}));
  if (runtime_.engine().heartbeat_age() > kHeartbeatAgeMax) {
    return exchange->respond(error_response({"engine_stalled", "The engine has not finished a step for a while.", {}}));
  }
  HttpResponse response;
  response.body = R"({"status":"ok"})";
  exchange->respond(std::move(response));
}

void StatusApi::metrics(const std::shared_ptr<Exchange>& exchange) const {
  PrometheusWriter writer;
  runtime_.metrics().write(writer);
  const JobTable::AdapterUse use = jobs_.adapters_in_use();
  const EngineStats stats = runtime_.engine().stats();
  writer.family("vllm:lora_requests_info", "Adapters of the requests that run and wait.", MetricKind::gauge);
  writer.sample({{"max_lora", std::to_string(runtime_.adapters().list().size())},
                 {"running_lora_adapters", joined(use.running)},
                 {"waiting_lora_adapters", joined(use.waiting)}},
                std::uint64_t{1});
  writer.family("slora_adapters_resident", "Adapters whose image is in the pool.", MetricKind::gauge);
  writer.sample({}, std::uint64_t{stats.adapters_resident});
  writer.family("slora_adapters_loading", "Adapters whose image is being loaded.", MetricKind::gauge);
  writer.sample({}, std::uint64_t{stats.adapters_loading});
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = writer.text();
  exchange->respond(std::move(response));
}

void StatusApi::version(const std::shared_ptr<Exchange>& exchange) const {
  HttpResponse response;
  response.body = R"({"version":")" SLORA_VERSION R"("})";
  exchange->respond(std::move(response));
}

void StatusApi::ping(const std::shared_ptr<Exchange>& exchange) const {
  HttpResponse response;
  response.content_type = "";
  exchange->respond(std::move(response));
}

}  // namespace slora
