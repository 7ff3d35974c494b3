# Seeded bugs of the policies, and of how the scheduler calls them (mutants.cmake).
slora_mutate(scheduler/policies/priority.cc
  " : a < b;"
  " : (mutant_is(\"newest_first\") ? a > b : a < b);"
  newest_first)
slora_mutate(scheduler/policies/fair_share.cc
  "account.served = std::max(account.served, level_ - credit_max);"
  "if (mutant_is(\"returning_client_is_lifted_too_high\"))
      account.served += level_;
    else if (mutant_is(\"credit_is_given_to_who_used_its_part\"))
      account.served = level_ - credit_max;
    else if (!mutant_is(\"credit_is_not_bounded\") || credit_max < credit_max_)
      account.served = std::max(account.served, level_ - credit_max);"
  returning_client_is_lifted_too_high credit_is_given_to_who_used_its_part credit_is_not_bounded)
slora_mutate(scheduler/policies/fair_share.cc
  "std::exchange(account.is_new, false) ? 0 : credit_max_;"
  "std::exchange(account.is_new, false) && !mutant_is(\"new_client_has_credit\") ? 0 : credit_max_;"
  new_client_has_credit)
slora_mutate(scheduler/policies/fair_share.cc
  "level_ = std::max(level_, lowest->served);"
  "if (!mutant_is(\"level_stays_where_it_was\")) level_ = std::max(level_, lowest->served);"
  level_stays_where_it_was)
slora_mutate(scheduler/policies/fair_share.cc
  "kOutputCost * charge.output_tokens"
  "(mutant_is(\"output_costs_nothing\") ? 0 : kOutputCost) * charge.output_tokens"
  output_costs_nothing)
slora_mutate(scheduler/policies/fair_share.cc
  "kRecomputedCost * charge.recomputed_tokens"
  "(mutant_is(\"what_preemption_lost_costs_nothing\") ? 0 : kRecomputedCost) * charge.recomputed_tokens"
  what_preemption_lost_costs_nothing)
slora_mutate(scheduler/policies/fair_share.cc
  "account.served += cost / account.weight;"
  "account.served += mutant_is(\"weight_is_inverted\") ? cost * account.weight : cost / account.weight;"
  weight_is_inverted)
slora_mutate(scheduler/policies/fair_share.cc
  "place.served = account.served + kPromptCost"
  "place.served = (mutant_is(\"most_served_comes_first\") ? -account.served : account.served) + kPromptCost"
  most_served_comes_first)
slora_mutate(scheduler/policies/fair_share.cc
  "if (live_.size() > 1 || is_another"
  "if (live_.size() > 1 || mutant_is(\"steps_of_a_lone_client_are_cut\") || is_another"
  steps_of_a_lone_client_are_cut)
slora_mutate(scheduler/policies/fair_share.cc
  "view.prompt_tokens_max / kSharedStepPart"
  "view.prompt_tokens_max / (mutant_is(\"shared_step_is_cut_to_nothing\") ? kAnyPromptTokens : kSharedStepPart)"
  shared_step_is_cut_to_nothing)
slora_mutate(scheduler/policies/fair_share.cc
  "(least, tokens_owed())"
  "(least, mutant_is(\"what_is_owed_is_cut\") ? 0 : tokens_owed())"
  what_is_owed_is_cut)
slora_mutate(scheduler/policies/fair_share.cc
  "* account.weight / FairSharePolicy::kPromptCost"
  "* (mutant_is(\"owed_tokens_ignore_weights\") ? 1 : account.weight) / FairSharePolicy::kPromptCost"
  owed_tokens_ignore_weights)
slora_mutate(scheduler/policies/adapter_grouped.cc
  "> limits_.wait_max"
  "> limits_.wait_max && !mutant_is(\"age_bound_is_ignored\")"
  age_bound_is_ignored)
slora_mutate(scheduler/policies/adapter_grouped.cc
  "group_count_ < limits_.adapters_max && group_pages_ + sequence.adapter_page_count <= limits_.pages_max"
  "(group_count_ < limits_.adapters_max || mutant_is(\"group_is_not_bounded\")) &&
         (group_pages_ + sequence.adapter_page_count <= limits_.pages_max || mutant_is(\"pages_of_the_group_are_not_bounded\"))"
  group_is_not_bounded pages_of_the_group_are_not_bounded)
slora_mutate(scheduler/policies/adapter_grouped.cc
  "if (sequence.adapter == kNoAdapter) return Rank::grouped;"
  "if (sequence.adapter == kNoAdapter && !mutant_is(\"base_model_is_an_adapter_of_its_own\")) return Rank::grouped;"
  base_model_is_an_adapter_of_its_own)
slora_mutate(scheduler/policies/adapter_grouped.cc
  "member->is_grouped ? Rank::grouped : Rank::running"
  "member->is_grouped ? Rank::grouped : (mutant_is(\"running_adapter_is_like_a_new_one\") ? Rank::other : Rank::running)"
  running_adapter_is_like_a_new_one)
slora_mutate(scheduler/policies/adapter_grouped.cc
  "if (is_wanted(sequence)) insert"
  "if (is_wanted(sequence) && !mutant_is(\"group_is_formed_of_the_queue_alone\")) insert"
  group_is_formed_of_the_queue_alone)
slora_mutate(scheduler/policies/prompt_shares.cc
  "left / 2 : left - 1;"
  "left / 2 : left - (mutant_is(\"long_prompt_does_not_start\") ? 0 : 1);"
  long_prompt_does_not_start)
slora_mutate(scheduler/policies/deadline.cc
  "own > left && (left"
  "own > left && !mutant_is(\"hopeless_waits_on\") && (left"
  hopeless_waits_on)
slora_mutate(scheduler/policies/deadline.cc
  "sequence.arrival == view.waiting.back().arrival);"
  "(mutant_is(\"one_sequence_of_the_newest_is_tried\") ? &sequence == &view.waiting.back()
                                                 : sequence.arrival == view.waiting.back().arrival));"
  one_sequence_of_the_newest_is_tried)
slora_mutate(scheduler/policies/deadline.cc
  "std::min(sequence.arrival + limits_.first_token_slo, sequence.deadline)"
  "std::min(mutant_is(\"slo_is_ignored\") ? kNoDeadline : sequence.arrival + limits_.first_token_slo,
                  mutant_is(\"own_deadline_is_ignored\") ? kNoDeadline : sequence.deadline)"
  slo_is_ignored own_deadline_is_ignored)
slora_mutate(scheduler/scheduler.cc
  "totals_.given_up += step_.given_up.size();"
  "if (!mutant_is(\"given_up_is_not_counted\")) totals_.given_up += step_.given_up.size();"
  given_up_is_not_counted)
slora_mutate(scheduler/policy_caller.cc
  "std::max(view.places - 1, 0)"
  "std::max(view.places - (mutant_is(\"every_place_is_kept\") ? 0 : 1), 0)"
  every_place_is_kept)
slora_mutate(scheduler/policy_caller.cc
  "std::max(decision_.prompt_tokens_max, 1)"
  "std::max(decision_.prompt_tokens_max, mutant_is(\"a_step_may_have_no_prompt_tokens\") ? 0 : 1)"
  a_step_may_have_no_prompt_tokens)
slora_mutate(scheduler/scheduler.cc
  "std::min(prompt_tokens, step_.prompt_tokens_max)"
  "mutant_is(\"a_step_is_as_large_as_it_may\") ? prompt_tokens : std::min(prompt_tokens, step_.prompt_tokens_max)"
  a_step_is_as_large_as_it_may)
slora_mutate(scheduler/scheduler.cc
  "serve_running(slot_count() - taken);"
  "serve_running(slot_count() - (mutant_is(\"paused_take_places_twice\") ? 0 : taken));"
  paused_take_places_twice)
slora_mutate(scheduler/scheduler.cc
  "running_.size() >= 2 * slots"
  "(running_.size() >= 2 * slots && !mutant_is(\"any_number_may_pause\"))"
  any_number_may_pause)
slora_mutate(scheduler/scheduler.cc
  "step_.paused_count = 0;"
  "step_.paused_count = 0;
  if (mutant_is(\"paused_are_forgotten\")) step_.running.resize(step_.paused_begin);"
  paused_are_forgotten)
slora_mutate(scheduler/policy_caller.cc
  "std::rotate(decision_.running.begin(), oldest, oldest + 1);"
  "if (!mutant_is(\"oldest_is_ordered_by_the_policy\")) std::rotate(decision_.running.begin(), oldest, oldest + 1);"
  oldest_is_ordered_by_the_policy)
slora_mutate(scheduler/policy_caller.cc
  "if (view.running.empty() && view.preempted.empty()) {"
  "if (view.running.empty() && view.preempted.empty() && !mutant_is(\"idles_while_somebody_waits\")) {"
  idles_while_somebody_waits)
slora_mutate(scheduler/policy_caller.cc
  "if (!first_.empty()) {"
  "if (!first_.empty() && !mutant_is(\"overtaken_is_ordered_by_the_policy\")) {"
  overtaken_is_ordered_by_the_policy)
slora_mutate(scheduler/policy_caller.cc
  "return std::clamp(wanted, least, left);"
  "return mutant_is(\"prompt_share_is_not_bounded\") ? std::max(wanted, least) : std::clamp(wanted, least, left);"
  prompt_share_is_not_bounded)
slora_mutate(scheduler/policy_caller.cc
  "charges_.clear();"
  "if (!mutant_is(\"charges_are_reported_twice\")) charges_.clear();"
  charges_are_reported_twice)
slora_mutate(scheduler/admission.cc
  ".adapter_pages = page_count}"
  ".adapter_pages = mutant_is(\"load_is_not_charged\") ? 0 : page_count}"
  load_is_not_charged)
slora_mutate(scheduler/kept_adapters.cc
  "static_cast<void>(adapters.settle_load(pin.adapter));"
  "if (!mutant_is(\"client_is_charged_for_a_pin\")) static_cast<void>(adapters.settle_load(pin.adapter));"
  client_is_charged_for_a_pin)
slora_mutate(scheduler/scheduler.cc
  "++totals_.adapter_prefetches;"
  "++totals_.adapter_prefetches;
    if (mutant_is(\"load_ahead_is_charged_to_who_waits\")) charge_load(sequence->request);"
  load_ahead_is_charged_to_who_waits)
slora_mutate(scheduler/plans.cc
  "const std::int32_t prompt_again = "
  "if (mutant_is(\"cached_tokens_count_as_computed\")) static_cast<void>(sequence.computed.add(0, begin));
  const std::int32_t prompt_again = "
  cached_tokens_count_as_computed)
slora_mutate(scheduler/plans.cc
  "sequence.computed.add(prompt_end, end);"
  "sequence.computed.add(prompt_end, end);
  if (mutant_is(\"work_lost_is_charged_as_new\")) sequence.computed = {};"
  work_lost_is_charged_as_new)
slora_mutate(scheduler/plans.cc
  ".output_tokens = 1});"
  ".output_tokens = mutant_is(\"output_is_charged_twice\") ? 2 : 1});"
  output_is_charged_twice)
slora_mutate(scheduler/scheduler.cc
  "  policy_.add_charge({.id = id, "
  "  if (!mutant_is(\"end_is_not_charged\")) policy_.add_charge({.id = id, "
  end_is_not_charged)
