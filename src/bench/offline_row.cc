#include "bench/offline_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace slora::bench {
namespace {

std::string_view name_of(OfflineKind kind) {
  switch (kind) {
    case OfflineKind::prefill:
      return "prefill";
    case OfflineKind::decode:
      return "decode";
    case OfflineKind::requests:
      return "requests";
  }
  fail_check("expected a known kind of row", std::source_location::current());
}

std::string_view name_of(AdapterUse use) {
  switch (use) {
    case AdapterUse::none:
      return "none";
    case AdapterUse::shared:
      return "shared";
    case AdapterUse::distinct:
      return "distinct";
  }
  fail_check("expected a known use of adapters", std::source_location::current());
}

// "prefill 512", "decode 16 x 1024", "requests 16 x 128".
std::string shape_text(const PlannedRow& plan) {
  if (plan.kind == OfflineKind::prefill) return fmt::format("prefill {}", plan.tokens);
  return fmt::format("{} {} x {}", name_of(plan.kind), plan.batch, plan.tokens);
}

// Whether the machine's limits changed while the row was measured, so that its share is unreliable.
bool is_unsteady(const OfflineRow& row) {
  constexpr double kSteady = 1.15;
  const auto moved = [](double a, double b) { return std::max(a, b) > kSteady * std::min(a, b); };
  return moved(row.before.bandwidth, row.after.bandwidth) || moved(row.before.peak(row.arithmetic), row.after.peak(row.arithmetic));
}

}  // namespace

Json to_json(const OfflineRow& row) {
  const PlannedRow& plan = row.plan;
  const AdapterSetting& adapters = plan.adapters;
  Json json = {{"row", name_of(plan.kind)}, {"batch", plan.batch}, {"tokens", plan.tokens}, {"adapters", name_of(adapters.use)}};
  if (adapters.use != AdapterUse::none) {
    json["rank"] = adapters.kind.rank > 0 ? Json(adapters.kind.rank) : Json("mixed");
    if (adapters.registered > 0) json["registered"] = adapters.registered;
    json["targets"] = adapters.kind.targets == AdapterTargets::all ? "all" : "qv";
  }
  json["tokens_per_second"] = row.tokens_per_second;
  json["seconds"] = median(row.seconds);
  json["repetition_seconds"] = row.seconds;
  if (plan.kind == OfflineKind::requests) {
    json["output_tokens"] = row.output_tokens;
    json["token_seconds_p50"] = row.token_seconds_p50;
    json["token_seconds_p99"] = row.token_seconds_p99;
    json["adapter_loads"] = row.adapter_loads;
  } else {
    if (plan.kind == OfflineKind::decode) json["context"] = row.context;
    json["bytes"] = row.work.bytes;
    json["weight_operations"] = row.work.weight_operations;
    json["other_operations"] = row.work.other_operations;
    json["floor_seconds"] = row.floor_seconds;
    json["by_op_floor_seconds"] = row.by_op_seconds;
    json["share_of_floor"] = row.floor_seconds / median(row.seconds);
  }
  json["limits_before"] = to_json(row.before);
  json["limits_after"] = to_json(row.after);
  return json;
}

std::string offline_table_head() {
  return fmt::format("{:<22} {:<16} {:>9} {:>9} {:>9} {:>8} {:>7} {:>8} {:>9} {:>7} {:>9}", "row", "adapters", "tokens/s", "ms", "MB",
                     "GFLOP", "GB/s", "GFLOP/s", "floor ms", "share", "by op ms");
}

// Lists: tokens per second, and the times between tokens of a sequence.
std::string offline_table_line(const OfflineRow& row) {
  const double time = median(row.seconds);
  const std::string names =
      fmt::format("{:<22} {:<16} {:>9.1f}", shape_text(row.plan), bench::name_of(row.plan.adapters), row.tokens_per_second);
  if (row.plan.kind == OfflineKind::requests) {
    return names + fmt::format(" {:>9.0f}   next token {:.1f} ms, p99 {:.1f} ms; {} adapter loads", time * 1e3, row.token_seconds_p50 * 1e3,
                               row.token_seconds_p99 * 1e3, row.adapter_loads);
  }
  return names + fmt::format(" {:>9.2f} {:>9.1f} {:>8.2f} {:>7.1f} {:>8.0f} {:>9.2f} {:>5.1f} % {:>9.2f}{}", time * 1e3,
                             row.work.bytes / 1e6, row.work.operations() / 1e9, row.limits.bandwidth / 1e9,
                             row.limits.peak(row.arithmetic) / 1e9, row.floor_seconds * 1e3, 100 * row.floor_seconds / time,
                             row.by_op_seconds * 1e3, is_unsteady(row) ? " ~" : "");
}

}  // namespace slora::bench
