#include "scheduler/testing/simulated_workload.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace slora {
namespace {

constexpr std::size_t kConversationCount = 8;
constexpr std::size_t kFamilyCount = 3;

// Most are short, few are very long.
std::int32_t draw_length(SimulatedRandom& random, std::int32_t most) {
  const double heavy = std::pow(1 - random.unit(), -0.7);  // Pareto, from 1 on
  return std::min(most, static_cast<std::int32_t>(heavy * 0.15 * most) + static_cast<std::int32_t>(random.between(1, 3)));
}

}  // namespace

SimulationOptions draw_options(std::uint64_t seed) {
  SimulatedRandom random(seed);
  SimulationOptions options;
  options.seed = seed;
  SchedulerOptions& scheduler = options.scheduler;
  scheduler.page_tokens = 1 << random.below(4);
  scheduler.page_count = static_cast<std::uint32_t>(random.between(8, 64));
  scheduler.step_tokens_max = static_cast<std::int32_t>(random.between(2, 48));
  scheduler.running_max = static_cast<std::int32_t>(random.between(1, 12));
  scheduler.waiting_max = static_cast<std::size_t>(random.between(2, 24));
  scheduler.waiting_tokens_max = static_cast<std::size_t>(random.between(50, 1000));
  scheduler.depth = random.chance(0.5) ? 2 : 1;
  scheduler.prefix_hash = random.chance(0.2) ? PrefixHash::all_equal : PrefixHash::tokens;
  const auto capacity = static_cast<std::int32_t>(scheduler.page_count) * scheduler.page_tokens;
  options.prompt_tokens_max = std::clamp(capacity / 2, 4, 60);
  options.output_tokens_max = std::clamp(capacity / 2, 4, 60);
  options.model.stop_period = static_cast<std::uint64_t>(random.between(5, 200));
  options.model.fail_period = random.chance(0.3) ? 80 : 0;
  options.policy = random.chance(0.2) ? SimulatedPolicy::random : SimulatedPolicy::fcfs;
  options.adapter_count = random.chance(0.85) ? static_cast<std::uint64_t>(random.between(1, 16)) : 0;
  options.adapter_pages_max = static_cast<std::uint32_t>(random.between(1, scheduler.page_count / 4));
  options.adapter_skew = random.unit() * 1.5;
  options.tenant_count = static_cast<std::uint32_t>(random.between(1, 3));
  options.priority_count = random.chance(0.3) ? 3 : 1;
  options.burst_chance = 0.02 + 0.3 * random.unit();
  options.burst_requests_max = random.between(1, 8);
  options.cancel_chance = random.chance(0.6) ? 0.1 * random.unit() : 0;
  options.replace_chance = random.chance(0.5) ? 0.05 * random.unit() : 0;
  options.load_fail_chance = random.chance(0.5) ? 0.3 * random.unit() : 0;
  options.load_steps_max = random.between(0, 10);
  if (kStressMode == StressMode::tiny_pages) {
    scheduler.page_count *= static_cast<std::uint32_t>(scheduler.page_tokens);
    scheduler.page_tokens = 1;
  }
  // Added later, from the seed alone: what was drawn before stays the same for every seed.
  if (options.policy == SimulatedPolicy::random && seed % 2 == 0) options.policy = SimulatedPolicy::least_served;
  scheduler.overtaken_max = 1 + static_cast<std::int32_t>(seed % 7);
  options.client_count = 1 + seed % 4;
  if (options.policy == SimulatedPolicy::fcfs && options.priority_count == 1 && seed % 3 == 0) options.policy = SimulatedPolicy::fair_share;
  if (options.policy == SimulatedPolicy::fcfs && options.priority_count == 1 && seed % 3 == 1)
    options.policy = seed % 2 == 0 ? SimulatedPolicy::adapter_grouped : SimulatedPolicy::deadline;
  options.adapter_group = {.adapters_max = 1 + static_cast<std::size_t>(seed % 4), .wait_max = Timestamp{20 + seed * 37 % 700}};
  if (seed % 5 == 0) options.adapter_group.pages_max = std::max(scheduler.page_count / 6, 1u);
  options.deadlines = {.first_token_slo = Timestamp{20 + seed % 200}, .assumed_prefill_time = Timestamp{2}};
  if (seed % 2 == 1) options.deadlines.reward = FirstTokenReward::attainment;
  if (seed % 11 == 0) scheduler.preempted_every = 3;
  if (seed % 5 > 1) scheduler.eviction = static_cast<EvictionPolicy>(seed % 5 - 1);
  if (seed % 13 == 0) scheduler.prefetched_sequences = 0;
  if (seed % 6 == 1) options.pin_chance = 0.03;
  if (seed % 4 == 3) scheduler.adapter_idle_time = Timestamp{static_cast<std::int64_t>(20 + seed % 50)};
  if (seed % 9 == 0) scheduler.adapter_pages_separate = scheduler.page_count / 3 + 1;  // at least as many as the largest image
  if (seed % 4 == 1) options.late_adapter_chance = 0.5;
  if (seed % 4 == 0 || seed % 7 == 5) {
    options.shared_image_count = 1 + seed / 4 % 3;
    options.shared_pages_max = 1 + scheduler.page_count / 16;
    if (scheduler.adapter_pages_separate > 0) scheduler.adapter_pages_separate += 2 * options.shared_pages_max;
  }
  if (seed % 3 == 2) options.suspend_chance = 0.05 + 0.01 * static_cast<double>(seed % 40);
  options.client_credit_max = static_cast<double>(seed / 3 % 4 * 50);
  options.client_shared_step_time = Timestamp{static_cast<std::int64_t>(seed / 12 % 4)};
  if (seed % 2 == 0) options.client_weights = {{ClientId{1}, 2.0}, {ClientId{2}, 0.5}};
  return options;
}

SimulatedWorkload::SimulatedWorkload(const SimulationOptions& options) : options_(options) {
  SimulatedRandom random(options.seed ^ 0x5eed);
  double sum = 0;
  for (std::uint64_t i = 0; i < options_.adapter_count; ++i) {
    names_.push_back(make_content(random));
    sum += std::pow(static_cast<double>(i + 1), -options_.adapter_skew);
    popularity_.push_back(sum);
  }
  for (std::size_t i = 0; i < kFamilyCount; ++i) {
    std::vector<TokenId>& family = families_.emplace_back();
    for (std::int32_t k = 0; k < options_.prompt_tokens_max; ++k)
      family.push_back(static_cast<TokenId>(random.below(static_cast<std::uint64_t>(options_.model.vocabulary))));
  }
}

ClientId SimulatedWorkload::client_of(SequenceId id) const {
  constexpr std::uint64_t kPhaseRequests = 100;
  const bool all_come = id.value / kPhaseRequests % 2 == 0;
  const std::uint64_t count = all_come ? options_.client_count : (options_.client_count + 1) / 2;
  return ClientId{1 + id.value * 7 % 11 % count};
}

SimulatedRequest SimulatedWorkload::draw_request(SimulatedRandom& random) {
  SimulatedRequest drawn;
  SequenceRequest& request = drawn.request;
  request.id = SequenceId{next_sequence_++};
  request.client = client_of(request.id);
  request.priority = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(options_.priority_count)));
  request.output_tokens_max = draw_length(random, options_.output_tokens_max);
  if (options_.suspend_chance > 0 && request.id.value % 3 != 0) request.continuation = Continuation::known;
  if (random.chance(options_.scored_chance)) request.prompt_use = PromptUse::scored;
  if (!conversations_.empty() && random.chance(options_.familiar_chance * 0.4)) {
    const Conversation& conversation = conversations_[random.below(conversations_.size())];
    request.tenant = conversation.tenant;
    request.adapter = conversation.adapter;
    request.adapter_page_count = conversation.adapter_page_count;
    request.adapter_shared = shared_of(request.adapter);
    request.adapter_begin = conversation.adapter_begin;
    request.prompt = conversation.tokens;
    request.prompt.push_back(0);
    drawn.earlier_prompt_count = conversation.prompt_count;
    return drawn;
  }
  request.tenant = TenantId{static_cast<std::uint32_t>(random.below(options_.tenant_count))};
  if (!names_.empty() && random.chance(options_.adapter_chance)) {
    const Name& name = names_[draw_name(random)];
    request.adapter = name.content;
    request.adapter_page_count = name.page_count;
    request.adapter_shared = shared_of(request.adapter);
  }
  request.prompt = draw_prompt(random);
  if (options_.late_adapter_chance > 0 && request.adapter != kNoAdapter && random.chance(options_.late_adapter_chance))
    request.adapter_begin = static_cast<std::int32_t>(random.below(request.prompt.size()));
  return drawn;
}

void SimulatedWorkload::remember(const SequenceRequest& request, std::int32_t prompt_count, const std::vector<TokenId>& tokens) {
  if (std::cmp_greater(tokens.size(), options_.prompt_tokens_max)) return;
  Conversation conversation{request.tenant, request.adapter, request.adapter_page_count, request.adapter_begin, prompt_count, tokens};
  if (conversations_.size() < kConversationCount)
    conversations_.push_back(std::move(conversation));
  else
    conversations_[next_conversation_++ % kConversationCount] = std::move(conversation);
}

std::pair<AdapterId, std::uint32_t> SimulatedWorkload::draw_content(SimulatedRandom& random) const {
  const Name& name = names_[draw_name(random)];
  return {name.content, name.page_count};
}

std::vector<SharedImage> SimulatedWorkload::shared_of(AdapterId content) const {
  constexpr std::uint64_t kFirstId = std::uint64_t{1} << 40;
  std::vector<SharedImage> shared;
  if (content == kNoAdapter || options_.shared_image_count == 0) return shared;
  const std::uint64_t count = std::min(content.value % 3, options_.shared_image_count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t image = (content.value / 3 + i) % options_.shared_image_count;
    const auto page_count = static_cast<std::uint32_t>(1 + (options_.seed + image) % options_.shared_pages_max);
    shared.push_back({AdapterId{kFirstId + image}, page_count});
  }
  return shared;
}

AdapterId SimulatedWorkload::replace_some(SimulatedRandom& random) {
  Name& name = names_[draw_name(random)];
  const AdapterId old = std::exchange(name, make_content(random)).content;
  std::erase_if(conversations_, [&](const Conversation& conversation) { return conversation.adapter == old; });
  return old;
}

std::size_t SimulatedWorkload::draw_name(SimulatedRandom& random) const {
  const double at = random.unit() * popularity_.back();
  const auto found = std::ranges::upper_bound(popularity_, at) - popularity_.begin();
  return std::min(static_cast<std::size_t>(found), names_.size() - 1);
}

SimulatedWorkload::Name SimulatedWorkload::make_content(SimulatedRandom& random) {
  return {AdapterId{next_content_++}, static_cast<std::uint32_t>(random.between(1, options_.adapter_pages_max))};
}

std::vector<TokenId> SimulatedWorkload::draw_prompt(SimulatedRandom& random) const {
  const std::int32_t count = draw_length(random, options_.prompt_tokens_max);
  const std::vector<TokenId>& family = families_[random.below(families_.size())];
  const auto familiar = random.chance(options_.familiar_chance) ? random.between(0, count) : 0;
  std::vector<TokenId> prompt(family.begin(), family.begin() + familiar);
  while (std::cmp_less(prompt.size(), count))
    prompt.push_back(static_cast<TokenId>(random.below(static_cast<std::uint64_t>(options_.model.vocabulary))));
  return prompt;
}

}  // namespace slora
