# Seeded bugs of sample (mutants.cmake).
# Bias, penalties and bans
slora_mutate(kernels/cuda/adjust_logits.h
  "if (token(middle) < wanted)"
  "if (token(middle) < wanted + (mutant_is(\"list_search_passes_the_token\") ? 1 : 0))"
  list_search_passes_the_token)
slora_mutate(kernels/cuda/adjust_logits.h
  "begin < count && token(begin) == wanted"
  "(begin < count || mutant_is(\"list_search_reads_past_the_list\")) && token(begin) == wanted"
  list_search_reads_past_the_list)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (biases.is_repeated(i)) continue;"
  "if (biases.is_repeated(i) && !mutant_is(\"adjust_adds_a_bias_twice\")) continue;"
  adjust_adds_a_bias_twice)
slora_mutate(kernels/cuda/adjust_logits.h
  "logits[token] = logit;
  }
  block_barrier();"
  "logits[token] = logit;
  }
  if (!mutant_is(\"adjust_has_no_barrier_after_bias\")) block_barrier();"
  adjust_has_no_barrier_after_bias)
slora_mutate(kernels/cuda/adjust_logits.h
  "pending >= 0 && !counts.contains(pending)"
  "pending >= 0 && (!counts.contains(pending) || mutant_is(\"adjust_counts_pending_twice\"))"
  adjust_counts_pending_twice)
slora_mutate(kernels/cuda/adjust_logits.h
  "logit > 0 ?"
  "logit > 0 || mutant_is(\"adjust_divides_negative_logits\") ?"
  adjust_divides_negative_logits)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (!prompt.contains(counts.token(i)))"
  "if (!prompt.contains(counts.token(i)) || mutant_is(\"adjust_penalises_a_token_of_both_lists_twice\"))"
  adjust_penalises_a_token_of_both_lists_twice)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (adds_pending && !prompt.contains(pending)) penalise(pending);
    block_barrier();"
  "if (adds_pending && (!prompt.contains(pending) || mutant_is(\"adjust_penalises_pending_of_the_prompt_twice\"))) penalise(pending);
    if (!mutant_is(\"adjust_has_no_barrier_after_repetition\")) block_barrier();"
  adjust_penalises_pending_of_the_prompt_twice adjust_has_no_barrier_after_repetition)
slora_mutate(kernels/cuda/adjust_logits.h
  "(counts.token(i) == pending ? 1 : 0)"
  "(counts.token(i) == pending && !mutant_is(\"adjust_forgets_to_count_pending\") ? 1 : 0)"
  adjust_forgets_to_count_pending)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (adds_pending) penalise(pending, 1);
    block_barrier();"
  "if (adds_pending && !mutant_is(\"adjust_forgets_pending\")) penalise(pending, 1);
    if (!mutant_is(\"adjust_has_no_barrier_after_presence\")) block_barrier();"
  adjust_forgets_pending adjust_has_no_barrier_after_presence)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (!banned.is_repeated(i)) logits[banned.token(i)] = bits_to_float(0xff800000u);
  }
  block_barrier();"
  "if (!banned.is_repeated(i) || mutant_is(\"adjust_bans_a_token_twice\")) logits[banned.token(i)] = bits_to_float(0xff800000u);
  }
  if (!mutant_is(\"adjust_has_no_barrier_after_bans\")) block_barrier();"
  adjust_bans_a_token_twice adjust_has_no_barrier_after_bans)

# Cuts
slora_mutate(kernels/cuda/token_cut.h
  "(before + low < before ? 1 : 0)"
  "(before + low < before && !mutant_is(\"cut_forgets_the_carry\") ? 1 : 0)"
  cut_forgets_the_carry)
slora_mutate(kernels/cuda/token_cut.h
  "static_cast<std::uint64_t>(mine.high[place]) << 32 |"
  "static_cast<std::uint64_t>(mutant_is(\"cut_forgets_high_words\") ? 0 : mine.high[place]) << 32 |"
  cut_forgets_high_words)
slora_mutate(kernels/cuda/token_cut.h
  "if (lane_index() + distance < kWarpThreads) from_here"
  "if (lane_index() + distance < kWarpThreads || mutant_is(\"cut_sums_lanes_in_a_circle\")) from_here"
  cut_sums_lanes_in_a_circle)
slora_mutate(kernels/cuda/token_cut.h
  "if (left > from_here || left <= from_here - sum) return;"
  "if (mutant_is(\"cut_is_reached_a_lane_later\") ? left >= from_here || left < from_here - sum
                                             : left > from_here || left <= from_here - sum) return;"
  cut_is_reached_a_lane_later)
slora_mutate(kernels/cuda/token_cut.h
  "left -= from_here - sum;"
  "left -= mutant_is(\"cut_forgets_the_lanes_above\") ? 0 : from_here - sum;"
  cut_forgets_the_lanes_above)
slora_mutate(kernels/cuda/token_cut.h
  "--i) left -= bin(i);"
  "--i) left -= mutant_is(\"cut_forgets_the_bins_above\") && i > 0 ? 0 : bin(i);"
  cut_forgets_the_bins_above)
slora_mutate(kernels/cuda/token_cut.h
  "cut.low[place] = cut.high[place] = 0;
    block_barrier();"
  "cut.low[place] = cut.high[place] = 0;
    if (!mutant_is(\"cut_counts_before_bins_are_empty\")) block_barrier();"
  cut_counts_before_bins_are_empty)
slora_mutate(kernels/cuda/token_cut.h
  "if (left > total) return {};"
  "if (left > total && !mutant_is(\"cut_is_always_reached\")) return {};"
  cut_is_always_reached)
slora_mutate(kernels/cuda/token_cut.h
  "left <= of_head ? head : 0;"
  "left <= of_head || mutant_is(\"cut_is_always_in_the_head\") ? head : 0;"
  cut_is_always_in_the_head)
slora_mutate(kernels/cuda/token_cut.h
  "    left = cut.left;"
  "    if (!mutant_is(\"cut_keeps_the_first_target\")) left = cut.left;"
  cut_keeps_the_first_target)
slora_mutate(kernels/cuda/token_cut.h
  "if (key_of(logit) >= head) of_head"
  "if (key_of(logit) >= (mutant_is(\"cut_takes_all_for_the_head\") ? 0 : head)) of_head"
  cut_takes_all_for_the_head)
slora_mutate(kernels/cuda/token_cut.h
  "if (token < row.vocab) visit"
  "if (token < row.vocab + (mutant_is(\"cut_reads_past_the_row\") ? 1 : 0)) visit"
  cut_reads_past_the_row)
slora_mutate(kernels/cuda/token_cut.h
  "(!is_first && digits >>"
  "(!is_first && !mutant_is(\"cut_counts_other_digits\") && digits >>"
  cut_counts_other_digits)
slora_mutate(kernels/cuda/token_cut.h
  "    block_barrier();
    if (warp_index() == 0) choose_digit"
  "    if (!mutant_is(\"cut_chooses_before_all_counted\")) block_barrier();
    if (warp_index() == 0) choose_digit"
  cut_chooses_before_all_counted)
slora_mutate(kernels/cuda/token_cut.h
  "choose_digit(cut, left);
    block_barrier();"
  "choose_digit(cut, left);
    if (!mutant_is(\"cut_reads_before_the_digit_is_chosen\")) block_barrier();"
  cut_reads_before_the_digit_is_chosen)
slora_mutate(kernels/cuda/token_cut.h
  "part_begin + part < end ? part_begin + part : end"
  "part_begin + part < end || mutant_is(\"find_reads_past_the_tokens\") ? part_begin + part : end"
  find_reads_past_the_tokens)
slora_mutate(kernels/cuda/token_cut.h
  "mine.of_warps[warp] < left; ++warp) left -= mine.of_warps[warp];"
  "mine.of_warps[warp] < left + (mutant_is(\"find_goes_past_the_target\") ? 1 : 0); ++warp)
      left -= mutant_is(\"find_forgets_the_warps_before\") ? 0 : mine.of_warps[warp];"
  find_goes_past_the_target find_forgets_the_warps_before)

# sample
slora_mutate(kernels/cuda/sample.cu
  "index >= *args.how.row_count"
  "index >= *args.how.row_count + (mutant_is(\"sample_reads_padding\") ? 1 : 0)"
  sample_reads_padding)
slora_mutate(kernels/cuda/sample.cu
  "args.logits + index * args.stride"
  "args.logits + (mutant_is(\"sample_offset_has_32_bits\") ? static_cast<std::int32_t>(index * args.stride) : index * args.stride)"
  sample_offset_has_32_bits)
slora_mutate(kernels/cuda/sample.cu
  "args.scratch + index * args.scratch_stride"
  "args.scratch + (mutant_is(\"sample_scratch_offset_has_32_bits\") ? static_cast<std::int32_t>(index * args.scratch_stride)
      : mutant_is(\"sample_rows_share_their_scratch\") ? 0 : index * args.scratch_stride)"
  sample_scratch_offset_has_32_bits sample_rows_share_their_scratch)
slora_mutate(kernels/cuda/sample.cu
  "scratch[token] = row.at(token);
    block_barrier();"
  "scratch[token] = row.at(token);
    if (!mutant_is(\"sample_adjusts_before_all_is_copied\")) block_barrier();"
  sample_adjusts_before_all_is_copied)
slora_mutate(kernels/cuda/sample.cu
  "token < row.vocab; token += kTokenThreads) scratch"
  "token < row.vocab + (mutant_is(\"sample_copies_past_the_row\") ? 1 : 0); token += kTokenThreads) scratch"
  sample_copies_past_the_row)
slora_mutate(kernels/cuda/sample.cu
  "if (how.mask.count == 0) return -1;"
  "if (how.mask.count == 0) return mutant_is(\"sample_draws_a_banned_token\") ? token_of(first) : -1;"
  sample_draws_a_banned_token)
slora_mutate(kernels/cuda/sample.cu
  "return allows(how, args, token) ? row.order(token) : 0;"
  "return allows(how, args, token) || mutant_is(\"sample_falls_back_to_a_masked_token\") ? row.order(token) : 0;"
  sample_falls_back_to_a_masked_token)
slora_mutate(kernels/cuda/adjust_logits.h
  "if (row.mask.count > 0) {"
  "if (row.mask.count > 0 && !mutant_is(\"sample_ignores_the_mask\")) {"
  sample_ignores_the_mask)
slora_mutate(kernels/cuda/sample.cu
  "weight(token, logit) >= weight_min"
  "(mutant_is(\"sample_min_p_excludes_the_bound\") ? weight(token, logit) > weight_min : weight(token, logit) >= weight_min)"
  sample_min_p_excludes_the_bound)
slora_mutate(kernels/cuda/sample.cu
  "order_of(key_of(logit), token) >= bound ?"
  "order_of(key_of(logit), token) > bound - (mutant_is(\"sample_cut_excludes_the_bound\") ? 0 : 1) ?"
  sample_cut_excludes_the_bound)
slora_mutate(kernels/cuda/sample.cu
  "kept.bound = static_cast<TokenOrder>(cut.key) << 32;"
  "kept.bound = static_cast<TokenOrder>(cut.key + (mutant_is(\"sample_top_k_drops_equals\") ? 1 : 0)) << 32;"
  sample_top_k_drops_equals)
slora_mutate(kernels/cuda/sample.cu
  "kept.bound = order_of(cut.key, last);"
  "kept.bound = order_of(cut.key, mutant_is(\"sample_top_p_keeps_all_equals\") ? kept.row.vocab : last);"
  sample_top_p_keeps_all_equals)
slora_mutate(kernels/cuda/sample.cu
  "mix(mix(how.seed) ^ counter) >> 11 << 11"
  "(mutant_is(\"sample_mixes_once\") ? mix(how.seed ^ counter) : mix(mix(how.seed) ^ counter)) >> 11 << 11"
  sample_mixes_once)
slora_mutate(kernels/cuda/sample.cu
  "const float normaliser = log_sum(row, logit_of(first), mine.tokens);"
  "const TokenRow adjusted{args.scratch + index * args.scratch_stride, args.vocab};
  const float normaliser = log_sum(mutant_is(\"sample_logprobs_are_of_adjusted_logits\") && adjusts_logits(how) ? adjusted : row,
      logit_of(first), mine.tokens);"
  sample_logprobs_are_of_adjusted_logits)
