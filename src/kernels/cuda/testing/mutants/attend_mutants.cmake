# Seeded bugs of attend (mutants.cmake).
slora_mutate(kernels/cuda/attend.cu
  "    wait_copies<1>();
    warp_barrier();"
  "    if (mutant_is(\"attend_waits_for_an_older_stage\")) {
      wait_copies<2>();
    } else if (!mutant_is(\"attend_does_not_wait\")) {
      wait_copies<1>();
    }
    if (!mutant_is(\"attend_has_no_barrier_before_reading\")) warp_barrier();"
  attend_waits_for_an_older_stage attend_does_not_wait attend_has_no_barrier_before_reading)
slora_mutate(kernels/cuda/attend.cu
  "    warp_barrier();  // before"
  "    if (!mutant_is(\"attend_has_no_barrier_before_reuse\")) warp_barrier();  // before"
  attend_has_no_barrier_before_reuse)
slora_mutate(kernels/cuda/attend.cu
  "    commit_copies();  // in the end"
  "    if (block_begin(step) < key_end || !mutant_is(\"attend_commits_no_empty_group\")) commit_copies();  // in the end"
  attend_commits_no_empty_group)
slora_mutate(kernels/cuda/attend.cu
  "    wait_copies<1>();
    block_barrier();  // all have copied"
  "    if (!mutant_is(\"attend_does_not_wait_for_queries\")) wait_copies<1>();
    if (!mutant_is(\"attend_reads_queries_before_all_have_copied\")) block_barrier();  // all have copied"
  attend_does_not_wait_for_queries attend_reads_queries_before_all_have_copied)
slora_mutate(kernels/cuda/attend.cu
  "block_barrier();  // all have read"
  "if (!mutant_is(\"attend_overwrites_queries\")) block_barrier();  // all have read"
  attend_overwrites_queries)
slora_mutate(kernels/cuda/attend.cu
  "  block_barrier();  // all parts"
  "  if (!mutant_is(\"attend_joins_before_all_have_left\")) block_barrier();  // all parts"
  attend_joins_before_all_have_left)
slora_mutate(kernels/cuda/attend.cu
  "  block_barrier();  // all factors"
  "  if (!mutant_is(\"attend_joins_before_factors_are_there\")) block_barrier();  // all factors"
  attend_joins_before_factors_are_there)
slora_mutate(kernels/cuda/attend.cu
  "  block_barrier();  // before"
  "  if (!mutant_is(\"attend_begins_before_all_have_joined\")) block_barrier();  // before"
  attend_begins_before_all_have_joined)
slora_mutate(kernels/cuda/attend_tile.h
  "if (key < key_end) {"
  "if (key < key_end + (mutant_is(\"attend_reads_past_the_pages\") ? 16 : mutant_is(\"attend_copies_past_the_keys\") ? 1 : 0)) {"
  attend_reads_past_the_pages attend_copies_past_the_keys)
slora_mutate(kernels/cuda/attend_tile.h
  "column < layer.head_dim;"
  "column < layer.head_dim + (mutant_is(\"attend_copies_past_the_columns\") ? 8 : 0);"
  attend_copies_past_the_columns)
slora_mutate(kernels/cuda/attend_tile.h
  "layer.base + page * layer.page_bytes + offset"
  "layer.base + offset + (mutant_is(\"attend_offset_has_32_bits\")
             ? static_cast<std::uint32_t>(page * layer.page_bytes) : page * layer.page_bytes)"
  attend_offset_has_32_bits)
slora_mutate(kernels/cuda/attend_tile.h
  "to.chunks[row][chunk ^ row % 8]"
  "to.chunks[row][chunk ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend_tile.h
  "keys.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]"
  "keys.chunks[row][(2 * k + lane / 8 % 2) ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend_tile.h
  "values.chunks[row][(2 * n + lane / 16) ^ row % 8]"
  "values.chunks[row][(2 * n + lane / 16) ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend_tile.h
  "queries[slab].chunks[query][(2 * k + lane / 16) ^ query % 8]"
  "queries[slab].chunks[mutant_is(\"attend_swaps_fragments_of_q\") ? lane / 16 * 8 + lane % 8 : query]
                        [(2 * k + (mutant_is(\"attend_swaps_fragments_of_q\") ? lane / 8 % 2 : lane / 16)) ^
                         (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : query % 8)]"
  attend_swaps_fragments_of_q attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend_tile.h
  "if (row < item.query_count * args.group) {"
  "if (row < item.query_count * args.group + (mutant_is(\"attend_reads_past_the_queries\") ? args.group : 0)) {"
  attend_reads_past_the_queries)
slora_mutate(kernels/cuda/attend_tile.h
  "(span.row_begin + at.query) * args.q_stride"
  "(mutant_is(\"attend_query_offset_has_32_bits\") ? static_cast<std::int32_t>((span.row_begin + at.query) * args.q_stride)
                                               : (span.row_begin + at.query) * args.q_stride)"
  attend_query_offset_has_32_bits)
slora_mutate(kernels/cuda/attend_tile.h
  "to[row / kSlabRows], row % kSlabRows"
  "to[mutant_is(\"attend_copies_all_queries_to_the_first_slab\") ? 0 : row / kSlabRows], row % kSlabRows"
  attend_copies_all_queries_to_the_first_slab)
slora_mutate(kernels/cuda/attend_tile.h
  "mma_m16n8k16(scores[slab][0], a, {b[0], b[1]});"
  "mma_m16n8k16(scores[slab][0], a, {b[mutant_is(\"attend_swaps_words_of_k\") ? 1 : 0],
                                           b[mutant_is(\"attend_swaps_words_of_k\") ? 0 : 1]});"
  attend_swaps_words_of_k)
slora_mutate(kernels/cuda/attend_tile.h
  "mma_m16n8k16(running[slab].sums[2 * n], weights[slab], {b[0], b[1]});"
  "mma_m16n8k16(running[slab].sums[2 * n], weights[slab], {b[mutant_is(\"attend_swaps_words_of_v\") ? 1 : 0],
                                                   b[mutant_is(\"attend_swaps_words_of_v\") ? 0 : 1]});"
  attend_swaps_words_of_v)
slora_mutate(kernels/cuda/attend_tile.h
  "weights[2 * n + half]"
  "weights[mutant_is(\"attend_swaps_words_of_the_weights\") ? n + 2 * half : 2 * n + half]"
  attend_swaps_words_of_the_weights)
slora_mutate(kernels/cuda/attend_tile.h
  "key <= position &&"
  "key <= position + (mutant_is(\"attend_sees_the_next_key\") ? 1 : 0) - (mutant_is(\"attend_does_not_see_itself\") ? 1 : 0) &&"
  attend_sees_the_next_key attend_does_not_see_itself)
slora_mutate(kernels/cuda/attend_tile.h
  "key > position - args.op.window)"
  "key > position - args.op.window - (mutant_is(\"attend_window_is_one_longer\") ? 1 : 0))"
  attend_window_is_one_longer)
slora_mutate(kernels/cuda/attend_tile.h
  "maximum = larger(maximum, shuffle_xor(maximum, 2));"
  "if (!mutant_is(\"attend_maximum_is_of_half_the_lanes\")) maximum = larger(maximum, shuffle_xor(maximum, 2));"
  attend_maximum_is_of_half_the_lanes)
slora_mutate(kernels/cuda/attend_tile.h
  "running.weight[half] *= correction;"
  "if (!mutant_is(\"attend_weights_keep_the_old_maximum\")) running.weight[half] *= correction;"
  attend_weights_keep_the_old_maximum)
slora_mutate(kernels/cuda/attend_tile.h
  "running.sums[n][2 * half] *= correction;"
  "if (!mutant_is(\"attend_sums_keep_the_old_maximum\")) running.sums[n][2 * half] *= correction;"
  attend_sums_keep_the_old_maximum)
slora_mutate(kernels/cuda/attend_tile.h
  "sum += shuffle_xor(sum, 2);"
  "if (!mutant_is(\"attend_weight_is_of_half_the_lanes\")) sum += shuffle_xor(sum, 2);"
  attend_weight_is_of_half_the_lanes)

# Ranges of keys, and parts
slora_mutate(kernels/cuda/attend.cu
  "first - args.op.window + 1);"
  "first - args.op.window + (mutant_is(\"attend_skips_the_windows_first_keys\") ? 17 : 1));"
  attend_skips_the_windows_first_keys)
slora_mutate(kernels/cuda/attend.cu
  "(slab * kSlabRows + 8 * half + lane_index() / 4) / args.group;"
  "((mutant_is(\"attend_slabs_have_the_same_positions\") ? 0 : slab) * kSlabRows + 8 * half + lane_index() / 4) / args.group;"
  attend_slabs_have_the_same_positions)
slora_mutate(kernels/cuda/attend.cu
  "(key_end + range_keys - 1) / range_keys;"
  "(key_end + range_keys - (mutant_is(\"attend_forgets_the_last_range\") ? range_keys : 1)) / range_keys;"
  attend_forgets_the_last_range)
slora_mutate(kernels/cuda/attend.cu
  "std::max(key_begin, range * range_keys)"
  "std::max(key_begin, mutant_is(\"attend_begins_before_its_range\") ? 0 : range * range_keys)"
  attend_begins_before_its_range)
slora_mutate(kernels/cuda/attend.cu
  "std::min(key_end, (range + 1) * range_keys)"
  "std::min(key_end, (range + (mutant_is(\"attend_goes_past_its_range\") ? 2 : 1)) * range_keys)"
  attend_goes_past_its_range)
slora_mutate(kernels/cuda/attend.cu
  "return ((steps_before + step) * kBlocks + warp_index()) * kBlockKeys;"
  "return ((mutant_is(\"attend_warps_take_blocks_by_their_place_in_the_tile\") ? key_begin / kBlockKeys : steps_before * kBlocks) +
            step * kBlocks + warp_index()) * kBlockKeys;"
  attend_warps_take_blocks_by_their_place_in_the_tile)
slora_mutate(kernels/cuda/attend.cu
  "+ kBlocks - 1 - warp_index()"
  "+ kBlocks - (mutant_is(\"attend_skips_a_block\") ? 0 : 1) - warp_index()"
  attend_skips_a_block)
slora_mutate(kernels/cuda/attend.cu
  "if (row >= rows) continue;"
  "if (row >= rows + (mutant_is(\"attend_leaves_parts_of_more_rows\") ? 1 : 0)) continue;"
  attend_leaves_parts_of_more_rows)
slora_mutate(kernels/cuda/attend.cu
  "item.part_row + warp_index() * rows"
  "item.part_row + (mutant_is(\"attend_warps_leave_parts_in_one_place\") ? 0 : warp_index()) * rows"
  attend_warps_leave_parts_in_one_place)
slora_mutate(kernels/cuda/attend.cu
  "if (column < head_dim) *"
  "if (column < head_dim + (mutant_is(\"attend_leaves_parts_of_more_columns\") ? 2 : 0)) *"
  attend_leaves_parts_of_more_columns)
slora_mutate(kernels/cuda/attend_tile.h
  "factors{power_of_two(maximum - larger_maximum), power_of_two(part_maximum - larger_maximum)};"
  "factors{mutant_is(\"attend_joined_sums_keep_their_maximum\") ? 1 : power_of_two(maximum - larger_maximum),
                                 mutant_is(\"attend_parts_keep_their_maximum\") ? 1 : power_of_two(part_maximum - larger_maximum)};"
  attend_joined_sums_keep_their_maximum attend_parts_keep_their_maximum)
slora_mutate(kernels/cuda/attend_tile.h
  "weight = factors.join(weight, part_weight);"
  "weight = mutant_is(\"attend_forgets_the_weights_before\") ? part_weight : factors.join(weight, part_weight);"
  attend_forgets_the_weights_before)
slora_mutate(kernels/cuda/attend.cu
  "if (thread_index() < rows) {"
  "if (thread_index() < rows - (mutant_is(\"attend_forgets_the_last_rows_factors\") ? 1 : 0)) {"
  attend_forgets_the_last_rows_factors)
slora_mutate(kernels/cuda/attend.cu
  "for (std::int32_t warp = 0; warp < kWarps<kDim>; ++warp) sum ="
  "for (std::int32_t warp = mutant_is(\"attend_forgets_a_warps_part\") ? 1 : 0; warp < kWarps<kDim>; ++warp) sum ="
  attend_forgets_a_warps_part)
slora_mutate(kernels/cuda/attend.cu
  "float sum = is_first ? 0 : mine.joined[row][column];"
  "float sum = is_first || mutant_is(\"attend_forgets_the_ranges_before\") ? 0 : mine.joined[row][column];"
  attend_forgets_the_ranges_before)
slora_mutate(kernels/cuda/attend.cu
  "i < rows * kDim;"
  "i < (rows + (mutant_is(\"attend_writes_past_the_queries\") ? 1 : 0)) * kDim;"
  attend_writes_past_the_queries)
slora_mutate(kernels/cuda/attend.cu
  "if (column >= args.layer.head_dim) continue;"
  "if (column >= args.layer.head_dim + (mutant_is(\"attend_writes_past_the_head\") ? 1 : 0)) continue;"
  attend_writes_past_the_head)
slora_mutate(kernels/cuda/attend.cu
  "index < list.join_count * args.op.tile_rows;"
  "index < (list.join_count + (mutant_is(\"attend_reads_past_the_joins\") ? 1 : 0)) * args.op.tile_rows;"
  attend_reads_past_the_joins)
slora_mutate(kernels/cuda/attend.cu
  "if (row >= rows || column >= head_dim) continue;"
  "if (row >= rows + (mutant_is(\"attend_joins_more_rows\") ? 1 : 0) ||
        column >= head_dim + (mutant_is(\"attend_joins_more_columns\") ? 2 : 0)) continue;"
  attend_joins_more_rows attend_joins_more_columns)
slora_mutate(kernels/cuda/attend.cu
  "std::int32_t part = 0; part <"
  "std::int32_t part = mutant_is(\"attend_forgets_a_part\") ? 1 : 0; part <"
  attend_forgets_a_part)
slora_mutate(kernels/cuda/attend.cu
  "part / kPartsOfRange * AttendItem::kParts"
  "part / kPartsOfRange * (mutant_is(\"attend_takes_parts_for_closer\") ? kPartsOfRange : AttendItem::kParts)"
  attend_takes_parts_for_closer)
