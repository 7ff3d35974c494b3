# Seeded bugs of attend (mutants.cmake).
slora_mutate(kernels/cuda/attend.cu
  "      wait_copies<1>();
      warp_barrier();"
  "      if (mutant_is(\"attend_waits_for_an_older_stage\")) {
        wait_copies<2>();
      } else if (!mutant_is(\"attend_does_not_wait\")) {
        wait_copies<1>();
      }
      if (!mutant_is(\"attend_has_no_barrier_before_reading\")) warp_barrier();"
  attend_waits_for_an_older_stage attend_does_not_wait attend_has_no_barrier_before_reading)
slora_mutate(kernels/cuda/attend.cu
  "      warp_barrier();  // before"
  "      if (!mutant_is(\"attend_has_no_barrier_before_reuse\")) warp_barrier();  // before"
  attend_has_no_barrier_before_reuse)
slora_mutate(kernels/cuda/attend.cu
  "      commit_copies();  // the last"
  "      if (block_begin(step + 1) < key_end || !mutant_is(\"attend_commits_no_empty_group\")) commit_copies();  // the last"
  attend_commits_no_empty_group)
slora_mutate(kernels/cuda/attend.cu
  "    block_barrier();
    join_parts"
  "    if (!mutant_is(\"attend_joins_before_all_have_left\")) block_barrier();
    join_parts"
  attend_joins_before_all_have_left)
slora_mutate(kernels/cuda/attend.cu
  "    block_barrier();  // before"
  "    if (!mutant_is(\"attend_begins_before_all_have_joined\")) block_barrier();  // before"
  attend_begins_before_all_have_joined)
slora_mutate(kernels/cuda/attend.cu
  "if (key < key_end) {"
  "if (key < key_end + (mutant_is(\"attend_reads_past_the_pages\") ? 16 : 0)) {"
  attend_reads_past_the_pages)
slora_mutate(kernels/cuda/attend.cu
  "const bool exists = key < key_end && column < layer.head_dim;"
  "const bool exists = key < key_end + (mutant_is(\"attend_copies_past_the_keys\") ? 1 : 0) &&
                          column < layer.head_dim + (mutant_is(\"attend_copies_past_the_columns\") ? 8 : 0);"
  attend_copies_past_the_keys attend_copies_past_the_columns)
slora_mutate(kernels/cuda/attend.cu
  "layer.base + page * layer.page_bytes + offset"
  "layer.base + offset + (mutant_is(\"attend_offset_has_32_bits\")
             ? static_cast<std::uint32_t>(page * layer.page_bytes) : page * layer.page_bytes)"
  attend_offset_has_32_bits)
slora_mutate(kernels/cuda/attend.cu
  "to.chunks[row][chunk ^ row % 8]"
  "to.chunks[row][chunk ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend.cu
  "keys.chunks[row][(2 * k + lane / 8 % 2) ^ row % 8]"
  "keys.chunks[row][(2 * k + lane / 8 % 2) ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend.cu
  "values.chunks[row][(2 * n + lane / 16) ^ row % 8]"
  "values.chunks[row][(2 * n + lane / 16) ^ (mutant_is(\"attend_keys_lie_in_the_same_banks\") ? 0 : row % 8)]"
  attend_keys_lie_in_the_same_banks)
slora_mutate(kernels/cuda/attend.cu
  "row >= item.query_count * args.group ||"
  "row >= item.query_count * args.group + (mutant_is(\"attend_reads_past_the_queries\") ? args.group : 0) ||"
  attend_reads_past_the_queries)
slora_mutate(kernels/cuda/attend.cu
  "column >= args.layer.head_dim) continue;"
  "column >= args.layer.head_dim + (mutant_is(\"attend_reads_past_the_head\") ? 2 : 0)) continue;"
  attend_reads_past_the_head)
slora_mutate(kernels/cuda/attend.cu
  "mma_m16n8k16(scores[0], queries[k], {b[0], b[1]});"
  "mma_m16n8k16(scores[0], queries[k], {b[mutant_is(\"attend_swaps_words_of_k\") ? 1 : 0],
                                           b[mutant_is(\"attend_swaps_words_of_k\") ? 0 : 1]});"
  attend_swaps_words_of_k)
slora_mutate(kernels/cuda/attend.cu
  "mma_m16n8k16(running.sums[2 * n], weights, {b[0], b[1]});"
  "mma_m16n8k16(running.sums[2 * n], weights, {b[mutant_is(\"attend_swaps_words_of_v\") ? 1 : 0],
                                                   b[mutant_is(\"attend_swaps_words_of_v\") ? 0 : 1]});"
  attend_swaps_words_of_v)
slora_mutate(kernels/cuda/attend.cu
  "weights[2 * n + half]"
  "weights[mutant_is(\"attend_swaps_words_of_the_weights\") ? n + 2 * half : 2 * n + half]"
  attend_swaps_words_of_the_weights)
slora_mutate(kernels/cuda/attend.cu
  "key <= position &&"
  "key <= position + (mutant_is(\"attend_sees_the_next_key\") ? 1 : 0) - (mutant_is(\"attend_does_not_see_itself\") ? 1 : 0) &&"
  attend_sees_the_next_key attend_does_not_see_itself)
slora_mutate(kernels/cuda/attend.cu
  "key > position - args.op.window)"
  "key > position - args.op.window - (mutant_is(\"attend_window_is_one_longer\") ? 1 : 0))"
  attend_window_is_one_longer)
slora_mutate(kernels/cuda/attend.cu
  "first - args.op.window + 1) / kAll * kAll;"
  "first - args.op.window + (mutant_is(\"attend_skips_the_windows_first_keys\") ? 64 : 1)) / kAll * kAll;"
  attend_skips_the_windows_first_keys)
slora_mutate(kernels/cuda/attend.cu
  "maximum = larger(maximum, shuffle_xor(maximum, 2));"
  "if (!mutant_is(\"attend_maximum_is_of_half_the_lanes\")) maximum = larger(maximum, shuffle_xor(maximum, 2));"
  attend_maximum_is_of_half_the_lanes)
slora_mutate(kernels/cuda/attend.cu
  "running.weight[half] *= correction;"
  "if (!mutant_is(\"attend_weights_keep_the_old_maximum\")) running.weight[half] *= correction;"
  attend_weights_keep_the_old_maximum)
slora_mutate(kernels/cuda/attend.cu
  "running.sums[n][2 * half] *= correction;"
  "if (!mutant_is(\"attend_sums_keep_the_old_maximum\")) running.sums[n][2 * half] *= correction;"
  attend_sums_keep_the_old_maximum)
slora_mutate(kernels/cuda/attend.cu
  "weight += shuffle_xor(weight, 2);"
  "if (!mutant_is(\"attend_weight_is_of_half_the_lanes\")) weight += shuffle_xor(weight, 2);"
  attend_weight_is_of_half_the_lanes)
slora_mutate(kernels/cuda/attend.cu
  "    float sum = 0, weight = 0;
    for (std::int32_t warp = 0;"
  "    float sum = 0, weight = 0;
    for (std::int32_t warp = mutant_is(\"attend_forgets_a_warps_part\") ? 1 : 0;"
  attend_forgets_a_warps_part)
slora_mutate(kernels/cuda/attend.cu
  "const float factor = power_of_two(mine.maxima[warp][row] - maximum);"
  "const float factor = mutant_is(\"attend_joins_without_maxima\") ? 1 : power_of_two(mine.maxima[warp][row] - maximum);"
  attend_joins_without_maxima)
slora_mutate(kernels/cuda/attend.cu
  "i < item.query_count * args.group * kDim;"
  "i < (item.query_count * args.group + (mutant_is(\"attend_writes_past_the_queries\") ? 1 : 0)) * kDim;"
  attend_writes_past_the_queries)
slora_mutate(kernels/cuda/attend.cu
  "if (column >= head_dim) continue;"
  "if (column >= head_dim + (mutant_is(\"attend_writes_past_the_head\") ? 1 : 0)) continue;"
  attend_writes_past_the_head)
