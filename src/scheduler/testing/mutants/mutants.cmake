# The standing list of seeded bugs. The simulator has to notice each of them (mutants_main.cc). One program holds them all: the modules'
# sources are copied at build time with mutant_is("name") put in at the places below, and linked in front of their libraries, so that
# neither the sources nor the libraries know of it. `mutants` builds it; `ctest` builds it when a test of it runs; `all` does not.
include(mutation)
include(testing/mutants/policy_mutants.cmake)

# Adapters that act from a position on
slora_mutate(memory/prefix_index.cc
  "std::cmp_less_equal((page_index + 1) * page_tokens_, domain.adapter_begin)"
  "std::cmp_less_equal((page_index + (mutant_is(\"the_page_where_an_adapter_begins_is_the_bases\") ? 0 : 1)) * page_tokens_,
                           domain.adapter_begin - (mutant_is(\"the_page_where_an_adapter_begins_is_the_bases\") ? 1 : 0))"
  the_page_where_an_adapter_begins_is_the_bases)
slora_mutate(memory/prefix_index.cc
  "for (std::uint32_t page = 0; follow_base_count_ > 0 && page"
  "for (std::uint32_t page = 0; follow_base_count_ > 0 && !mutant_is(\"pages_after_the_bases_are_not_forgotten\") && page"
  pages_after_the_bases_are_not_forgotten)

# Pages
slora_mutate(memory/adapter_cache.cc
  "entry.holds[static_cast<std::size_t>(AdapterInterest::pinned)] == 0;"
  "(entry.holds[static_cast<std::size_t>(AdapterInterest::pinned)] == 0 || mutant_is(\"evicts_an_adapter_in_use\"));"
  evicts_an_adapter_in_use)
slora_mutate(memory/adapter_cache.cc
  "if (entry.state == AdapterState::absent) entries_.erase(adapter);"
  "if (entry.state == AdapterState::absent && !mutant_is(\"adapter_is_remembered_for_ever\")) entries_.erase(adapter);"
  adapter_is_remembered_for_ever)
slora_mutate(memory/adapter_cache.cc
  "if (holds > 0) return;"
  "if (holds > 0 && !(entry.retired && mutant_is(\"retiring_ignores_who_uses_it\"))) return;"
  retiring_ignores_who_uses_it)
slora_mutate(memory/adapter_cache.cc
  "evicted_.push_back(adapter);"
  "if (!mutant_is(\"eviction_is_not_reported\")) evicted_.push_back(adapter);"
  eviction_is_not_reported)
slora_mutate(memory/adapter_cache.cc
  "prefixes_.forget(adapter);"
  "if (!mutant_is(\"retired_prefixes_stay\")) prefixes_.forget(adapter);"
  retired_prefixes_stay)
slora_mutate(memory/adapter_cache.cc
  "changed_.push_back(adapter);"
  "if (!mutant_is(\"adapter_states_in_views_are_stale\")) changed_.push_back(adapter);"
  adapter_states_in_views_are_stale)
slora_mutate(memory/prefix_index.cc
  "if (node.parent == parent && node.domain == domain && std::ranges::equal(tokens_of(page), tokens)) break;"
  "if ((node.parent == parent || mutant_is(\"prefix_compares_no_parent\")) &&
        (node.domain == domain || mutant_is(\"prefix_compares_no_domain\") ||
         (mutant_is(\"late_adapters_share_pages_of_other_positions\") && node.domain.tenant == domain.tenant &&
          node.domain.adapter == domain.adapter)) &&
        (std::ranges::equal(tokens_of(page), tokens) || mutant_is(\"prefix_compares_no_tokens\"))) break;"
  prefix_compares_no_tokens prefix_compares_no_parent prefix_compares_no_domain late_adapters_share_pages_of_other_positions)
slora_mutate(memory/prefix_index.cc
  "    order_.insert(page, node.value, EvictionTier::ordinary);"
  "    if (!mutant_is(\"unpinned_prefix_is_never_evicted\")) order_.insert(page, node.value, EvictionTier::ordinary);"
  unpinned_prefix_is_never_evicted)
slora_mutate(memory/prefix_index.cc
  "if (node.first_child == kNone) order_.erase(PageIndex{page});"
  "if (node.first_child == kNone && !mutant_is(\"pinned_prefix_is_evicted\")) order_.erase(PageIndex{page});"
  pinned_prefix_is_evicted)
slora_mutate(memory/prefix_index.cc
  "    order_.insert(PageIndex{node.parent},"
  "    if (!mutant_is(\"parent_is_forgotten_after_its_last_leaf\")) order_.insert(PageIndex{node.parent},"
  parent_is_forgotten_after_its_last_leaf)
slora_mutate(memory/page_budget.cc
  "if (budget_ == nullptr) return;"
  "if (budget_ == nullptr || mutant_is(\"promise_is_never_given_back\")) return;"
  promise_is_never_given_back)
slora_mutate(memory/page_budget.cc
  "budget_->promised_ - count_ + count;"
  "budget_->promised_ - (mutant_is(\"renewed_promise_counts_twice\") ? 0 : count_) + count;"
  renewed_promise_counts_twice)
slora_mutate(scheduler/plans.cc
  "holdings.own.drop_first();"
  "if (!mutant_is(\"superfluous_page_stays_in_the_table\")) holdings.own.drop_first();"
  superfluous_page_stays_in_the_table)
slora_mutate(scheduler/scheduler.cc
  "if (sequence->request.adapter == adapter) sequence->promise"
  "if (sequence->request.adapter == adapter && !mutant_is(\"landing_renews_no_promise\")) sequence->promise"
  landing_renews_no_promise)
slora_mutate(memory/adapter_cache.cc
  "if (has_to_leave(entry)) {"
  "if (has_to_leave(entry) && !mutant_is(\"idle_adapter_stays_though_it_has_to_leave\")) {"
  idle_adapter_stays_though_it_has_to_leave)
slora_mutate(memory/paged_memory.cc
  "return adapter_pages_separate_ - pool_.count(PageUse::adapter);"
  "return adapter_pages_separate_ - pool_.count(PageUse::adapter) + (mutant_is(\"adapters_take_a_page_of_the_others\") ? 1 : 0);"
  adapters_take_a_page_of_the_others)
slora_mutate(memory/paged_memory.cc
  "pool_.count(PageUse::sequence) - pool_.count(PageUse::prefix);"
  "pool_.count(PageUse::sequence) - (mutant_is(\"prefixes_are_not_counted_in_their_region\") ? 0 : pool_.count(PageUse::prefix));"
  prefixes_are_not_counted_in_their_region)
slora_mutate(scheduler/scheduler.cc
  "if (budget_.unpromised_to_adapters() < adapters.pages_to_load(needs)) return;"
  "if ((mutant_is(\"prefetch_takes_promised_pages\") ? memory_.available_to_adapters() : budget_.unpromised_to_adapters()) <
        adapters.pages_to_load(needs)) return;"
  prefetch_takes_promised_pages)

# Images that several adapters share
slora_mutate(memory/adapter_cache.cc
  "if (shared_.at(id).user_count > 0) return;"
  "if (shared_.at(id).user_count > 0 && !mutant_is(\"shared_image_leaves_with_the_first_that_used_it\")) return;
  if (mutant_is(\"shared_image_is_never_dropped\")) return;"
  shared_image_leaves_with_the_first_that_used_it shared_image_is_never_dropped)
slora_mutate(memory/adapter_cache.cc
  "change_shared(id, [](Shared& shared) { ++shared.user_count; });"
  "if (!mutant_is(\"second_use_of_a_shared_image_does_not_count\") || shared_.at(id).user_count == 0)
    change_shared(id, [](Shared& shared) { ++shared.user_count; });"
  second_use_of_a_shared_image_does_not_count)
slora_mutate(memory/adapter_cache.cc
  "[](Shared& shared) { ++shared.idle_user_count; });"
  "[](Shared& shared) { shared.idle_user_count += mutant_is(\"idle_shared_image_is_not_counted\") ? 0 : 1; });"
  idle_shared_image_is_not_counted)
slora_mutate(memory/adapter_cache.cc
  "known == shared_.end() ? image.page_count : known->second.idle_page_count();"
  "known == shared_.end() ? (mutant_is(\"shared_pages_are_not_reserved\") ? 0 : image.page_count)
                                             : mutant_is(\"idle_shared_pages_are_taken_for_granted\") ? 0 : known->second.idle_page_count();"
  shared_pages_are_not_reserved idle_shared_pages_are_taken_for_granted)
slora_mutate(memory/paged_memory.cc
  "void PagedMemory::begin_load(const AdapterNeeds& needs) { begin_load(needs, hold_shared(needs)); }"
  "void PagedMemory::begin_load(const AdapterNeeds& needs) {
  std::vector<SharedHold> holds = hold_shared(needs);
  if (mutant_is(\"shared_image_is_evicted_for_who_needs_it\")) holds.clear();
  begin_load(needs, std::move(holds));
}"
  shared_image_is_evicted_for_who_needs_it)
slora_mutate(scheduler/kept_adapters.cc
  "if (std::ranges::find(counted, image.id) != counted.end()) continue;"
  "if (!mutant_is(\"shared_pages_are_pinned_twice\") && std::ranges::find(counted, image.id) != counted.end()) continue;"
  shared_pages_are_pinned_twice)

# Adapters that stay or leave
slora_mutate(scheduler/kept_adapters.cc
  "    pin.interest = AdapterInterest::pinned;"
  "    if (mutant_is(\"pinned_adapter_is_evicted\")) continue;
    pin.interest = AdapterInterest::pinned;"
  pinned_adapter_is_evicted)
slora_mutate(scheduler/kept_adapters.cc
  "step_.is_short_of_pages = true;"
  "if (!mutant_is(\"others_are_admitted_before_a_pin\")) step_.is_short_of_pages = true;"
  others_are_admitted_before_a_pin)
slora_mutate(scheduler/scheduler.cc
  "if (std::ranges::any_of(pins_,"
  "if (!mutant_is(\"prefetch_takes_pages_that_a_pin_waits_for\") && std::ranges::any_of(pins_,"
  prefetch_takes_pages_that_a_pin_waits_for)
slora_mutate(scheduler/kept_adapters.cc
  "if (sequence->tokens_max() <= tokens_that_fit"
  "if (mutant_is(\"pin_takes_the_pages_of_who_waits\") || sequence->tokens_max() <= tokens_that_fit"
  pin_takes_the_pages_of_who_waits)
slora_mutate(scheduler/scheduler.cc
  "pages_in_all(needs), pages_pinned_besides(needs));"
  "pages_in_all(needs), mutant_is(\"request_fits_where_pins_are\") ? 0 : pages_pinned_besides(needs));"
  request_fits_where_pins_are)
slora_mutate(scheduler/scheduler.cc
  "  unpin_adapter(adapter);
  memory_.adapters().retire(adapter);"
  "  if (!mutant_is(\"retired_adapter_stays_pinned\")) unpin_adapter(adapter);
  memory_.adapters().retire(adapter);"
  retired_adapter_stays_pinned)
slora_mutate(scheduler/kept_adapters.cc
  "memory_.adapters().evict_unused(now, idle_time);"
  "if (!mutant_is(\"unused_image_stays\")) memory_.adapters().evict_unused(now, idle_time);"
  unused_image_stays)

# Admission
slora_mutate(scheduler/admission.cc
  "  release(victim);"
  "  if (!mutant_is(\"preempted_keeps_its_pages\")) release(victim);"
  preempted_keeps_its_pages)
slora_mutate(scheduler/admission.cc
  "Sequence& victim = *step_.running[i - 1].sequence;"
  "Sequence& victim = *step_.running[mutant_is(\"oldest_is_preempted\") ? 0 : i - 1].sequence;"
  oldest_is_preempted)
slora_mutate(scheduler/admission.cc
  "is_reserved(victim) || !gives"
  "(is_reserved(victim) && !mutant_is(\"reserved_is_preempted\")) || !gives"
  reserved_is_preempted)
slora_mutate(scheduler/admission.cc
  "if (is_reserved(sequence)) promise->take"
  "if (is_reserved(sequence) && !mutant_is(\"nothing_is_reserved\")) promise->take"
  nothing_is_reserved)
slora_mutate(scheduler/admission.cc
  "(sequence.known_count() - 1) / page_tokens"
  "(sequence.known_count() - (mutant_is(\"last_prompt_token_is_not_computed\") ? 0 : 1)) / page_tokens"
  last_prompt_token_is_not_computed)
slora_mutate(scheduler/admission.cc
  "return sequence.request.prompt_use == PromptUse::continued;"
  "return sequence.request.prompt_use == PromptUse::continued || mutant_is(\"every_prompt_reads_prefixes\") ||
         (mutant_is(\"preempted_prompt_reads_prefixes\") && sequence.preemption_count > 0);"
  every_prompt_reads_prefixes preempted_prompt_reads_prefixes)
slora_mutate(scheduler/admission.cc
  "memory_.prefixes().begin(domain_of(request)),"
  "memory_.prefixes().begin(PrefixDomain{mutant_is(\"tenants_share_prefixes\") ? TenantId{} : request.tenant,
                                        mutant_is(\"adapters_share_prefixes\") ? kNoAdapter : request.adapter,
                                         domain_of(request).adapter_begin}),"
  tenants_share_prefixes adapters_share_prefixes)
slora_mutate(scheduler/admission.cc
  "plan->kept.push_back(std::exchange(sequence.holdings, no_holdings(sequence.request)));"
  "plan->kept.push_back(std::exchange(sequence.holdings, no_holdings(sequence.request)));
    if (mutant_is(\"uncommitted_plan_loses_its_pages\")) plan->kept.pop_back();"
  uncommitted_plan_loses_its_pages)
slora_mutate(scheduler/admission.cc
  "budget_.try_reserve(needed, adapter_pages)"
  "budget_.try_reserve(needed, mutant_is(\"adapter_pages_are_not_reserved\") ? 0 : adapter_pages)"
  adapter_pages_are_not_reserved)
slora_mutate(scheduler/admission.cc
  "wanted > held ? wanted - held : 0"
  "wanted > held || mutant_is(\"reserved_is_promised_what_it_has\") ? wanted - held : 0"
  reserved_is_promised_what_it_has)
slora_mutate(scheduler/admission.cc
  "if (std::cmp_greater_equal(step_.passed_over.size(), step_.passed_over_max)) return false;"
  "if (std::cmp_greater_equal(step_.passed_over.size(), step_.passed_over_max) &&
      !mutant_is(\"head_of_the_line_is_overtaken\")) return false;"
  head_of_the_line_is_overtaken)
slora_mutate(scheduler/admission.cc
  "sequence.state == SequenceState::preempted || sequence.overtaken_count >= options_.overtaken_max"
  "(sequence.state == SequenceState::preempted && !mutant_is(\"preempted_is_passed_over\")) ||
      (sequence.overtaken_count >= options_.overtaken_max && !mutant_is(\"passes_over_for_ever\"))"
  preempted_is_passed_over passes_over_for_ever)
slora_mutate(scheduler/scheduler.cc
  "next->state != SequenceState::preempted && next->overtaken_count < options_.overtaken_max;"
  "(next->state != SequenceState::preempted || mutant_is(\"preempted_is_held_back\")) &&
                               (next->overtaken_count < options_.overtaken_max || mutant_is(\"overtaken_is_held_back\"));"
  preempted_is_held_back overtaken_is_held_back)
slora_mutate(scheduler/waiting_line.cc
  "queue_.views[kept++] = queue_.views[i];"
  "queue_.views[kept++] = queue_.views[mutant_is(\"views_of_those_given_up_stay\") ? kept : i];"
  views_of_those_given_up_stay)

# Steps
slora_mutate(scheduler/scheduler.cc
  "if (remaining > 1) step_.prompt_tokens_left -= token_count;"
  "if (remaining > 1 && !mutant_is(\"running_prompts_cost_nothing\")) step_.prompt_tokens_left -= token_count;"
  running_prompts_cost_nothing)
slora_mutate(scheduler/scheduler.cc
  "step_.prompt_tokens_left -= token_count - choice.token_count;"
  "if (!mutant_is(\"rest_is_shared_twice\")) step_.prompt_tokens_left -= token_count - choice.token_count;"
  rest_is_shared_twice)
slora_mutate(scheduler/scheduler.cc
  "if (!is_ready(*view)) continue;"
  "if (!is_ready(*view) && !mutant_is(\"runs_before_the_image_landed\")) continue;"
  runs_before_the_image_landed)
slora_mutate(scheduler/plans.cc
  ".previous_row = sequence.pending_row"
  ".previous_row = mutant_is(\"names_the_wrong_row\") ? 0 : sequence.pending_row"
  names_the_wrong_row)
slora_mutate(scheduler/plans.cc
  "if (choice.token_count == sequence.remaining())"
  "if (choice.token_count == sequence.remaining() || mutant_is(\"every_chunk_has_an_output\"))"
  every_chunk_has_an_output)
slora_mutate(scheduler/plans.cc
  "std::max(span.position_begin, sequence.scored)"
  "std::max(span.position_begin, mutant_is(\"preempted_prompt_is_scored_again\") ? 0 : sequence.scored)"
  preempted_prompt_is_scored_again)
slora_mutate(scheduler/plans.cc
  "std::min(end, sequence.prompt_count - 1)"
  "std::min(end, sequence.prompt_count - (mutant_is(\"last_prompt_token_is_scored\") ? 0 : 1))"
  last_prompt_token_is_scored)
slora_mutate(scheduler/plans.cc
  "static_cast<std::size_t>(computed_count) / page_tokens"
  "static_cast<std::size_t>(computed_count + (mutant_is(\"page_is_cached_before_it_is_full\") ? 1 : 0)) / page_tokens"
  page_is_cached_before_it_is_full)
slora_mutate(scheduler/plans.cc
  "sequence.holdings.prefix.distrust();"
  "if (!mutant_is(\"failed_step_is_trusted\"))
      sequence.holdings.prefix.distrust();
    else if (is_running)
      store_full_pages(sequence, span.position_begin + span.token_count);"
  failed_step_is_trusted)
slora_mutate(scheduler/plans.cc
  "if (plan == nullptr) {"
  "if (plan == nullptr || mutant_is(\"replaced_page_is_free_at_once\")) {"
  replaced_page_is_free_at_once)
slora_mutate(scheduler/plans.cc
  "sequence.known_count() == sequence.tokens_max()"
  "sequence.known_count() == sequence.tokens_max() + (mutant_is(\"goes_on_after_its_length\") ? 1 : 0)"
  goes_on_after_its_length)
slora_mutate(scheduler/scheduler.cc
  "    line_.remove(sequence);"
  "    line_.remove(sequence);
    if (mutant_is(\"cancelled_ends_twice\")) ended_.push_back({sequence.request.id, reason});"
  cancelled_ends_twice)
slora_mutate(scheduler/scheduler.cc
  "if (Sequence* const sequence = find(id)) end("
  "if (Sequence* const sequence = find(id);
      sequence != nullptr && !(mutant_is(\"cancel_forgets_who_waits\") && sequence->state == SequenceState::waiting)) end("
  cancel_forgets_who_waits)
slora_mutate(scheduler/scheduler.cc
  "if (sequence->request.adapter == adapter) lost"
  "if (sequence->request.adapter == adapter &&
        !(mutant_is(\"failed_load_ends_only_who_runs\") && sequence->state != SequenceState::running)) lost"
  failed_load_ends_only_who_runs)

# Sequences that are suspended
slora_mutate(scheduler/plans.cc
  "span.token_count - (lacks_token ? 1 : 0);"
  "span.token_count - (lacks_token && !mutant_is(\"position_that_is_computed_again_is_skipped\") ? 1 : 0);"
  position_that_is_computed_again_is_skipped)
slora_mutate(scheduler/plans.cc
  "if (is_running) store_full_pages(sequence, computed_end);"
  "if (is_running)
    store_full_pages(sequence, computed_end + (mutant_is(\"page_that_is_written_again_is_shared\") && lacks_token ? 1 : 0));"
  page_that_is_written_again_is_shared)
slora_mutate(scheduler/plans.cc
  "if (row.outcome != RowOutcome::suspended) return apply(sequence, row.outcome);"
  "if (row.outcome != RowOutcome::suspended ||
      (mutant_is(\"suspended_ends_by_its_length\") && sequence.known_count() == sequence.tokens_max()))
    return apply(sequence, row.outcome);"
  suspended_ends_by_its_length)
slora_mutate(scheduler/plans.cc
  "row.outcome != RowOutcome::failed && !lacks_token"
  "row.outcome != RowOutcome::failed && (!lacks_token || mutant_is(\"missing_token_is_appended\"))"
  missing_token_is_appended)
slora_mutate(scheduler/plans.cc
  "  sequence->is_suspended = false;"
  "  if (mutant_is(\"resumed_sequence_stays_suspended\") && sequence->state == SequenceState::preempted) return;
  sequence->is_suspended = false;"
  resumed_sequence_stays_suspended)
slora_mutate(scheduler/plans.cc
  "end(sequence, EndReason::complete);"
  "end(sequence, mutant_is(\"complete_answer_ends_as_stopped\") ? EndReason::stop : EndReason::complete);"
  complete_answer_ends_as_stopped)
slora_mutate(scheduler/scheduler.cc
  "if (next->is_suspended) continue;"
  "if (next->is_suspended && !mutant_is(\"suspended_sequence_is_admitted\")) continue;"
  suspended_sequence_is_admitted)
slora_mutate(scheduler/scheduler.cc
  "const std::int32_t remaining = sequence->remaining();"
  "const bool ignores = mutant_is(\"suspended_sequence_is_planned\") ? sequence->is_suspended
                         : mutant_is(\"sequence_is_planned_before_its_token_is_known\") && !sequence->is_suspended;
    const std::int32_t remaining = ignores ? sequence->uncomputed() : sequence->remaining();"
  suspended_sequence_is_planned sequence_is_planned_before_its_token_is_known)

slora_mutated_sources(slora_mutated)
add_executable(scheduler_mutants EXCLUDE_FROM_ALL testing/mutants/mutants_main.cc ${slora_mutated})
target_link_libraries(scheduler_mutants PRIVATE slora_scheduler_testing)
target_compile_options(scheduler_mutants PRIVATE -O1 -w)
slora_mutant_tests(scheduler_mutants Mutant)
