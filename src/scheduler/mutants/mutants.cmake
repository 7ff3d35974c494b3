# The standing list of seeded bugs: each changes one place of memory or scheduler, and the simulator has to notice within its bound of
# seeds and steps (mutants/caught.cc). A mutant is the module's library with one object replaced, so the sources know nothing of it.
#
# slora_mutant(NAME FILE "what stands there" "what stands there instead")
function(slora_mutant name file original mutated)
  file(READ "${CMAKE_SOURCE_DIR}/src/${file}" source)
  string(FIND "${source}" "${original}" first)
  string(FIND "${source}" "${original}" last REVERSE)
  if(first EQUAL -1 OR NOT first EQUAL last)
    message(FATAL_ERROR "mutant ${name}: its place does not stand exactly once in ${file}: ${original}")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/${file}")
  string(REPLACE "${original}" "${mutated}" source "${source}")
  get_filename_component(stem "${file}" NAME)
  file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/mutants/${name}/${stem}" CONTENT "${source}")
  add_executable(mutant_${name} "${CMAKE_CURRENT_BINARY_DIR}/mutants/${name}/${stem}" $<TARGET_OBJECTS:mutant_caught>)
  target_link_libraries(mutant_${name} PRIVATE slora_scheduler_testing)
  target_compile_options(mutant_${name} PRIVATE -O0 -w)
  add_test(NAME Mutant.${name} COMMAND mutant_${name})
  set_tests_properties(Mutant.${name} PROPERTIES TIMEOUT 120)
endfunction()

add_library(mutant_caught OBJECT mutants/caught.cc)
target_link_libraries(mutant_caught PRIVATE slora_scheduler_testing)

# Pages
slora_mutant(evicts_an_adapter_in_use memory/adapter_cache.cc
  "entry.state == AdapterState::resident && entry.holds[static_cast<std::size_t>(AdapterInterest::pinned)] == 0"
  "entry.state == AdapterState::resident")
slora_mutant(adapter_is_remembered_for_ever memory/adapter_cache.cc
  "  if (entry.state == AdapterState::absent) entries_.erase(adapter);"
  "")
slora_mutant(retiring_ignores_who_uses_it memory/adapter_cache.cc
  "    if (holds > 0) return;"
  "    if (holds > 0 && !entry.retired) return;")
slora_mutant(eviction_is_not_reported memory/adapter_cache.cc
  "  evicted_.push_back(adapter);"
  "")
slora_mutant(retired_prefixes_stay memory/adapter_cache.cc
  "    prefixes_.forget(adapter);"
  "")
slora_mutant(prefix_compares_no_tokens memory/prefix_index.cc
  " && std::ranges::equal(tokens_of(page), tokens)"
  "")
slora_mutant(prefix_compares_no_parent memory/prefix_index.cc
  "node.parent == parent && "
  "")
slora_mutant(prefix_compares_no_domain memory/prefix_index.cc
  " && node.domain == domain"
  "")
slora_mutant(unpinned_prefix_is_never_evicted memory/prefix_index.cc
  "    order_.insert(page, node.value, EvictionTier::ordinary);\n"
  "")
slora_mutant(pinned_prefix_is_evicted memory/prefix_index.cc
  "    if (node.first_child == kNone) order_.erase(PageIndex{page});"
  "")
slora_mutant(parent_is_forgotten_after_its_last_leaf memory/prefix_index.cc
  "    order_.insert(PageIndex{node.parent}, nodes_[node.parent].value, EvictionTier::ordinary);"
  "")
slora_mutant(superfluous_page_stays_in_the_table scheduler/scheduler.cc
  "      holdings.own.drop_first();\n"
  "")

# Admission
slora_mutant(preempted_keeps_its_pages scheduler/admission.cc
  "  release(victim);\n"
  "")
slora_mutant(oldest_is_preempted scheduler/admission.cc
  "if (victim.serial <= than.serial) return false;"
  "if (running_.size() == 1) return false;")
slora_mutant(reserved_is_preempted scheduler/admission.cc
  "is_reserved(victim) || !gives"
  "!gives")
slora_mutant(nothing_is_reserved scheduler/admission.cc
  "  if (is_reserved(sequence)) promise->take(holdings.own, worst);\n"
  "")
slora_mutant(last_prompt_token_is_not_computed scheduler/admission.cc
  "(known - 1) / options_.page_tokens"
  "known / options_.page_tokens")
slora_mutant(every_prompt_reads_prefixes scheduler/admission.cc
  "request.prefix_use == PrefixUse::read_and_write"
  "true")
slora_mutant(preempted_prompt_reads_prefixes scheduler/admission.cc
  "request.prefix_use == PrefixUse::read_and_write"
  "request.prefix_use == PrefixUse::read_and_write || sequence.preemption_count > 0")
slora_mutant(tenants_share_prefixes scheduler/admission.cc
  "domain{request.tenant, request.adapter}"
  "domain{TenantId{}, request.adapter}")
slora_mutant(adapters_share_prefixes scheduler/admission.cc
  "domain{request.tenant, request.adapter}"
  "domain{request.tenant, kNoAdapter}")
slora_mutant(uncommitted_plan_loses_its_pages scheduler/admission.cc
  "plan->kept.push_back(std::move(holdings));"
  "plan->kept.push_back({});")
slora_mutant(adapter_pages_are_not_asked_for scheduler/admission.cc
  "budget_.try_reserve(needed + adapter_pages)"
  "budget_.try_reserve(needed)")
slora_mutant(reserved_is_promised_what_it_has scheduler/admission.cc
  "wanted > held ? wanted - held : 0"
  "wanted - held")

# Steps
slora_mutant(head_of_the_line_is_overtaken scheduler/scheduler.cc
  "    step_.is_short_of_pages = true;\n    return;"
  "    step_.is_short_of_pages = true;")
slora_mutant(runs_before_the_image_landed scheduler/scheduler.cc
  "wanted == 0 || !memory_.adapters().is_resident(sequence.request.adapter)"
  "wanted == 0")
slora_mutant(names_the_wrong_row scheduler/scheduler.cc
  ".previous_row = sequence.pending_row"
  ".previous_row = 0")
slora_mutant(every_chunk_has_an_output scheduler/scheduler.cc
  "if (choice.token_count == sequence.remaining())"
  "if (choice.token_count > 0)")
slora_mutant(preempted_prompt_is_scored_again scheduler/scheduler.cc
  "std::max(span.position_begin, sequence.scored)"
  "span.position_begin")
slora_mutant(last_prompt_token_is_scored scheduler/scheduler.cc
  "std::min(end, sequence.prompt_count - 1)"
  "std::min(end, sequence.prompt_count)")
slora_mutant(page_is_cached_before_it_is_full scheduler/scheduler.cc
  "static_cast<std::size_t>(computed_count) / page_tokens"
  "static_cast<std::size_t>(computed_count + 1) / page_tokens")
slora_mutant(failed_step_is_trusted scheduler/scheduler.cc
  "    sequence.holdings.prefix.distrust();\n"
  "    if (is_running) store_full_pages(sequence, span.position_begin + span.token_count);\n")
slora_mutant(replaced_page_is_free_at_once scheduler/scheduler.cc
  "if (plan == nullptr) {"
  "if (true) {")
slora_mutant(goes_on_after_its_length scheduler/scheduler.cc
  "sequence.known_count() == sequence.tokens_max()"
  "sequence.known_count() > sequence.tokens_max()")
slora_mutant(cancelled_ends_twice scheduler/scheduler.cc
  "    line_.remove(sequence);\n"
  "    line_.remove(sequence);\n    ended_.push_back({sequence.request.id, reason});\n")
slora_mutant(cancel_forgets_who_waits scheduler/scheduler.cc
  "if (Sequence* const sequence = find(id)) end("
  "if (Sequence* const sequence = find(id); sequence != nullptr && sequence->state != SequenceState::waiting) end(")
slora_mutant(failed_load_ends_only_who_runs scheduler/scheduler.cc
  "if (sequence->request.adapter == adapter) lost"
  "if (sequence->request.adapter == adapter && sequence->state == SequenceState::running) lost")
slora_mutant(newest_first scheduler/policies/fcfs.cc
  " : a < b;"
  " : a > b;")
