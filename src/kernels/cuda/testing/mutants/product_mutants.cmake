# Seeded bugs of the kernels that use tensor cores (mutants.cmake).
# linear
slora_mutate(kernels/cuda/linear.cu
  "    wait_copies<kAhead - 1>();
    block_barrier();  // the stage"
  "    if (mutant_is(\"linear_waits_for_an_older_stage\")) {
      wait_copies<kAhead>();
    } else if (!mutant_is(\"linear_does_not_wait\")) {
      wait_copies<kAhead - 1>();
    }
    if (!mutant_is(\"linear_has_no_barrier_between_stages\")) block_barrier();  // the stage"
  linear_waits_for_an_older_stage linear_does_not_wait linear_has_no_barrier_between_stages)
slora_mutate(kernels/cuda/linear.cu
  "    commit_copies();  // at the end"
  "    if (step + kAhead < step_end || !mutant_is(\"linear_commits_no_empty_group\")) commit_copies();  // at the end"
  linear_commits_no_empty_group)
slora_mutate(kernels/cuda/linear.cu
  "    if (step < step_end) copy_stage(step);
    commit_copies();"
  "    if (step < step_end) copy_stage(step);
    if (step < step_end || !mutant_is(\"linear_begins_with_too_few_groups\")) commit_copies();"
  linear_begins_with_too_few_groups)
slora_mutate(kernels/cuda/linear.cu
  "constexpr std::int32_t kAhead = kStages<kTileRows> - 1;"
  "const std::int32_t ahead_more = mutant_is(\"linear_overwrites_the_stage_it_reads\") ? 1 : 0;
  constexpr std::int32_t kAhead = kStages<kTileRows> - 1;"
  linear_overwrites_the_stage_it_reads)
slora_mutate(kernels/cuda/linear.cu
  "if (step + kAhead < step_end) copy_stage(step + kAhead);"
  "if (step + kAhead + ahead_more < step_end + (mutant_is(\"linear_copies_a_stage_nobody_needs\") ? 1 : 0)) {
      copy_stage(step + kAhead + ahead_more);
    }"
  linear_copies_a_stage_nobody_needs)
slora_mutate(kernels/cuda/linear.cu
  "step + 1 == range_end || step + 1 == step_end"
  "step + 1 == range_end + (mutant_is(\"linear_ends_ranges_late\") ? 1 : 0) ||
        (step + 1 == step_end && !mutant_is(\"linear_forgets_a_short_range\"))"
  linear_ends_ranges_late linear_forgets_a_short_range)
slora_mutate(kernels/cuda/linear.cu
  "        sums[m][n][i] = 0;"
  "        if (!mutant_is(\"linear_sums_a_range_twice\")) sums[m][n][i] = 0;"
  linear_sums_a_range_twice)
slora_mutate(kernels/cuda/linear.cu
  "std::min(steps, step_begin + args.range_steps);"
  "std::min(steps, step_begin + args.range_steps + (mutant_is(\"linear_ranges_overlap\") ? 1 : 0));"
  linear_ranges_overlap)
slora_mutate(kernels/cuda/linear.cu
  "static_cast<std::int64_t>(tile) * args.sharing * kTileSums"
  "static_cast<std::int64_t>(tile) * (args.sharing - (mutant_is(\"linear_tiles_share_scratch\") ? 1 : 0)) * kTileSums"
  linear_tiles_share_scratch)
slora_mutate(kernels/cuda/linear.cu
  "  block_barrier();  // the sums are there"
  "  if (!mutant_is(\"linear_arrives_before_its_sums\")) block_barrier();  // the sums are there"
  linear_arrives_before_its_sums)
slora_mutate(kernels/cuda/linear.cu
  "    fence();
    arrived = atomic_add(args.scratch.arrived + tile, 1);
    fence();"
  "    if (!mutant_is(\"linear_has_no_fence_before_arriving\")) fence();
    arrived = atomic_add(args.scratch.arrived + (mutant_is(\"linear_tiles_share_a_count\") ? 0 : tile), 1);
    if (!mutant_is(\"linear_has_no_fence_after_arriving\")) fence();"
  linear_has_no_fence_before_arriving linear_tiles_share_a_count linear_has_no_fence_after_arriving)
slora_mutate(kernels/cuda/linear.cu
  "  block_barrier();
  if (static_cast<std::int32_t>(arrived) + 1 < args.sharing) return false;"
  "  if (!mutant_is(\"linear_reads_the_count_too_soon\")) block_barrier();
  if (static_cast<std::int32_t>(arrived) + (mutant_is(\"linear_joins_one_too_soon\") ? 2 : 1) < args.sharing) return false;"
  linear_reads_the_count_too_soon linear_joins_one_too_soon)
slora_mutate(kernels/cuda/linear.cu
  "0u - static_cast<std::uint32_t>(args.sharing)"
  "mutant_is(\"linear_leaves_a_count\") ? 0u : 0u - static_cast<std::uint32_t>(args.sharing)"
  linear_leaves_a_count)
slora_mutate(kernels/cuda/linear.cu
  "for (std::int32_t other = 0; other < args.sharing; ++other) {"
  "for (std::int32_t i = mutant_is(\"linear_forgets_a_range_in_the_sum\") ? 1 : 0; i < args.sharing; ++i) {
        const std::int32_t other = mutant_is(\"linear_sums_ranges_as_they_come\") ? (range + 1 + i) % args.sharing : i;"
  linear_forgets_a_range_in_the_sum linear_sums_ranges_as_they_come)
slora_mutate(kernels/cuda/linear.cu
  "(args.in + kTileK - 1) / kTileK;"
  "(args.in + (mutant_is(\"linear_forgets_the_last_columns\") ? 0 : kTileK - 1)) / kTileK;"
  linear_forgets_the_last_columns)
slora_mutate(kernels/cuda/linear.cu
  "row_begin + row < rows ?"
  "row_begin + row < rows + (mutant_is(\"linear_copies_past_the_rows\") ? 1 : 0) ?"
  linear_copies_past_the_rows)
slora_mutate(kernels/cuda/linear.cu
  "std::min(kPart, cols - column)"
  "std::min(kPart, cols - column + (mutant_is(\"linear_copies_past_the_columns\") ? 1 : 0))"
  linear_copies_past_the_columns)
slora_mutate(kernels/cuda/linear.cu
  "from + (row_begin + row) * stride"
  "from + (mutant_is(\"linear_offset_has_32_bits\") ? static_cast<std::int32_t>((row_begin + row) * stride) : (row_begin + row) * stride)"
  linear_offset_has_32_bits)
slora_mutate(kernels/cuda/linear.cu
  "to.chunks[row][chunk ^ first_row % 8]"
  "to.chunks[row][chunk ^ (mutant_is(\"linear_tiles_lie_in_the_same_banks\") ? 0 : first_row % 8)]"
  linear_tiles_lie_in_the_same_banks)
slora_mutate(kernels/cuda/linear.cu
  "x.chunks[row][(2 * k + lane / 16) ^ row % 8]"
  "x.chunks[mutant_is(\"linear_swaps_fragments_of_x\") ? row_begin + 16 * m + lane / 16 * 8 + lane % 8 : row]
                            [(2 * k + (mutant_is(\"linear_swaps_fragments_of_x\") ? lane / 8 % 2 : lane / 16)) ^
                             (mutant_is(\"linear_tiles_lie_in_the_same_banks\") ? 0 : row % 8)]"
  linear_swaps_fragments_of_x)
slora_mutate(kernels/cuda/linear.cu
  "weight.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]"
  "weight.chunks[row][(2 * k + lane / 8 % 2) ^ (mutant_is(\"linear_tiles_lie_in_the_same_banks\") ? 0 : row % 8)]"
  linear_tiles_lie_in_the_same_banks)
slora_mutate(kernels/cuda/linear.cu
  "{b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]}"
  "{b[n / 2][n % 2 * 2 + (mutant_is(\"linear_swaps_words_of_the_weight\") ? 1 : 0)],
   b[n / 2][n % 2 * 2 + (mutant_is(\"linear_swaps_words_of_the_weight\") ? 0 : 1)]}"
  linear_swaps_words_of_the_weight)
slora_mutate(kernels/cuda/linear.cu
  "float first = total[m][n][2 * half], second"
  "float first = total[m][n][mutant_is(\"linear_swaps_words_of_the_sum\") ? half : 2 * half], second"
  linear_swaps_words_of_the_sum)
slora_mutate(kernels/cuda/linear.cu
  "if (row >= row_count) continue;"
  "if (row >= row_count + (mutant_is(\"linear_writes_padding\") ? 1 : 0)) continue;"
  linear_writes_padding)
slora_mutate(kernels/cuda/linear.cu
  "if (column >= args.out) continue;"
  "if (column >= args.out + (mutant_is(\"linear_writes_past_the_row\") ? 1 : 0)) continue;"
  linear_writes_past_the_row)
slora_mutate(kernels/cuda/linear.cu
  "column + 1 < args.out;"
  "column + 1 < args.out + (mutant_is(\"linear_writes_a_pair_past_the_row\") ? 1 : 0);"
  linear_writes_a_pair_past_the_row)
slora_mutate(kernels/cuda/linear.cu
  "first += args.bias[column];"
  "first += args.bias[column + (mutant_is(\"linear_shifts_the_bias\") ? 1 : 0)];"
  linear_shifts_the_bias)
slora_mutate(kernels/cuda/linear.cu
  "if (both) second += args.bias[column + 1];"
  "if (both || mutant_is(\"linear_reads_past_the_bias\")) second += args.bias[column + 1];"
  linear_reads_past_the_bias)
slora_mutate(kernels/cuda/linear.cu
  "args.y + row * args.y_stride"
  "args.y + (mutant_is(\"linear_result_has_32_bits\") ? static_cast<std::int32_t>(row * args.y_stride) : row * args.y_stride)"
  linear_result_has_32_bits)

# shrink
slora_mutate(kernels/cuda/shrink.cu
  "k >= end) return eight;"
  "k >= end + (mutant_is(\"shrink_reads_past_the_range\") ? 1 : 0)) return eight;"
  shrink_reads_past_the_range)
slora_mutate(kernels/cuda/shrink.cu
  "if (k + i < end)"
  "if (k + i < end + (mutant_is(\"shrink_reads_an_element_past_the_range\") ? 1 : 0))"
  shrink_reads_an_element_past_the_range)
slora_mutate(kernels/cuda/shrink.cu
  "if (rank >= record.shrink_rank) return nullptr;"
  "if (rank >= record.shrink_rank + (mutant_is(\"shrink_reads_past_the_ranks\") ? 1 : 0)) return nullptr;"
  shrink_reads_past_the_ranks)
slora_mutate(kernels/cuda/matrix_row.h
  "while (row >= piece->row_begin + piece->row_count)"
  "while (row >= piece->row_begin + piece->row_count + (mutant_is(\"shrink_keeps_to_the_first_piece\") ? 1 : 0))"
  shrink_keeps_to_the_first_piece)
slora_mutate(kernels/cuda/shrink.cu
  "group + row < item.row_count ?"
  "group + row < item.row_count + (mutant_is(\"shrink_reads_past_the_rows\") ? 1 : 0) ?"
  shrink_reads_past_the_rows)
slora_mutate(kernels/cuda/shrink.cu
  "args.x + (item.row_begin + group) * args.x_stride"
  "args.x + (mutant_is(\"shrink_offset_has_32_bits\") ? static_cast<std::int32_t>((item.row_begin + group) * args.x_stride)
                                              : (item.row_begin + group) * args.x_stride)"
  shrink_offset_has_32_bits)
slora_mutate(kernels/cuda/shrink.cu
  "x_row(16 * m + 8)"
  "x_row(16 * m + (mutant_is(\"shrink_reads_rows_twice\") ? 0 : 8))"
  shrink_reads_rows_twice)
slora_mutate(kernels/cuda/shrink.cu
  "{low.words[pair], high.words[pair], low.words[pair + 1], high.words[pair + 1]}"
  "{low.words[pair], mutant_is(\"shrink_swaps_words_of_x\") ? low.words[pair + 1] : high.words[pair],
    mutant_is(\"shrink_swaps_words_of_x\") ? high.words[pair] : low.words[pair + 1], high.words[pair + 1]}"
  shrink_swaps_words_of_x)
slora_mutate(kernels/cuda/shrink.cu
  "{a[n].words[pair], a[n].words[pair + 1]}"
  "{a[n].words[mutant_is(\"shrink_swaps_words_of_a\") ? pair + 1 : pair],
    a[n].words[mutant_is(\"shrink_swaps_words_of_a\") ? pair : pair + 1]}"
  shrink_swaps_words_of_a)
slora_mutate(kernels/cuda/shrink.cu
  "8 * (element / 2) + lane"
  "8 * (mutant_is(\"shrink_swaps_words_of_the_sum\") ? element % 2 : element / 2) + lane"
  shrink_swaps_words_of_the_sum)
slora_mutate(kernels/cuda/shrink.cu
  "if (row >= item.row_count || rank >= record.shrink_rank) continue;"
  "if (row >= item.row_count + (mutant_is(\"shrink_writes_past_the_rows\") ? 1 : 0) ||
        rank >= record.shrink_rank + (mutant_is(\"shrink_writes_past_the_ranks\") ? 1 : 0)) continue;"
  shrink_writes_past_the_rows shrink_writes_past_the_ranks)
slora_mutate(kernels/cuda/shrink.cu
  "std::min(args.in, begin + args.range_columns)"
  "std::min(args.in, begin + args.range_columns + (mutant_is(\"shrink_ranges_overlap\") ? kStep : 0))"
  shrink_ranges_overlap)
slora_mutate(kernels/cuda/shrink.cu
  "warp = 0; warp < kWarps;"
  "warp = mutant_is(\"shrink_forgets_a_range\") ? 1 : 0; warp < kWarps;"
  shrink_forgets_a_range)
slora_mutate(kernels/cuda/shrink.cu
  "  block_barrier();  // all ranges"
  "  if (!mutant_is(\"shrink_has_no_barrier_before_reading\")) block_barrier();  // all ranges"
  shrink_has_no_barrier_before_reading)
slora_mutate(kernels/cuda/shrink.cu
  "  block_barrier();  // before"
  "  if (!mutant_is(\"shrink_has_no_barrier_before_reuse\")) block_barrier();  // before"
  shrink_has_no_barrier_before_reuse)
slora_mutate(kernels/cuda/shrink.cu
  "i < list.item_count;"
  "i < list.item_count + (mutant_is(\"shrink_reads_past_the_items\") ? 1 : 0);"
  shrink_reads_past_the_items)
slora_mutate(kernels/cuda/shrink.cu
  "i += block_count()"
  "i += (mutant_is(\"shrink_forgets_items\") ? 2 : 1) * block_count()"
  shrink_forgets_items)
slora_mutate(kernels/cuda/shrink.cu
  "item.row_count <= 16"
  "item.row_count <= (mutant_is(\"shrink_takes_17_rows_for_16\") ? 17 : 16)"
  shrink_takes_17_rows_for_16)
slora_mutate(kernels/cuda/shrink.cu
  "item.row_begin < row_end; item.row_begin += 16"
  "item.row_begin < row_end; item.row_begin += (mutant_is(\"shrink_forgets_parts_of_the_rows\") ? 32 : 16)"
  shrink_forgets_parts_of_the_rows)
slora_mutate(kernels/cuda/matrix_row.h
  "while (column >= piece->col_begin + piece->col_count)"
  "while (column >= piece->col_begin + piece->col_count + (mutant_is(\"shrink_keeps_to_the_first_columns\") ? 1 : 0))"
  shrink_keeps_to_the_first_columns)
slora_mutate(kernels/cuda/shrink.cu
  "if constexpr (!kWideRows) find_rows(k);"
  "if (!kWideRows && !mutant_is(\"shrink_finds_columns_once\")) find_rows(k);"
  shrink_finds_columns_once)
slora_mutate(kernels/cuda/shrink.cu
  "kWideX && record.is_a_wide != 0"
  "kWideX && (record.is_a_wide != 0 || mutant_is(\"shrink_takes_all_rows_for_wide\"))"
  shrink_takes_all_rows_for_wide)
slora_mutate(kernels/cuda/shrink.cu
  "[args.layer * item.table.per_layer]"
  "[(mutant_is(\"shrink_takes_the_first_layer\") ? 0 : args.layer) * item.table.per_layer]"
  shrink_takes_the_first_layer)
slora_mutate(kernels/cuda/shrink.cu
  "if (item.rank_begin >= record.shrink_rank) continue;"
  "if (item.rank_begin >= record.shrink_rank) {
      if (mutant_is(\"shrink_stops_at_a_rank_too_many\")) break;
      continue;
    }"
  shrink_stops_at_a_rank_too_many)
slora_mutate(kernels/cuda/shrink.cu
  "item.z_begin + record.z_begin + rank]"
  "item.z_begin + (mutant_is(\"shrink_forgets_a_records_columns\") ? 0 : record.z_begin) + rank]"
  shrink_forgets_a_records_columns)

slora_mutate(kernels/cuda/shrink.cu
  "record.gains->rank_gain[rank];"
  "record.gains->rank_gain[rank - (mutant_is(\"shrink_takes_the_gain_of_the_items_rank\") ? item.rank_begin : 0)];"
  shrink_takes_the_gain_of_the_items_rank)

# expand
slora_mutate(kernels/cuda/expand_tile.h
  "while (column >= piece->col_begin + piece->col_count)"
  "while (column >= piece->col_begin + piece->col_count + (mutant_is(\"expand_keeps_to_the_first_columns\") ? 2 : 0))"
  expand_keeps_to_the_first_columns)
slora_mutate(kernels/cuda/expand_tile.h
  "record.replaces_bias != 0 && args"
  "(record.replaces_bias != 0 || mutant_is(\"expand_always_replaces_the_bias\")) && !mutant_is(\"expand_never_replaces_the_bias\") && args"
  expand_always_replaces_the_bias expand_never_replaces_the_bias)
slora_mutate(kernels/cuda/expand_tile.h
  "record.replaces_bias != 0 ? 1.0f :"
  "record.replaces_bias != 0 && !mutant_is(\"expand_weights_a_bias_that_replaces\") ? 1.0f :"
  expand_weights_a_bias_that_replaces)
slora_mutate(kernels/cuda/expand_tile.h
  "args.base_bias[record.slice_begin + out]"
  "args.base_bias[(mutant_is(\"expand_replaces_another_slices_bias\") ? 0 : record.slice_begin) + out]"
  expand_replaces_another_slices_bias)
slora_mutate(kernels/cuda/expand.cu
  "if (record.is_b_wide != 0)"
  "if (record.is_b_wide != 0 || mutant_is(\"expand_takes_all_rows_for_wide\"))"
  expand_takes_all_rows_for_wide)
slora_mutate(kernels/cuda/expand.cu
  "use.table.records + args.layer * use.table.per_layer;"
  "use.table.records + (mutant_is(\"expand_takes_the_first_layer\") ? 0 : args.layer) * use.table.per_layer;"
  expand_takes_the_first_layer)
slora_mutate(kernels/cuda/expand.cu
  "record < use.table.per_layer;"
  "record < use.table.per_layer - (mutant_is(\"expand_forgets_a_record\") ? 1 : 0);"
  expand_forgets_a_record)
slora_mutate(kernels/cuda/expand_tile.h
  "use.z_begin + record.z_begin;"
  "(mutant_is(\"expand_forgets_the_adapters_columns\") ? 0 : use.z_begin) + record.z_begin;"
  expand_forgets_the_adapters_columns)
slora_mutate(kernels/cuda/expand_tile.h
  "if (row < 0 || rank >= record.expand_rank) return 0;"
  "if (row < 0 || rank >= record.expand_rank + (mutant_is(\"expand_reads_past_the_ranks_of_z\") ? 1 : 0)) return 0;"
  expand_reads_past_the_ranks_of_z)
slora_mutate(kernels/cuda/expand_tile.h
  "2 * pair >= record.expand_rank ||"
  "2 * pair >= record.expand_rank + (mutant_is(\"expand_reads_past_the_pairs\") ? 2 : 0) ||"
  expand_reads_past_the_pairs)
slora_mutate(kernels/cuda/expand_tile.h
  "out >= record.out) return words;"
  "out >= record.out + (mutant_is(\"expand_reads_past_the_outputs\") ? 4 : 0)) return words;"
  expand_reads_past_the_outputs)
slora_mutate(kernels/cuda/expand_tile.h
  "out + i < 0 || out + i >= record.out) continue;"
  "out + i < (mutant_is(\"expand_reads_before_the_slice\") ? -1 : 0) ||
          out + i >= record.out + (mutant_is(\"expand_reads_behind_the_slice\") ? 1 : 0)) continue;"
  expand_reads_before_the_slice expand_reads_behind_the_slice)
slora_mutate(kernels/cuda/expand_tile.h
  "if (2 * pair + 1 == record.expand_rank)"
  "if (2 * pair + 1 == record.expand_rank && !mutant_is(\"expand_uses_the_neighbour_of_an_odd_rank\"))"
  expand_uses_the_neighbour_of_an_odd_rank)
slora_mutate(kernels/cuda/expand_tile.h
  "while (pair >= piece->row_begin + piece->row_count)"
  "while (pair >= piece->row_begin + piece->row_count + (mutant_is(\"expand_keeps_to_the_first_piece\") ? 1 : 0))"
  expand_keeps_to_the_first_piece)
slora_mutate(kernels/cuda/expand_tile.h
  "use.weight * record.scale"
  "(mutant_is(\"expand_forgets_the_weight\") ? 1.0f : use.weight) * (mutant_is(\"expand_forgets_the_scale\") ? 1.0f : record.scale)"
  expand_forgets_the_weight expand_forgets_the_scale)
slora_mutate(kernels/cuda/expand_tile.h
  "group + 8 * (word % 2)"
  "group + 8 * (mutant_is(\"expand_swaps_words_of_z\") ? word / 2 : word % 2)"
  expand_swaps_words_of_z)
slora_mutate(kernels/cuda/expand_tile.h
  "row < item.row_count ?"
  "row < item.row_count + (mutant_is(\"expand_reads_past_the_rows_of_z\") ? 1 : 0) ?"
  expand_reads_past_the_rows_of_z)
slora_mutate(kernels/cuda/expand_tile.h
  "if (record.expand_rank <= kBothPartsRankMax) mma"
  "if (record.expand_rank <= kBothPartsRankMax && !mutant_is(\"expand_uses_the_high_part_of_z_alone\")) mma"
  expand_uses_the_high_part_of_z_alone)
slora_mutate(kernels/cuda/expand_tile.h
  "mma_m16n8k16(tile.sums[i], high, {b_first.words[i], b_second.words[i]});"
  "mma_m16n8k16(tile.sums[i], high, {mutant_is(\"expand_swaps_words_of_b\") ? b_second.words[i] : b_first.words[i],
                                      mutant_is(\"expand_swaps_words_of_b\") ? b_first.words[i] : b_second.words[i]});"
  expand_swaps_words_of_b)
slora_mutate(kernels/cuda/expand_tile.h
  "sums[i % 4][2 * half + i / 4]"
  "sums[i % 4][mutant_is(\"expand_swaps_words_of_the_sum\") ? half + i / 4 * 2 : 2 * half + i / 4]"
  expand_swaps_words_of_the_sum)
slora_mutate(kernels/cuda/expand_tile.h
  "out >= 0 && out < record.out) visit"
  "out >= (mutant_is(\"expand_reads_before_the_bias\") ? -1 : 0) &&
        out < record.out + (mutant_is(\"expand_reads_past_the_bias\") ? 1 : 0)) visit"
  expand_reads_before_the_bias expand_reads_past_the_bias)
slora_mutate(kernels/cuda/expand.cu
  "record.slice_begin < out_begin + ExpandTile::kOut &&"
  "record.slice_begin < out_begin + (mutant_is(\"expand_skips_a_slices_begin\") ? 0 : ExpandTile::kOut) &&"
  expand_skips_a_slices_begin)
slora_mutate(kernels/cuda/expand.cu
  "if (column >= args.outputs) continue;"
  "if (column >= args.outputs + (mutant_is(\"expand_writes_past_the_row\") ? 8 : 0)) continue;"
  expand_writes_past_the_row)
slora_mutate(kernels/cuda/expand.cu
  "i < kWide && i < count;"
  "i < kWide && i < count + (mutant_is(\"expand_writes_an_element_past_the_row\") ? 1 : 0);"
  expand_writes_an_element_past_the_row)
slora_mutate(kernels/cuda/expand.cu
  "if (row >= item.row_count) continue;
      float added"
  "if (row >= item.row_count + (mutant_is(\"expand_writes_past_the_rows\") ? 1 : 0)) continue;
      float added"
  expand_writes_past_the_rows)
slora_mutate(kernels/cuda/expand.cu
  "load(product, args.y + (item.row_begin + row) * args.y_stride"
  "load(product, args.y + (mutant_is(\"expand_offset_under_a_gain_has_32_bits\")
                                  ? static_cast<std::int32_t>((item.row_begin + row) * args.y_stride)
                                  : (item.row_begin + row) * args.y_stride)"
  expand_offset_under_a_gain_has_32_bits)
slora_mutate(kernels/cuda/expand.cu
  "add_eight<kWideOut>(args.y + (item.row_begin + row) * args.y_stride"
  "add_eight<kWideOut>(args.y + (mutant_is(\"expand_offset_has_32_bits\") ? static_cast<std::int32_t>((item.row_begin + row) * args.y_stride)
                                              : (item.row_begin + row) * args.y_stride)"
  expand_offset_has_32_bits)
slora_mutate(kernels/cuda/expand.cu
  "index < count;"
  "index < count + (mutant_is(\"expand_reads_past_the_items\") ? tiles : 0);"
  expand_reads_past_the_items)
slora_mutate(kernels/cuda/expand.cu
  "i < item.use_begin + item.use_count;"
  "i < item.use_begin + item.use_count - (mutant_is(\"expand_forgets_a_use\") ? 1 : 0);"
  expand_forgets_a_use)
slora_mutate(kernels/cuda/expand.cu
  "found.gain |="
  "found.gain |= !mutant_is(\"expand_forgets_the_gain\") &&"
  expand_forgets_the_gain)
slora_mutate(kernels/cuda/expand.cu
  "found.bias |="
  "found.bias |= !mutant_is(\"expand_forgets_the_bias\") &&"
  expand_forgets_the_bias)
slora_mutate(kernels/cuda/expand.cu
  "      before = tile;
      tile = {};"
  "      if (!mutant_is(\"expand_scales_the_deltas_of_others\")) before = tile;
      if (!mutant_is(\"expand_scales_the_deltas_of_others\")) tile = {};"
  expand_scales_the_deltas_of_others)
slora_mutate(kernels/cuda/expand.cu
  "if (has_gain) scale_delta"
  "if (has_gain && !mutant_is(\"expand_forgets_the_deltas_before\")) scale_delta"
  expand_forgets_the_deltas_before)
slora_mutate(kernels/cuda/expand.cu
  "record.gains->gain[out], base_bias"
  "record.gains->gain[mutant_is(\"expand_takes_the_gain_of_the_site\") ? column : out], base_bias"
  expand_takes_the_gain_of_the_site)
slora_mutate(kernels/cuda/expand.cu
  "product[0] -= base_bias;"
  "if (!mutant_is(\"expand_multiplies_the_base_bias\")) product[0] -= base_bias;"
  expand_multiplies_the_base_bias)
slora_mutate(kernels/cuda/expand.cu
  "const std::int32_t row = lane_index() / 4 + 8 * half;
      if (row >= item.row_count) continue;
      float product[1];"
  "const std::int32_t row = lane_index() / 4 + (mutant_is(\"expand_multiplies_the_first_rows_twice\") ? 0 : 8 * half);
      if (row >= item.row_count + (mutant_is(\"expand_multiplies_past_the_rows\") ? 1 : 0)) continue;
      float product[1];"
  expand_multiplies_the_first_rows_twice expand_multiplies_past_the_rows)
slora_mutate(kernels/cuda/expand_tile.h
  "tile.at(half, i) *= gain[out];"
  "tile.at(half, i) *= gain[mutant_is(\"expand_takes_the_first_delta_gain\") ? 0 : out];"
  expand_takes_the_first_delta_gain)

# scale_rows
slora_mutate(kernels/cuda/scale_rows.cu
  "if (k >= args.in) return;"
  "if (k >= args.in + (mutant_is(\"scale_rows_passes_the_columns\") ? kElements : 0)) return;"
  scale_rows_passes_the_columns)
slora_mutate(kernels/cuda/scale_rows.cu
  "if (rank >= gains.hadamard_rank) {"
  "if (rank >= gains.hadamard_rank + (mutant_is(\"scale_rows_passes_the_ranks\") ? 1 : 0)) {"
  scale_rows_passes_the_ranks)
slora_mutate(kernels/cuda/scale_rows.cu
  "kElements > 1 && record.is_a_wide != 0"
  "kElements > 1 && (record.is_a_wide != 0 || mutant_is(\"scale_rows_takes_all_rows_for_wide\"))"
  scale_rows_takes_all_rows_for_wide)
slora_mutate(kernels/cuda/scale_rows.cu
  "args.x + item.row * args.x_stride + k"
  "args.x + (mutant_is(\"scale_rows_offset_has_32_bits\") ? static_cast<std::int32_t>(item.row * args.x_stride) : item.row * args.x_stride) + k"
  scale_rows_offset_has_32_bits)
slora_mutate(kernels/cuda/scale_rows.cu
  "args.scaled + (item.place - args.op.place_begin)"
  "args.scaled + (item.place - (mutant_is(\"scale_rows_forgets_the_first_place\") ? 0 : args.op.place_begin))"
  scale_rows_forgets_the_first_place)
slora_mutate(kernels/cuda/scale_rows.cu
  "item.rank_begin + j, args.in, k"
  "(mutant_is(\"scale_rows_begins_at_the_first_rank\") && item.rank_begin > 0 ? 0 : item.rank_begin) + j, args.in, k"
  scale_rows_begins_at_the_first_rank)
slora_mutate(kernels/cuda/scale_rows.cu
  "return item.table.records[layer * item.table.per_layer];"
  "return item.table.records[(mutant_is(\"scale_rows_takes_the_first_layer\") ? 0 : layer) * item.table.per_layer];"
  scale_rows_takes_the_first_layer)
slora_mutate(kernels/cuda/scale_rows.cu
  "if (first > 0 && args.op.items[first - 1].row == row) return;"
  "if (first > 0 && args.op.items[first - 1].row == row && !mutant_is(\"add_products_adds_from_every_item\")) return;"
  add_products_adds_from_every_item)
slora_mutate(kernels/cuda/scale_rows.cu
  "i < args.op.item_count && args.op.items[i].row == row; ++i"
  "i < args.op.item_count + (mutant_is(\"add_products_passes_the_items\") ? 1 : 0) && args.op.items[i].row == row;
       i += mutant_is(\"add_products_takes_the_first_item\") ? args.op.item_count : 1"
  add_products_passes_the_items add_products_takes_the_first_item)
slora_mutate(kernels/cuda/scale_rows.cu
  "out < 0 || out >= gains.out) continue;"
  "out < (mutant_is(\"add_products_begins_before_the_slice\") ? -1 : 0) ||
        out >= gains.out + (mutant_is(\"add_products_passes_the_slice\") ? 1 : 0)) continue;"
  add_products_begins_before_the_slice add_products_passes_the_slice)
slora_mutate(kernels/cuda/scale_rows.cu
  "products[0] + (args.base_bias == nullptr ? 0.0f : args.base_bias[column])"
  "products[0] + (args.base_bias == nullptr || mutant_is(\"add_products_forgets_the_bias\") ? 0.0f : args.base_bias[column])"
  add_products_forgets_the_bias)
slora_mutate(kernels/cuda/scale_rows.cu
  "item.weight * record.scale * (gains.delta_gain == nullptr ?"
  "(mutant_is(\"add_products_forgets_the_weight\") ? 1.0f : item.weight) * record.scale *
                           (gains.delta_gain == nullptr || mutant_is(\"add_products_forgets_the_delta_gain\") ?"
  add_products_forgets_the_weight add_products_forgets_the_delta_gain)
slora_mutate(kernels/cuda/scale_rows.cu
  "j < item.count && item.rank_begin + j < gains.hadamard_rank; ++j"
  "j < item.count && item.rank_begin + j < gains.hadamard_rank + (mutant_is(\"add_products_passes_the_ranks\") ? 1 : 0); ++j"
  add_products_passes_the_ranks)
slora_mutate(kernels/cuda/scale_rows.cu
  "column = 2 * out + rank % 2;"
  "column = 2 * out + (mutant_is(\"add_products_takes_even_ranks\") ? 0 : rank % 2);"
  add_products_takes_even_ranks)
slora_mutate(kernels/cuda/scale_rows.cu
  "products[j * stride]"
  "products[mutant_is(\"add_products_takes_the_first_product\") ? 0 : j * stride]"
  add_products_takes_the_first_product)
slora_mutate(kernels/cuda/scale_rows.cu
  "args.products + (item.place - args.op.place_begin)"
  "args.products + (item.place - (mutant_is(\"add_products_forgets_the_first_place\") ? 0 : args.op.place_begin))"
  add_products_forgets_the_first_place)
slora_mutate(kernels/cuda/scale_rows.cu
  "args.y + row * args.y_stride"
  "args.y + (mutant_is(\"add_products_offset_has_32_bits\") ? static_cast<std::int32_t>(row * args.y_stride) : row * args.y_stride)"
  add_products_offset_has_32_bits)
slora_mutate(kernels/cuda/matrix_row.h
  "static_cast<std::int64_t>(row) * cols"
  "static_cast<std::int64_t>(row + (mutant_is(\"matrix_row_is_the_next\") ? 1 : 0)) * cols"
  matrix_row_is_the_next)
