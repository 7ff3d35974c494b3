#include "http/status_routes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string_view>
#include <utility>

#include "api/json_text.h"
#include "formats/json.h"
#include "http/query.h"
#include "http/responses.h"
#include "metrics/prometheus.h"

namespace slora {
namespace {

double unix_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Physical memory of this process; 0 when the system does not report it.
std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0, resident_pages = 0;
  file >> pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void write_gauge(PrometheusWriter& writer, std::string_view name, std::string_view help, std::size_t value) {
  writer.family(name, help, MetricKind::gauge);
  writer.sample({}, std::uint64_t{value});
}

}  // namespace

StatusRoutes::StatusRoutes(ModelNames names, Runtime& runtime, const JobTable& jobs, const RequestMetrics& requests,
                           std::function<std::size_t()> request_count, std::size_t named_adapters_max, PostToIo post)
    : names_(std::move(names)),
      runtime_(runtime),
      jobs_(jobs),
      requests_(requests),
      request_count_(std::move(request_count)),
      adapter_metrics_(named_adapters_max),
      resident_bytes_(runtime.metrics().gauge("process_resident_memory_bytes", "Physical memory of this process, looked up each second.")),
      created_seconds_(static_cast<std::int64_t>(unix_seconds())),
      models_([this] { return runtime_.adapters().served_stamp(); }, [this] { return format_models(ModelAccess()); }, post),
      listing_(std::move(post), 1) {}

bool StatusRoutes::is_base(std::string_view name) const { return std::ranges::find(names_.all, name) != names_.all.end(); }

// `parent`: empty for the base. `context_tokens_max`: the adapter's own, or 0.
void StatusRoutes::append_model(std::string& out, std::string_view name, std::string_view parent, std::int32_t context_tokens_max) const {
  out += R"({"id":)";
  append_json_string(out, name);
  out += fmt::format(R"(,"object":"model","created":{},"owned_by":"slora","root":)", created_seconds_);
  append_json_string(out, name);
  out += R"(,"parent":)";
  if (parent.empty()) {
    out += "null";
  } else {
    append_json_string(out, parent);
  }
  out += fmt::format(R"(,"max_model_len":{}}})", context_tokens_max > 0 ? context_tokens_max : runtime_.max_model_len());
}

void StatusRoutes::models(const std::shared_ptr<Exchange>& exchange) {
  const std::shared_ptr<const ModelAccess> access = exchange->request().access;
  if (access->allows_all()) return models_.answer(exchange);
  listing_.answer(exchange, [this, access](std::string_view) { return json_response(format_models(*access).text); });
}

CachedBody::Body StatusRoutes::format_models(const ModelAccess& access) const {
  const AdapterStore::Served served = runtime_.adapters().served();
  std::string out = R"({"object":"list","data":[)";
  auto append = [&, is_first = true](std::string_view name, std::string_view parent, std::int32_t context_tokens_max) mutable {
    if (!access.allows(name)) return;
    if (!std::exchange(is_first, false)) out += ",";
    append_model(out, name, parent, context_tokens_max);
  };
  for (std::size_t i = 0; i < names_.listed_count; ++i) append(names_.all[i], {}, 0);
  for (std::size_t i = 0; i < served.names.size(); ++i) {
    if (!is_base(served.names[i])) append(served.names[i], names_.all.front(), served.context_tokens_max[i]);
  }
  out += "]}";
  return {served.stamp, std::move(out)};
}

void StatusRoutes::model(const std::shared_ptr<Exchange>& exchange) const {
  const std::string name = percent_decoded(exchange->request().path_rest).value_or("");
  std::string out;
  const bool is_allowed = exchange->request().access->allows(name);
  if (is_allowed && is_base(name)) {
    append_model(out, name, {}, 0);
    return exchange->respond(json_response(std::move(out)));
  }
  const std::optional<AdapterListing> adapter = runtime_.adapters().find(is_allowed ? name : std::string());
  if (!adapter) {
    const std::string message =
        fmt::format("The model {} does not exist. GET /v1/models lists the base model and its adapters.", quote(name));
    return exchange->respond(error_response({"model_not_found", message, "model"}));
  }
  if (adapter->refused) return exchange->respond(error_response({adapter->refused->code, adapter->refused->message, "model"}));
  append_model(out, name, names_.all.front(), adapter->context_tokens_max);
  exchange->respond(json_response(std::move(out)));
}

Status StatusRoutes::check_health() const {
  if (draining_) return error("draining", "The server is shutting down.");
  if (trouble_) return tl::unexpected(*trouble_);
  return {};
}

void StatusRoutes::health(const std::shared_ptr<Exchange>& exchange) const {
  const Status health = check_health();
  exchange->respond(health ? json_response(R"({"status":"ok"})") : error_response(health.error()));
}

void StatusRoutes::ping(const std::shared_ptr<Exchange>& exchange) const {
  const Status health = check_health();
  if (!health) return exchange->respond(error_response(health.error()));
  HttpResponse response;
  response.content_type = "";
  exchange->respond(std::move(response));
}

void StatusRoutes::metrics(const std::shared_ptr<Exchange>& exchange) {
  PrometheusWriter writer;
  runtime_.metrics().write(writer);
  const EngineStats stats = runtime_.engine().stats();
  const AdapterCounts adapters = runtime_.adapters().counts();
  if (exchange->request().is_trusted) {
    adapter_metrics_.write(writer, AdapterMetrics::read(runtime_.adapters(), jobs_), *exchange->request().access);
  }
  write_gauge(writer, "slora_adapters_registered", "Adapters that have a name.", adapters.registered);
  write_gauge(writer, "slora_adapters_refused", "Of these and of the folders that got no name, those that can't be served.",
              adapters.refused);
  write_gauge(writer, "slora_adapters_unavailable", "Adapters whose folder could not be read at the last look.", adapters.unavailable);
  write_gauge(writer, "slora_adapters_resident", "Adapters whose image is in the pool.", stats.adapters_resident);
  write_gauge(writer, "slora_adapters_pinned", "Adapters that are kept in the pool.", stats.scheduler.adapters_pinned);
  const HostImages::Counts host = runtime_.adapters().host_counts();
  writer.family("slora_host_adapter_hits_total", "Loads whose image was in the host's memory.", MetricKind::counter);
  writer.sample({}, static_cast<double>(host.hits));
  writer.family("slora_host_adapter_misses_total", "Loads whose image was not, while --host-adapter-memory is on.", MetricKind::counter);
  writer.sample({}, static_cast<double>(host.misses));
  write_gauge(writer, "slora_host_adapter_bytes", "What images in the host's memory take.", host.bytes);
  write_gauge(writer, "slora_adapters_loading", "Adapters whose image is being loaded.", stats.adapters_loading);
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = writer.text();
  exchange->respond(std::move(response));
}

void StatusRoutes::look() {
  const RequestMetrics::Totals totals = requests_.totals();
  const auto now = std::chrono::steady_clock::now();
  served_.look(now, totals.served);
  output_tokens_.look(now, totals.output_tokens);
  resident_bytes_.set(static_cast<double>(resident_bytes()));
}

void StatusRoutes::load(const std::shared_ptr<Exchange>& exchange) const {
  const RequestMetrics::Totals totals = requests_.totals();
  const SchedulerStats stats = runtime_.engine().stats().scheduler;
  const auto share = [](double part, std::uint64_t whole) {
    return whole == 0 ? "null" : fmt::format("{:.4g}", part / static_cast<double>(whole));
  };
  exchange->respond(json_response(fmt::format(
      R"({{"server_load":{},"requests_served":{},"request_seconds_mean":{},"requests_per_second":{:.4g},"output_tokens_per_second":{:.4g},)"
      R"("adapter_hit_rate":{},"resident_memory_bytes":{:.0f},"pool_used":{:.4g}}})",
      request_count_(), totals.served, share(totals.seconds, totals.served), served_.per_second(), output_tokens_.per_second(),
      share(static_cast<double>(stats.adapter_hits), stats.adapter_queries), resident_bytes_.value(),
      1 - static_cast<double>(stats.pages_free + stats.pages_evictable) / std::max(stats.pages_total, 1u))));
}

void StatusRoutes::version(const std::shared_ptr<Exchange>& exchange) const {
  exchange->respond(json_response(R"({"version":")" SLORA_VERSION R"("})"));
}

void StatusRoutes::root(const std::shared_ptr<Exchange>& exchange) const {
  exchange->respond(json_response(R"({"server":"slora","version":")" SLORA_VERSION
                                  R"(","api":"/v1","description":"/openapi.json","health":"/health","metrics":"/metrics"})"));
}

}  // namespace slora
