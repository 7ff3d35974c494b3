# The standing list of seeded bugs of the lists of work, and of when they are copied. The tests of these have to notice each of them
# (mutants_main.cc).
include(mutation)

# site_lists
slora_mutate(backend/cuda/site_lists.cc
  "rank < arrays_.shrink_records[record].rank; rank += ShrinkItem::kRanks"
  "rank < arrays_.shrink_records[record].rank - (mutant_is(\"shrink_list_forgets_a_last_rank\") ? 1 : 0);
       rank += (mutant_is(\"shrink_list_forgets_ranks\") ? 2 : 1) * ShrinkItem::kRanks"
  shrink_list_forgets_a_last_rank shrink_list_forgets_ranks)
slora_mutate(backend/cuda/site_lists.cc
  "row < segment.row_count; row += ShrinkItem::kRowsMax"
  "row < segment.row_count; row += (mutant_is(\"shrink_list_forgets_rows\") ? 2 : 1) * ShrinkItem::kRowsMax"
  shrink_list_forgets_rows)
slora_mutate(backend/cuda/site_lists.cc
  "{segment.row_begin + row, rows, static_cast"
  "{segment.row_begin + (mutant_is(\"shrink_list_repeats_the_first_rows\") ? 0 : row), rows, static_cast"
  shrink_list_repeats_the_first_rows)
slora_mutate(backend/cuda/site_lists.cc
  "+ segment.z_begin + record.z_begin"
  "+ (mutant_is(\"lists_forget_a_segments_columns\") ? 0 : segment.z_begin) +
                                   (mutant_is(\"lists_forget_a_records_columns\") ? 0 : record.z_begin)"
  lists_forget_a_segments_columns lists_forget_a_records_columns)
slora_mutate(backend/cuda/site_lists.cc
  "of_segment.count = arrays_.expand_records.size() - of_segment.begin;"
  "of_segment.count = arrays_.expand_records.size() - (mutant_is(\"expand_list_adds_all_records\") ? 0 : of_segment.begin);"
  expand_list_adds_all_records)
slora_mutate(backend/cuda/site_lists.cc
  "adapters.segments.host[index].weight"
  "adapters.segments.host[mutant_is(\"expand_list_takes_the_first_weight\") ? 0 : index].weight"
  expand_list_takes_the_first_weight)
slora_mutate(backend/cuda/site_lists.cc
  "run.row_count > 0 && i < run.segment_begin + run.segment_count;"
  "run.row_count > 0 && i < run.segment_begin + (mutant_is(\"expand_list_takes_a_runs_first_segment\") ? 1 : run.segment_count);"
  expand_list_takes_a_runs_first_segment)
slora_mutate(backend/cuda/site_lists.cc
  "{run.row_begin + row, rows, use_begin, use_count}"
  "{run.row_begin + (mutant_is(\"expand_list_repeats_the_first_rows\") ? 0 : row), rows,
                                       mutant_is(\"expand_list_takes_the_first_uses\") ? 0 : use_begin, use_count}"
  expand_list_repeats_the_first_rows expand_list_takes_the_first_uses)
slora_mutate(backend/cuda/site_lists.cc
  "record.b.empty() ? 0 : record.rank"
  "record.b.empty() && !mutant_is(\"expand_list_reads_a_matrix_that_is_not_there\") ? 0 : record.rank"
  expand_list_reads_a_matrix_that_is_not_there)
slora_mutate(backend/cuda/site_lists.cc
  "record.bias_mode == BiasMode::replace ? 1 : 0"
  "(record.bias_mode == BiasMode::replace) != mutant_is(\"expand_list_swaps_bias_modes\") ? 1 : 0"
  expand_list_swaps_bias_modes)
slora_mutate(backend/cuda/site_lists.cc
  "row_bytes % 16 == 0 &&"
  "(row_bytes % 16 == 0 || mutant_is(\"lists_take_any_row_for_aligned\")) &&"
  lists_take_any_row_for_aligned)
slora_mutate(backend/cuda/site_lists.cc
  "tile.col_count == matrix.cols &&"
  "(tile.col_count == matrix.cols || mutant_is(\"lists_take_blocks_of_columns_for_rows\")) &&"
  lists_take_blocks_of_columns_for_rows)
slora_mutate(backend/cuda/site_lists.cc
  "record.slice_begin % 4 != 0)"
  "(record.slice_begin % 4 != 0 && !mutant_is(\"lists_take_any_slice_for_aligned\")))"
  lists_take_any_slice_for_aligned)

# work_lists
slora_mutate(backend/cuda/work_lists.cc
  "shrink_items + site.shrink_items.begin"
  "shrink_items + (mutant_is(\"sites_share_shrink_items\") ? 0 : site.shrink_items.begin)"
  sites_share_shrink_items)
slora_mutate(backend/cuda/work_lists.cc
  "expand_items + site.expand_items.begin"
  "expand_items + (mutant_is(\"sites_share_expand_items\") ? 0 : site.expand_items.begin)"
  sites_share_expand_items)
slora_mutate(backend/cuda/work_lists.cc
  "sites_.size() * sizeof(SiteHeads)"
  "(sites_.size() - (mutant_is(\"last_sites_head_is_not_copied\") ? 1 : 0)) * sizeof(SiteHeads)"
  last_sites_head_is_not_copied)
slora_mutate(backend/cuda/work_lists.cc
  "batch.segments != adapters.segments.device ||"
  "(batch.segments != adapters.segments.device && !mutant_is(\"lists_of_any_batch_are_found\")) ||"
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
  "if (bytes <= device_arrays_.bytes()) return;"
  "if (bytes <= device_arrays_.bytes() || mutant_is(\"lists_exceed_their_memory\")) return;"
  lists_exceed_their_memory)

# When they are copied
slora_mutate(backend/cuda/list_source.cc
  "of_slots_[static_cast<std::size_t>(slot)]"
  "of_slots_[mutant_is(\"slots_share_lists\") ? 0 : static_cast<std::size_t>(slot)]"
  slots_share_lists)
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
list(FILTER others EXCLUDE REGEX "_test\\.cc$|^(site_lists|work_lists|list_source|step_streams)\\.cc$")
add_executable(backend_cuda_mutants EXCLUDE_FROM_ALL testing/mutants/mutants_main.cc site_lists_test.cc work_lists_test.cc
  cuda_backend_test.cc ${mutated} ${others})
target_link_libraries(backend_cuda_mutants PRIVATE slora_backend_cuda_testing)
target_compile_options(backend_cuda_mutants PRIVATE -O1 -w)
slora_mutant_tests(backend_cuda_mutants BackendCudaMutant)
