# The standing list of seeded bugs of the lists of work, and of when they are copied. The tests of these have to notice each of them
# (mutants_main.cc).
include(mutation)

# site_lists
slora_mutate(backend/cuda/site_lists.cc
  "rank < kind.shrink_ranks[record]; rank += ShrinkItem::kRanks"
  "rank < kind.shrink_ranks[record] - (mutant_is(\"shrink_list_forgets_a_last_rank\") ? 1 : 0);
       rank += (mutant_is(\"shrink_list_forgets_ranks\") ? 2 : 1) * ShrinkItem::kRanks"
  shrink_list_forgets_a_last_rank shrink_list_forgets_ranks)
slora_mutate(backend/cuda/site_lists.cc
  "row < segment.row_count; row += ShrinkItem::kRowsMax"
  "row < segment.row_count; row += (mutant_is(\"shrink_list_forgets_rows\") ? 2 : 1) * ShrinkItem::kRowsMax"
  shrink_list_forgets_rows)
slora_mutate(backend/cuda/site_lists.cc
  "table, segment.row_begin + row, rows, rank, segment.z_begin}"
  "table, segment.row_begin + (mutant_is(\"shrink_list_repeats_the_first_rows\") ? 0 : row), rows, rank,
         mutant_is(\"shrink_list_forgets_a_segments_columns\") ? 0 : segment.z_begin}"
  shrink_list_repeats_the_first_rows shrink_list_forgets_a_segments_columns)
slora_mutate(backend/cuda/site_lists.cc
  "kind.table.records + record,"
  "kind.table.records + (mutant_is(\"shrink_list_repeats_the_first_record\") ? 0 : record),"
  shrink_list_repeats_the_first_record)
slora_mutate(backend/cuda/site_lists.cc
  "ExpandUse{{}, segment.z_begin, segment.weight}"
  "ExpandUse{{}, mutant_is(\"expand_list_forgets_a_segments_columns\") ? 0 : segment.z_begin, segment.weight}"
  expand_list_forgets_a_segments_columns)
slora_mutate(backend/cuda/site_lists.cc
  "static_cast<std::size_t>(adapters.run_segments.host[static_cast<std::size_t>(i)])"
  "static_cast<std::size_t>(mutant_is(\"expand_list_takes_the_first_segments\")
                                                     ? i
                                                     : adapters.run_segments.host[static_cast<std::size_t>(i)])"
  expand_list_takes_the_first_segments)
slora_mutate(backend/cuda/site_lists.cc
  "i < run.segment_begin + run.segment_count;"
  "i < run.segment_begin + (mutant_is(\"expand_list_takes_a_runs_first_segment\") ? 1 : run.segment_count);"
  expand_list_takes_a_runs_first_segment)
slora_mutate(backend/cuda/site_lists.cc
  "{run.row_begin + row, rows, use_begin, use_count}"
  "{run.row_begin + (mutant_is(\"expand_list_repeats_the_first_rows\") ? 0 : row), rows,
                                       mutant_is(\"expand_list_takes_the_first_uses\") ? 0 : use_begin, use_count}"
  expand_list_repeats_the_first_rows expand_list_takes_the_first_uses)

slora_mutate(backend/cuda/site_lists.cc
  "if (scales) add_scaled"
  "if (scales && !mutant_is(\"scaled_rows_are_forgotten\")) add_scaled"
  scaled_rows_are_forgotten)
slora_mutate(backend/cuda/site_lists.cc
  "scales = scales || table.kinds[kind].scales;"
  "scales = (scales && !mutant_is(\"scaled_rows_are_those_of_the_last_segment\")) || table.kinds[kind].scales;"
  scaled_rows_are_those_of_the_last_segment)
slora_mutate(backend/cuda/site_lists.cc
  "rank < scaled.hadamard_rank; rank += ScaleItem::kRanks"
  "rank < scaled.hadamard_rank; rank += (mutant_is(\"scaled_rows_lack_ranks\") ? 2 : 1) * ScaleItem::kRanks"
  scaled_rows_lack_ranks)
slora_mutate(backend/cuda/site_lists.cc
  "if (scaled.has_input_gain) add_scale_item"
  "if (scaled.has_input_gain && !mutant_is(\"input_gains_are_forgotten\")) add_scale_item"
  input_gains_are_forgotten)
slora_mutate(backend/cuda/site_lists.cc
  "LoraTable{made.table.records + record, made.table.per_layer}"
  "LoraTable{made.table.records + (mutant_is(\"scaled_rows_repeat_the_first_record\") ? 0 : record), made.table.per_layer}"
  scaled_rows_repeat_the_first_record)
slora_mutate(backend/cuda/site_lists.cc
  "scaled_count_ += item.count;"
  "scaled_count_ += mutant_is(\"scaled_rows_lie_in_one_anothers_place\") ? 1 : item.count;"
  scaled_rows_lie_in_one_anothers_place)
slora_mutate(backend/cuda/site_lists.cc
  "  scaled_count_ = 0;"
  "  if (!mutant_is(\"scaled_rows_begin_behind_those_of_the_step_before\")) scaled_count_ = 0;"
  scaled_rows_begin_behind_those_of_the_step_before)

# adapter_tables
slora_mutate(backend/cuda/adapter_tables.cc
  "std::max(made.scaled[i].hadamard_rank, hadamard_rank(record))"
  "(mutant_is(\"tables_tell_the_last_layers_hadamard_rank\") ? hadamard_rank(record) : std::max(made.scaled[i].hadamard_rank, hadamard_rank(record)))"
  tables_tell_the_last_layers_hadamard_rank)
slora_mutate(backend/cuda/adapter_tables.cc
  "const bool is_sum = view.low_rank == LowRank::sum;"
  "const bool is_sum = view.low_rank == LowRank::sum || mutant_is(\"tables_add_what_changes_the_product\");"
  tables_add_what_changes_the_product)
slora_mutate(backend/cuda/adapter_tables.cc
  "made.scaled.assign(per_layer, {});"
  "if (mutant_is(\"tables_keep_what_others_scale\")) made.scaled.resize(per_layer);
    else made.scaled.assign(per_layer, {});"
  tables_keep_what_others_scale)
slora_mutate(backend/cuda/adapter_tables.cc
  "first + layer * per_layer + i"
  "first + (mutant_is(\"tables_have_one_layer\") ? 0 : layer * per_layer) + i"
  tables_have_one_layer)
slora_mutate(backend/cuda/adapter_tables.cc
  "std::max(made.shrink_ranks[i], record.rank)"
  "(mutant_is(\"tables_tell_the_last_layers_rank\") ? record.rank : std::max(made.shrink_ranks[i], record.rank))"
  tables_tell_the_last_layers_rank)
slora_mutate(backend/cuda/adapter_tables.cc
  "per_layer = std::max(per_layer, adapter.sites[site].count);"
  "per_layer = mutant_is(\"tables_count_the_last_layers_records\") ? adapter.sites[site].count : std::max(per_layer, adapter.sites[site].count);"
  tables_count_the_last_layers_records)
slora_mutate(backend/cuda/adapter_tables.cc
  "std::fill_n(reinterpret_cast<LoraRecord*>(at_host), counts.records, LoraRecord{});"
  "if (!mutant_is(\"tables_keep_records_of_others\")) std::fill_n(reinterpret_cast<LoraRecord*>(at_host), counts.records, LoraRecord{});"
  tables_keep_records_of_others)
slora_mutate(backend/cuda/adapter_tables.cc
  "is_sum && !view.b.empty() ?"
  "is_sum && (!view.b.empty() || mutant_is(\"tables_name_a_matrix_that_is_not_there\")) ?"
  tables_name_a_matrix_that_is_not_there)
slora_mutate(backend/cuda/adapter_tables.cc
  "view.bias_mode == BiasMode::replace ? 1 : 0"
  "(view.bias_mode == BiasMode::replace) != mutant_is(\"tables_swap_bias_modes\") ? 1 : 0"
  tables_swap_bias_modes)
slora_mutate(backend/cuda/adapter_tables.cc
  "if (has_gains(record)) ++counts.gains;"
  "if (has_gains(record) && !mutant_is(\"tables_have_no_memory_for_gains\")) ++counts.gains;"
  tables_have_no_memory_for_gains)
slora_mutate(backend/cuda/adapter_tables.cc
  "device_gains_ + gain_count_++;"
  "device_gains_ + (mutant_is(\"tables_name_the_next_records_gains\") ? ++gain_count_ : gain_count_++);"
  tables_name_the_next_records_gains)
slora_mutate(backend/cuda/adapter_tables.cc
  "|| record.bias != nullptr || record.gain != nullptr;"
  "|| record.bias != nullptr || (record.gain != nullptr && !mutant_is(\"tables_forget_gains_alone\"));"
  tables_forget_gains_alone)
slora_mutate(backend/cuda/adapter_tables.cc
  "row_bytes % 16 == 0 &&"
  "(row_bytes % 16 == 0 || mutant_is(\"tables_take_any_row_for_wide\")) &&"
  tables_take_any_row_for_wide)
slora_mutate(backend/cuda/adapter_tables.cc
  "return tile.col_count == matrix.cols &&"
  "return (tile.col_count == matrix.cols || mutant_is(\"tables_take_blocks_of_columns_for_rows\")) &&"
  tables_take_blocks_of_columns_for_rows)
slora_mutate(backend/cuda/adapter_tables.cc
  "view.slice_begin % 4 == 0 ?"
  "(view.slice_begin % 4 == 0 || mutant_is(\"tables_take_any_slice_for_wide\")) ?"
  tables_take_any_slice_for_wide)
slora_mutate(backend/cuda/adapter_tables.cc
  "all_[kept.place]->number != kept.number"
  "(all_[kept.place]->number != kept.number && !mutant_is(\"tables_of_another_adapter_are_found\"))"
  tables_of_another_adapter_are_found)
slora_mutate(backend/cuda/adapter_tables.cc
  "next_->last_step < done_before_)"
  "next_->last_step < done_before_ + (mutant_is(\"tables_under_way_are_replaced\") ? 1 : 0))"
  tables_under_way_are_replaced)
slora_mutate(backend/cuda/adapter_tables.cc
  "  entry.last_step = step_;"
  "  if (!mutant_is(\"tables_do_not_know_their_step\")) entry.last_step = step_;"
  tables_do_not_know_their_step)
slora_mutate(backend/cuda/adapter_tables.cc
  "- gap_begin_ >= bytes) return true;"
  "- gap_begin_ >= (mutant_is(\"tables_lie_in_one_anothers_memory\") ? kAlignment : bytes)) return true;"
  tables_lie_in_one_anothers_memory)
slora_mutate(backend/cuda/adapter_tables.cc
  "      next_->number = 0;"
  "      if (!mutant_is(\"tables_that_were_replaced_are_found\")) next_->number = 0;"
  tables_that_were_replaced_are_found)

# work_lists
slora_mutate(backend/cuda/work_lists.cc
  "shrink_items + kind.shrink_items.begin"
  "shrink_items + (mutant_is(\"kinds_share_shrink_items\") ? 0 : kind.shrink_items.begin)"
  kinds_share_shrink_items)
slora_mutate(backend/cuda/work_lists.cc
  "expand_items + kind.expand_items.begin"
  "expand_items + (mutant_is(\"kinds_share_expand_items\") ? 0 : kind.expand_items.begin)"
  kinds_share_expand_items)
slora_mutate(backend/cuda/work_lists.cc
  "kinds_.size() * sizeof(KindHeads)"
  "(kinds_.size() - (mutant_is(\"last_kinds_head_is_not_copied\") ? 1 : 0)) * sizeof(KindHeads)"
  last_kinds_head_is_not_copied)
slora_mutate(backend/cuda/work_lists.cc
  "if (batch.segments != adapters.segments.device) continue;"
  "if (batch.segments != adapters.segments.device && !mutant_is(\"lists_of_any_batch_are_found\")) continue;"
  lists_of_any_batch_are_found)
slora_mutate(backend/cuda/work_lists.cc
  "attends_[i].spans != spans.spans.device || !(attends_[i].shape == shape)"
  "(attends_[i].spans != spans.spans.device && !mutant_is(\"items_of_any_spans_are_found\")) ||
        (!(attends_[i].shape == shape) && !mutant_is(\"items_of_any_heads_are_found\"))"
  items_of_any_spans_are_found items_of_any_heads_are_found)
slora_mutate(backend/cuda/work_lists.cc
  "items.part_rows() + items.part_rows_max(span) <= kPartRowsMax"
  "items.part_rows() + items.part_rows_max(span) <= kPartRowsMax || mutant_is(\"parts_exceed_their_memory\")"
  parts_exceed_their_memory)
slora_mutate(backend/cuda/work_lists.cc
  "std::pair(-(span.position_begin"
  "std::pair((mutant_is(\"short_spans_get_memory_for_parts\") ? 1 : -1) * (span.position_begin"
  short_spans_get_memory_for_parts)
slora_mutate(backend/cuda/work_lists.cc
  "(cuts_prompts || !is_prompt(span))"
  "((cuts_prompts && !mutant_is(\"prompts_are_never_cut\")) || mutant_is(\"prompts_are_always_cut\") || !is_prompt(span))"
  prompts_are_never_cut prompts_are_always_cut)
slora_mutate(backend/cuda/work_lists.cc
  "items.place_longest_first();"
  "if (!mutant_is(\"long_items_stand_anywhere\")) items.place_longest_first();"
  long_items_stand_anywhere)
slora_mutate(backend/cuda/work_lists.cc
  "span.row_count <= queries;"
  "span.row_count <= queries || mutant_is(\"tiles_are_always_small\");"
  tiles_are_always_small)
slora_mutate(backend/cuda/work_lists.cc
  "if (bytes > device_arrays_.bytes()) require_done"
  "if (bytes > device_arrays_.bytes() && !mutant_is(\"lists_exceed_their_memory\")) require_done"
  lists_exceed_their_memory)
slora_mutate(backend/cuda/work_lists.cc
  "return reserve_arrays(static_cast"
  "if (mutant_is(\"lists_are_not_reserved\")) return {};
  return reserve_arrays(static_cast"
  lists_are_not_reserved)

slora_mutate(backend/cuda/work_lists.cc
  "has_shrink(index) ? &heads.shrink : nullptr"
  "has_shrink(index) && !mutant_is(\"shrink_is_never_launched\") ? &heads.shrink : nullptr"
  shrink_is_never_launched)
slora_mutate(backend/cuda/work_lists.cc
  "{scale_items.subspan(scaled.begin, scaled.count), device_scale_items_ + scaled.begin}"
  "{scale_items.subspan(mutant_is(\"kinds_share_scaled_rows\") ? 0 : scaled.begin, scaled.count),
                   device_scale_items_ + (mutant_is(\"kinds_share_scaled_rows_at_the_device\") ? 0 : scaled.begin)}"
  kinds_share_scaled_rows kinds_share_scaled_rows_at_the_device)
slora_mutate(backend/cuda/work_lists.cc
  "  return work;
}"
  "  return mutant_is(\"steps_of_any_work_share_a_graph\") ? 0 : work;
}"
  steps_of_any_work_share_a_graph)

# When they are copied
slora_mutate(backend/cuda/list_source.cc
  "= *of_slots_[static_cast<std::size_t>(slot)]"
  "= *of_slots_[mutant_is(\"slots_share_lists\") ? 0 : static_cast<std::size_t>(slot)]"
  slots_share_lists)
slora_mutate(backend/cuda/list_source.cc
  "*std::ranges::min_element(steps_of_slots_)"
  "mutant_is(\"other_slots_tables_are_replaced\") ? step_count_ : *std::ranges::min_element(steps_of_slots_)"
  other_slots_tables_are_replaced)
slora_mutate(backend/cuda/list_source.cc
  "  if (!tables_.copies().empty()) streams_.upload_more(slot, tables_.copies());"
  "  if (!tables_.copies().empty() && !mutant_is(\"tables_are_not_copied\")) streams_.upload_more(slot, tables_.copies());"
  tables_are_not_copied)
slora_mutate(backend/cuda/list_source.cc
  "  require_done(device_.synchronise(streams_.compute()));"
  "  if (!mutant_is(\"lists_of_an_op_are_overwritten\")) require_done(device_.synchronise(streams_.compute()));"
  lists_of_an_op_are_overwritten)
slora_mutate(backend/cuda/step_streams.cc
  "    if (piece.bytes > 0) require_done(device_.upload(upload_.get(), piece.to, piece.from, piece.bytes));
  }
  require_done(device_.record(mine.uploaded.get(), upload_.get()));"
  "    if (piece.bytes > 0) require_done(device_.upload(upload_.get(), piece.to, piece.from, piece.bytes));
  }
  if (!mutant_is(\"ops_do_not_wait_for_lists\")) require_done(device_.record(mine.uploaded.get(), upload_.get()));"
  ops_do_not_wait_for_lists)
slora_mutate(backend/cuda/step_streams.cc
  "  if (found == known_steps_.end()) {"
  "  if (found == known_steps_.end() && mutant_is(\"steps_are_captured_at_once\")) {
    known_steps_.emplace(key, KnownStep{});
    return replay_step(key, call_ops);
  }
  if (found == known_steps_.end()) {"
  steps_are_captured_at_once)

slora_mutated_sources(mutated)
# The module's other sources too: its library has them all in one object, which must not come next to the copies.
file(GLOB others RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" CONFIGURE_DEPENDS *.cc)
list(FILTER others EXCLUDE REGEX "_test\\.cc$|^(adapter_tables|site_lists|work_lists|list_source|step_streams)\\.cc$")
add_executable(backend_cuda_mutants EXCLUDE_FROM_ALL testing/mutants/mutants_main.cc adapter_tables_test.cc list_source_test.cc site_lists_test.cc
  work_lists_test.cc
  cuda_backend_test.cc ${mutated} ${others})
target_link_libraries(backend_cuda_mutants PRIVATE slora_backend_cuda_testing)
target_compile_options(backend_cuda_mutants PRIVATE -O1 -w)
slora_mutant_tests(backend_cuda_mutants BackendCudaMutant)
