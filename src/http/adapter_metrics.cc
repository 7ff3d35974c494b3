#include "http/adapter_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace slora {
namespace {

constexpr std::size_t kListedMax = 200, kListedBytesMax = 8192;
// An adapter keeps its series until another one is clearly busier, so that two do not take turns.
constexpr double kNamedAdvantage = 1.5;
constexpr std::string_view kOthers = "_other";

// Names joined by commas, which no name contains, as many as may be listed.
std::string joined_names(std::span<const std::string> names) {
  std::string list;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count++ == kListedMax || list.size() + 1 + name.size() > kListedBytesMax) break;
    if (!list.empty()) list += ',';
    list += name;
  }
  return list;
}

bool is_used(const JobTable::AdapterUse& use, const std::string& name) {
  return std::ranges::binary_search(use.running, name) || std::ranges::binary_search(use.waiting, name);
}

// Those with an image in the pool: the ones in use first, then the ones used last.
std::vector<const AdapterStanding*> residents_of(const AdapterMetrics::State& state, const ModelAccess& access) {
  struct Ranked {
    bool is_idle;
    Timestamp unused_for;
    const AdapterStanding* standing;
  };
  std::vector<Ranked> ranked;
  for (const AdapterStanding& standing : state.standings) {
    if (!standing.is_in_pool || !access.allows(standing.name)) continue;
    ranked.push_back({!is_used(state.use, standing.name), state.now - standing.account->used_at(), &standing});
  }
  std::ranges::stable_sort(ranked, {}, [](const Ranked& entry) { return std::pair(entry.is_idle, entry.unused_for); });
  std::vector<const AdapterStanding*> residents;
  for (const Ranked& entry : ranked) residents.push_back(entry.standing);
  return residents;
}

// Asked for and not in the pool. What requests use and is not registered under that name, such as a blend, is none.
std::vector<std::string> awaited_of(const AdapterMetrics::State& state, const ModelAccess& access) {
  std::vector<std::string> names;
  for (const AdapterStanding& standing : state.standings) {
    if (!standing.is_in_pool && is_used(state.use, standing.name) && access.allows(standing.name)) names.push_back(standing.name);
  }
  return names;
}

// What routers read: llm-d's and that of Kubernetes' Gateway API, by its model server protocol. A router sends requests where their
// adapter is in `running`; so these are the adapters that are ready to be used, not only those in use.
void write_requests_info(PrometheusWriter& writer, const AdapterMetrics::State& state, std::span<const AdapterStanding* const> residents,
                         const ModelAccess& access) {
  std::vector<std::string> names;
  for (const AdapterStanding* resident : residents) names.push_back(resident->name);
  writer.family("vllm:lora_requests_info", "Adapters in the pool, those that requests wait for, and when that was so.", MetricKind::gauge);
  // A router takes the latest of several samples by its value, as vLLM's is a time. `max_lora` is above what both lists can hold: an
  // adapter that is nowhere may come to any replica.
  writer.sample({{"max_lora", std::to_string(state.registered_count + 1)},
                 {"running_lora_adapters", joined_names(names)},
                 {"waiting_lora_adapters", joined_names(awaited_of(state, access))}},
                state.unix_seconds);
}

void write_loaded(PrometheusWriter& writer, const AdapterMetrics::State& state, std::span<const AdapterStanding* const> residents,
                  const ModelAccess& access) {
  writer.family("vllm:lora_adapter_loaded", "Adapters whose image is in the pool (gpu) or kept in the host's memory (cpu).",
                MetricKind::gauge);
  const auto sample = [&](const AdapterStanding& standing, const char* level) {
    writer.sample({{"adapter_name", standing.name}, {"level", level}, {"pinned", standing.is_pinned ? "true" : "false"}}, std::uint64_t{1});
  };
  for (const AdapterStanding* resident : residents.first(std::min(residents.size(), kListedMax))) sample(*resident, "gpu");
  std::size_t listed = 0;
  for (const AdapterStanding& standing : state.standings) {
    if (!standing.is_on_host || !access.allows(standing.name)) continue;
    if (listed++ == kListedMax) break;
    sample(standing, "cpu");
  }
}

void write_loaded_counts(PrometheusWriter& writer, const AdapterMetrics::State& state) {
  const auto write = [&](std::string_view name, std::string_view help, auto is_there) {
    writer.family(name, help, MetricKind::gauge);
    writer.sample({}, static_cast<std::uint64_t>(std::ranges::count_if(state.standings, is_there)));
  };
  write("vllm:num_gpu_loaded_lora_adapters", "Adapters whose image is in the pool.", &AdapterStanding::is_in_pool);
  write("vllm:num_cpu_loaded_lora_adapters", "Adapters whose image is kept in the host's memory.", &AdapterStanding::is_on_host);
}

}  // namespace

AdapterMetrics::State AdapterMetrics::read(const AdapterStore& store, const JobTable& jobs) {
  State state;
  state.standings = store.standings();
  state.total = store.total_figures();
  state.use = jobs.adapters_in_use();
  state.registered_count = store.counts().registered;
  state.now = SteadyClock().now();
  state.unix_seconds = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return state;
}

void AdapterMetrics::write(PrometheusWriter& writer, const State& state, const ModelAccess& access) {
  const std::vector<const AdapterStanding*> residents = residents_of(state, access);
  write_requests_info(writer, state, residents, access);
  write_loaded_counts(writer, state);
  if (named_max_ == 0) return;
  write_loaded(writer, state, residents, access);
  choose_named(state);
  std::vector<Series> all = make_series(state);
  std::erase_if(all, [&](const Series& series) { return series.name != kOthers && !access.allows(series.name); });

  writer.family("slora_adapter_requests_total", "Sequences of an adapter that ended, by how.", MetricKind::counter);
  for (const Series& series : all) {
    for (const auto& [reason, figure] :
         {std::pair{"stop", AdapterFigure::stopped}, {"length", AdapterFigure::cut}, {"abort", AdapterFigure::aborted}})
      writer.sample({{"adapter", series.name}, {"finished_reason", reason}}, series.figures[figure]);
  }
  const auto write_counter = [&](std::string_view name, std::string_view help, AdapterFigure figure) {
    writer.family(name, help, MetricKind::counter);
    for (const Series& series : all) writer.sample({{"adapter", series.name}}, series.figures[figure]);
  };
  write_counter("slora_adapter_prompt_tokens_total", "Prompt tokens of its sequences that produced a token.", AdapterFigure::prompt_tokens);
  write_counter("slora_adapter_generation_tokens_total", "Tokens of its sequences that ended.", AdapterFigure::generation_tokens);
  // Without the prefix "image" these are the names of the sums over all adapters, which have no label.
  write_counter("slora_adapter_image_loads_total", "Loads of its image into the pool.", AdapterFigure::loads);
  write_counter("slora_adapter_image_hits_total", "Sequences that came while its image was in the pool.", AdapterFigure::hits);
  writer.family("slora_adapter_pages", "Pages of its own that its image takes in the pool.", MetricKind::gauge);
  for (const Series& series : all) writer.sample({{"adapter", series.name}}, std::uint64_t{series.page_count});
  writer.family("slora_adapter_time_to_first_token_seconds", "From the arrival of its requests to their first tokens.",
                MetricKind::histogram);
  for (const Series& series : all) {
    constexpr double microsecond = 1e-6;
    writer.histogram({{"adapter", series.name}}, kFirstTokenSeconds, series.figures.first_tokens,
                     static_cast<double>(series.figures[AdapterFigure::first_token_microseconds]) * microsecond);
  }
}

// The busiest, and what was counted of the others so far.
void AdapterMetrics::choose_named(const State& state) {
  struct Candidate {
    double requests;
    const AdapterStanding* standing;
  };
  std::unordered_map<std::string, Shown> shown;
  std::vector<Candidate> candidates;
  for (const AdapterStanding& standing : state.standings) {
    Shown& entry = shown[standing.name];
    if (const auto before = shown_.find(standing.name); before != shown_.end() && before->second.account == standing.account)
      entry = before->second;
    entry.account = standing.account;
    const double requests = standing.account->recent_requests(state.now);
    if (requests > 0) candidates.push_back({entry.is_named ? kNamedAdvantage * requests : requests, &standing});
    entry.is_named = false;
  }
  const std::size_t count = std::min(named_max_, candidates.size());
  std::ranges::partial_sort(candidates, candidates.begin() + static_cast<std::ptrdiff_t>(count), std::greater(), &Candidate::requests);
  for (const Candidate& candidate : std::span(candidates).first(count)) shown.at(candidate.standing->name).is_named = true;
  shown_ = std::move(shown);
}

std::vector<AdapterMetrics::Series> AdapterMetrics::make_series(const State& state) {
  std::vector<Series> all;
  Series others{std::string(kOthers), state.total, 0};
  for (const AdapterStanding& standing : state.standings) {
    Shown& shown = shown_.at(standing.name);
    const std::uint32_t page_count = standing.is_in_pool ? standing.page_count : 0;
    AdapterFigures figures = standing.account->figures();
    if (!shown.is_named) {
      shown.in_others = figures;
      others.page_count += page_count;
      continue;
    }
    figures -= shown.in_others;
    others.figures -= figures;
    all.push_back({standing.name, figures, page_count});
  }
  all.push_back(std::move(others));
  return all;
}

}  // namespace slora
