#include "traces/span_exporter.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <iterator>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "traces/json_post.h"
#include "traces/otlp_json.h"

namespace slora {
namespace {

constexpr std::chrono::minutes kWarningPause(1);
constexpr std::chrono::milliseconds kLastExportTime(1000);

// As OTLP defines it: trying again helps with these, and with no other status.
bool may_repeat_after(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

std::optional<std::chrono::milliseconds> seconds_in(const std::string& text) {
  int seconds = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failure != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;  // a date, for example
  return std::chrono::seconds(seconds);
}

// How many spans a collector has not taken although it answered 200. A 64-bit integer may be text in protobuf's JSON form.
std::size_t rejected_spans(const std::string& body) {
  const nlohmann::json answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object()) return 0;
  const auto partial = answer.find("partialSuccess");
  if (partial == answer.end() || !partial->is_object()) return 0;
  const auto count = partial->find("rejectedSpans");
  if (count == partial->end()) return 0;
  std::uint64_t number = 0;
  if (count->is_number_unsigned()) number = count->get<std::uint64_t>();
  if (const auto* const text = count->get_ptr<const std::string*>()) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

Counter& dropped(MetricsRegistry& registry, const char* reason) {
  return registry.counter("slora_trace_spans_dropped_total", "Spans that did not reach the collector.", {{"reason", reason}});
}

}  // namespace

SpanExporter::SpanExporter(SpanExporterOptions options, MetricsRegistry& registry)
    : options_(std::move(options)),
      exported_(registry.counter("slora_trace_spans_exported_total", "Spans that the collector has taken.")),
      dropped_full_(dropped(registry, "queue_full")),
      dropped_failed_(dropped(registry, "export_failed")),
      dropped_rejected_(dropped(registry, "rejected")) {
  batch_.reserve(options_.batch_max);
  thread_ = std::thread([this] { run(); });
}

SpanExporter::~SpanExporter() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SpanExporter::add(std::vector<Span> spans) {
  {
    const std::lock_guard lock(mutex_);
    const std::size_t before = waiting_.size();
    if (before + spans.size() > options_.waiting_max) return dropped_full_.add(spans.size());
    try {
      for (Span& span : spans) waiting_.push_back(std::move(span));
    } catch (const std::bad_alloc&) {
      waiting_.resize(before);
      return dropped_full_.add(spans.size());
    }
    // The thread looks by itself otherwise.
    if (before >= options_.batch_max || waiting_.size() < options_.batch_max) return;
  }
  changed_.notify_all();
}

void SpanExporter::run() {
  for (take_batch(); !batch_.empty(); take_batch()) {
    const Delivery delivery = deliver_batch();
    batch_.clear();
    if (delivery == Delivery::failed && is_ending()) break;
  }
  const std::lock_guard lock(mutex_);
  dropped_failed_.add(waiting_.size());
}

void SpanExporter::take_batch() {
  std::unique_lock lock(mutex_);
  do {
    changed_.wait_for(lock, options_.pause, [&] { return is_ending_ || waiting_.size() >= options_.batch_max; });
  } while (waiting_.empty() && !is_ending_);
  const std::size_t count = std::min(waiting_.size(), options_.batch_max);
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  batch_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
}

SpanExporter::Delivery SpanExporter::deliver_batch() {
  const auto last_time = std::chrono::steady_clock::now() + options_.retry_time;
  std::chrono::milliseconds pause = options_.retry_pause;
  for (;;) {
    const bool is_last = is_ending();
    const Attempt attempt = send_batch();
    if (attempt.is_taken) return Delivery::taken;
    // Partly random, so that servers which lost one collector do not come back to it all at once.
    const std::chrono::milliseconds own_pause = pause * std::uniform_int_distribution(50, 100)(random_) / 100;
    const std::chrono::milliseconds time = std::min(attempt.retry_after.value_or(own_pause), options_.retry_time);
    pause *= 2;
    const bool is_given_up = is_last || !attempt.may_repeat || std::chrono::steady_clock::now() + time > last_time;
    warn(attempt.why, is_given_up ? "these are dropped" : "it is repeated");
    if (is_given_up) dropped_failed_.add(batch_.size());
    if (attempt.may_repeat) wait(time);  // also before another batch
    if (is_given_up) return Delivery::failed;
  }
}

SpanExporter::Attempt SpanExporter::send_batch() {
  bool is_taken = false;
  try {
    const auto now = std::chrono::steady_clock::now();
    if (is_ending() && !end_) end_ = now + kLastExportTime;
    const PostAnswer answer =
        post_json(options_.collector, otlp_body(batch_, options_.service_version), {}, end_.value_or(now + options_.export_time));
    is_taken = answer.status / 100 == 2;
    return read_answer(answer.status, answer.retry_after, answer.body);
  } catch (const std::exception& failed) {  // of the connection: it may be there again later
    return {.is_taken = is_taken, .may_repeat = true, .why = failed.what()};
  }
}

SpanExporter::Attempt SpanExporter::read_answer(int status, const std::string& retry_after, const std::string& body) {
  if (status / 100 != 2) {
    return {.may_repeat = may_repeat_after(status), .retry_after = seconds_in(retry_after), .why = fmt::format("it answered {}", status)};
  }
  const std::size_t rejected = std::min(rejected_spans(body), batch_.size());
  exported_.add(batch_.size() - rejected);
  if (rejected > 0) {
    dropped_rejected_.add(rejected);
    warn(fmt::format("it rejected {} of them", rejected), "these are dropped");
  }
  return {.is_taken = true};
}

void SpanExporter::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return is_ending_; });
}

bool SpanExporter::is_ending() {
  const std::lock_guard lock(mutex_);
  return is_ending_;
}

void SpanExporter::warn(std::string_view why, std::string_view consequence) {
  const auto now = std::chrono::steady_clock::now();
  if (last_warning_ && now - *last_warning_ < kWarningPause) return;
  last_warning_ = now;
  // Without the URL's path, which may be a secret of the collector's.
  log_warning("--otlp-traces-endpoint: an export of {} spans to {} failed: {}; {}. At most one such line a minute", batch_.size(),
              authority_of(options_.collector), why, consequence);
}

}  // namespace slora
