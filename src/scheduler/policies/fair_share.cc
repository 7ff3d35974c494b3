#include "scheduler/policies/fair_share.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace slora {
namespace {

// Prompt tokens that bring a client's counter to `level`, if it has as many.
double tokens_up_to(const ClientAccount& account, double level) {
  const double tokens = std::max(level - account.served, 0.0) * account.weight / FairSharePolicy::kPromptCost;
  return std::min(tokens, static_cast<double>(account.prompt_demand));
}

}  // namespace

void FairSharePolicy::charge(std::span<const ServiceCharge> charges) {
  for (const ServiceCharge& charge : charges) {
    const double cost = kPromptCost * charge.prompt_tokens + kOutputCost * charge.output_tokens +
                        kRecomputedCost * charge.recomputed_tokens + kAdapterPageCost * charge.adapter_pages;
    if (cost == 0) continue;
    ClientAccount& account = accounts_[account_of(charge.client)];
    account.served += cost / account.weight;
  }
}

double FairSharePolicy::served(ClientId client) const {
  const ClientAccount* const account = accounts_.find(client);
  return account == nullptr ? 0 : account->served;
}

void FairSharePolicy::decide(const StepView& view, StepDecision& decision) {
  for (const MeasuredStep& step : view.measured) prefill_.note(step);
  forget_idle();
  ++step_;
  collect(view);
  lift_returning();
  note_clients(view.now);
  shares_prompt_tokens_ = false;
  if (view.now < shared_until_) decision.prompt_tokens_max = prompt_tokens_max_of(view);
  if (live_.size() > 1) {
    order_queue(view, decision);
    order_running(view, decision);
    keep_places(view, decision);
    share_prompt_tokens(std::min(view.prompt_tokens_max, decision.prompt_tokens_max));
  }
  shares_.begin(view, decision);
}

std::uint32_t FairSharePolicy::account_of(ClientId client) {
  const std::size_t count = accounts_.size();
  const auto index = static_cast<std::uint32_t>(accounts_.index_of(client));
  if (index == count && !weights_.empty()) {
    if (const auto weight = weights_.find(client); weight != weights_.end()) accounts_[index].weight = weight->second;
  }
  return index;
}

// Finds the account of every sequence, and what each client has and wants in this step.
void FairSharePolicy::collect(const StepView& view) {
  live_.clear();
  running_.clear();
  waiting_.clear();
  weight_sum_ = 0;
  const auto add = [&](const SequenceView& sequence) {
    const std::uint32_t index = account_of(sequence.client);
    ClientAccount& account = accounts_[index];
    if (account.step != step_) {
      account.step = step_;
      account.waiting = account.ready = account.places = 0;
      account.prompt_demand = account.prompt_budget = account.committed = account.queued = 0;
      live_.push_back(index);
      weight_sum_ += account.weight;
    }
    const bool is_prompt = sequence.tokens_to_compute > 1;
    if (is_prompt && sequence.adapter_state == AdapterState::resident) account.prompt_demand += sequence.tokens_to_compute;
    return index;
  };
  for (const SequenceView& sequence : view.running) {
    const std::uint32_t index = add(sequence);
    running_.push_back({.account = index, .is_beyond = false, .ready = 0, .served = 0});
    ClientAccount& account = accounts_[index];
    if (sequence.adapter_state == AdapterState::resident) ++account.ready;
    if (sequence.tokens_to_compute > 1) account.committed += sequence.tokens_to_compute;
  }
  for (const SequenceView& sequence : view.preempted) accounts_[add(sequence)].committed += sequence.tokens_to_compute;
  for (const SequenceView& sequence : view.waiting) {
    const std::uint32_t index = add(sequence);
    waiting_.push_back({.account = index, .is_beyond = false, .ready = 0, .served = 0});
    ++accounts_[index].waiting;
  }
  for (const std::uint32_t index : live_) {
    ClientAccount& account = accounts_[index];
    account.places = std::max(static_cast<std::int32_t>(view.places * account.weight / weight_sum_), 1);
  }
}

// Updates the level, and lifts to it, less its credit, who comes to the queue.
void FairSharePolicy::lift_returning() {
  const ClientAccount* lowest = nullptr;  // of those that wait since the step before
  const ClientAccount* left = nullptr;    // the lowest of those that waited then
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    ClientAccount& account = accounts_[i];
    if (!account.is_backlogged) continue;
    const bool waits = account.step == step_ && account.waiting > 0;
    const ClientAccount*& place = waits ? lowest : left;
    if (place == nullptr || std::tuple(account.served, account.client) < std::tuple(place->served, place->client)) place = &account;
    account.is_backlogged = waits;
  }
  if (lowest == nullptr && left != nullptr) last_left_ = left->client;
  if (lowest == nullptr) lowest = accounts_.find(last_left_);
  if (lowest != nullptr) level_ = std::max(level_, lowest->served);
  for (const std::uint32_t index : live_) {
    ClientAccount& account = accounts_[index];
    if (account.waiting == 0 || account.is_backlogged) continue;
    const double credit_max = std::exchange(account.is_new, false) ? 0 : credit_max_;
    account.served = std::max(account.served, level_ - credit_max);
    account.is_backlogged = true;
  }
}

// Whoever is below the level loses its credit by it, nothing else. Those away since the time before go first, so that a client that asks
// regularly keeps its credit among many others.
void FairSharePolicy::forget_idle() {
  if (accounts_.size() < accounts_max_) return;
  const auto is_live = [&](const ClientAccount& account) { return account.step == step_; };  // of the step before
  accounts_.remove_if([&](const ClientAccount& account) { return account.step <= forgotten_step_ && account.served <= level_; });
  if (accounts_.size() >= kAccountsMax) accounts_.remove_if([&](const ClientAccount& account) { return !is_live(account); });
  accounts_max_ = std::max(kAccountsMin, 2 * accounts_.size());
  forgotten_step_ = step_;
}

// As if the clients were called one by one, each time the one with the lowest counter, and paid for their prompts at once.
void FairSharePolicy::order_queue(const StepView& view, StepDecision& decision) {
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    Place& place = waiting_[i];
    ClientAccount& account = accounts_[place.account];
    place.served = account.served + kPromptCost * static_cast<double>(account.committed + account.queued) / account.weight;
    place.ready = account.ready;
    account.queued += view.waiting[i].tokens_to_compute;
  }
  const auto comes_first = [&](std::size_t a, std::size_t b) {
    return std::tuple(waiting_[a].served, waiting_[a].ready, a) < std::tuple(waiting_[b].served, waiting_[b].ready, b);
  };
  if (!std::ranges::is_sorted(decision.queue, comes_first)) std::ranges::sort(decision.queue, comes_first);
}

// By age, but those beyond their clients' parts are last, the most served client's after all others.
void FairSharePolicy::order_running(const StepView& view, StepDecision& decision) {
  for (const std::uint32_t index : live_) accounts_[index].ready = 0;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (view.running[i].adapter_state != AdapterState::resident) continue;
    ClientAccount& account = accounts_[running_[i].account];
    running_[i].is_beyond = ++account.ready > account.places;
    running_[i].served = running_[i].is_beyond ? account.served : 0;
  }
  const auto comes_first = [&](std::size_t a, std::size_t b) {
    return std::tuple(running_[a].is_beyond, running_[a].served, a) < std::tuple(running_[b].is_beyond, running_[b].served, b);
  };
  if (!std::ranges::is_sorted(decision.running, comes_first)) std::ranges::sort(decision.running, comes_first);
}

// A place for each sequence at the head of the queue whose client has less than its part, as far as places are free or others' clients
// have more than theirs.
void FairSharePolicy::keep_places(const StepView& view, StepDecision& decision) {
  std::int32_t ready = 0, beyond = 0;
  for (const std::uint32_t index : live_) {
    ready += accounts_[index].ready;
    beyond += std::max(accounts_[index].ready - accounts_[index].places, 0);
  }
  const std::int32_t places_max = std::max(view.places - ready, 0) + beyond;
  for (const std::size_t index : decision.queue) {
    ClientAccount& account = accounts_[waiting_[index].account];
    if (decision.places_kept >= places_max || account.ready >= account.places) return;
    ++account.ready;
    ++decision.places_kept;
  }
}

void FairSharePolicy::note_clients(Timestamp now) {
  if (live_.empty()) return;
  const ClientId client = accounts_[live_.front()].client;
  const bool is_another = latest_client_ && *latest_client_ != client && now - latest_time_ < kAwayTime;
  if (live_.size() > 1 || is_another) shared_until_ = now + kAwayTime;
  latest_client_ = client;
  latest_time_ = now;
}

// Of a step that others may have to wait for.
std::int32_t FairSharePolicy::prompt_tokens_max_of(const StepView& view) {
  if (!prefill_.is_measured()) return kAnyPromptTokens;
  const std::int32_t least = std::max(view.prompt_tokens_max / kSharedStepPart, prefill_.tokens_in(shared_step_time_));
  const std::int64_t most = std::max<std::int64_t>(least, tokens_owed());
  return most < view.prompt_tokens_max ? static_cast<std::int32_t>(most) : kAnyPromptTokens;
}

// What the clients get of a step without a limit before the one that got most does, and few prompts of new clients next to it; and a token
// for the oldest sequence. 0 if nobody is owed any.
std::int64_t FairSharePolicy::tokens_owed() {
  const ClientAccount* most_served = nullptr;
  std::int64_t demand = 0;
  for (const std::uint32_t index : live_) {
    const ClientAccount& account = accounts_[index];
    if (account.prompt_demand == 0) continue;
    demand += account.prompt_demand;
    const auto rank = [](const ClientAccount& one) { return std::tuple(one.served, one.prompt_demand); };
    if (most_served == nullptr || rank(account) > rank(*most_served)) most_served = &account;
  }
  if (most_served == nullptr || demand == most_served->prompt_demand) return 0;
  const bool are_few = demand - most_served->prompt_demand <= kFewTokens;
  double level = most_served->served;
  for (const std::uint32_t index : live_) {
    const ClientAccount& account = accounts_[index];
    if (!are_few || &account == most_served || account.prompt_demand == 0) continue;
    level = std::max(level, account.served + kPromptCost * static_cast<double>(account.prompt_demand) / account.weight);
  }
  double tokens = 1;
  for (const std::uint32_t index : live_) tokens += tokens_up_to(accounts_[index], level);
  return static_cast<std::int64_t>(std::ceil(tokens));
}

// Raises the counters of the clients with prompts from the lowest on, all to one level, until the tokens are used up.
void FairSharePolicy::share_prompt_tokens(std::int64_t token_count) {
  std::int64_t demand = 0, demanding_count = 0;
  double low = 0, high = 0, weight_min = 1;
  for (const std::uint32_t index : live_) {
    const ClientAccount& account = accounts_[index];
    if (account.prompt_demand == 0) continue;
    demand += account.prompt_demand;
    low = demanding_count == 0 ? account.served : std::min(low, account.served);
    high = std::max(high, account.served);
    weight_min = std::min(weight_min, account.weight);
    ++demanding_count;
  }
  if (demanding_count < 2 || demand <= token_count) return;
  high += static_cast<double>(token_count) * kPromptCost / weight_min;
  constexpr int kHalvings = 48;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = low + (high - low) / 2;
    double tokens = 0;
    for (const std::uint32_t index : live_) tokens += tokens_up_to(accounts_[index], middle);
    (tokens < static_cast<double>(token_count) ? low : high) = middle;
  }
  constexpr double kRounding = 1e-6;  // or a client gets one too many, and the prompt of another is not completed in this step
  for (const std::uint32_t index : live_)
    accounts_[index].prompt_budget = static_cast<std::int64_t>(std::ceil(tokens_up_to(accounts_[index], high) - kRounding));
  shares_prompt_tokens_ = true;
  holds_back_ = false;
  prompt_tokens_left_ = 0;
  prompt_account_ = live_.front();
}

std::int32_t FairSharePolicy::prompt_tokens(const SequenceView& sequence, std::int32_t left) {
  if (!shares_prompt_tokens_) return shares_.share_of(sequence, left, SharedAmong::all);
  // It takes none, but 0 would keep it in the queue, and its adapter out of the pool, while others are admitted past it. Nor may it be
  // admitted past those that get none: later it would take a place before them.
  if (sequence.adapter_state != AdapterState::resident) return holds_back_ ? 0 : left;
  // The sequence of the call before took what is missing since then.
  accounts_[prompt_account_].prompt_budget -= std::max(prompt_tokens_left_ - left, 0);
  prompt_tokens_left_ = left;
  prompt_account_ = account_of(sequence.client);
  const std::int64_t budget = std::clamp<std::int64_t>(accounts_[prompt_account_].prompt_budget, 0, left);
  const std::int32_t share = shares_.share_of(sequence, static_cast<std::int32_t>(budget), SharedAmong::client);
  const bool waits = sequence.page_count == 0 && sequence.preemption_count == 0;
  holds_back_ = holds_back_ || (waits && share == 0);
  return share;
}

}  // namespace slora
