# Seeded bugs of score, and of what it shares with sample (mutants.cmake).
# The order of tokens, and what blocks compute together
slora_mutate(kernels/cuda/token_order.h
  "if (logit != logit) return kNanKey;"
  "if (logit != logit && !mutant_is(\"order_forgets_nan\")) return kNanKey;"
  order_forgets_nan)
slora_mutate(kernels/cuda/token_order.h
  "bits >> 31 != 0 ? ~bits :"
  "bits >> 31 != 0 && !mutant_is(\"order_turns_negative_logits\") ? ~bits :"
  order_turns_negative_logits)
slora_mutate(kernels/cuda/token_order.h
  "<< 32 | ~static_cast<std::uint32_t>(token)"
  "<< 32 | (mutant_is(\"order_takes_the_last_of_equals\") ? static_cast<std::uint32_t>(token) : ~static_cast<std::uint32_t>(token))"
  order_takes_the_last_of_equals)
slora_mutate(kernels/cuda/token_order.h
  "logits[token] < kLargestLogit ?"
  "logits[token] < kLargestLogit || mutant_is(\"row_keeps_infinity\") ?"
  row_keeps_infinity)
slora_mutate(kernels/cuda/token_order.h
  "  block_barrier();  // all have read what was shared before"
  "  if (!mutant_is(\"tokens_overwrite_what_is_read\")) block_barrier();"
  tokens_overwrite_what_is_read)
slora_mutate(kernels/cuda/token_order.h
  "mine.of_warps[warp_index()] = value;
  block_barrier();"
  "mine.of_warps[warp_index()] = value;
  if (!mutant_is(\"tokens_read_before_all_wrote\")) block_barrier();"
  tokens_read_before_all_wrote)
slora_mutate(kernels/cuda/token_order.h
  "std::int32_t warp = 1; warp < kTokenWarps;"
  "std::int32_t warp = 1; warp < kTokenWarps - (mutant_is(\"tokens_forget_a_warp\") ? 1 : 0);"
  tokens_forget_a_warp)
slora_mutate(kernels/cuda/token_order.h
  "std::int32_t mask = kWarpThreads / 2;"
  "std::int32_t mask = kWarpThreads / (mutant_is(\"tokens_forget_half_a_warp\") ? 4 : 2);"
  tokens_forget_half_a_warp)
slora_mutate(kernels/cuda/token_order.h
  "static_cast<std::uint32_t>(value >> 32), lane);"
  "static_cast<std::uint32_t>(value >> 32), mutant_is(\"tokens_mix_halves\") ? lane_index() : lane);"
  tokens_mix_halves)
slora_mutate(kernels/cuda/token_order.h
  "token < vocab; token += kTokenThreads) {
    const TokenOrder found"
  "token < vocab + (mutant_is(\"order_reads_past_the_row\") ? 1 : 0); token += kTokenThreads) {
    const TokenOrder found"
  order_reads_past_the_row)
slora_mutate(kernels/cuda/token_order.h
  "if (found < limit &&"
  "if ((found < limit || (mutant_is(\"order_repeats_a_token\") && found == limit)) &&"
  order_repeats_a_token)
slora_mutate(kernels/cuda/token_order.h
  "mine, as_it_is);
  if (key_of(first) < kLowestFiniteKey) return 0;"
  "mine, as_it_is);
  if (key_of(first) < kLowestFiniteKey && !mutant_is(\"row_of_infinities_gives_a_token\")) return 0;"
  row_of_infinities_gives_a_token)
slora_mutate(kernels/cuda/token_order.h
  "token < row.vocab; token += kTokenThreads) {
    sum +="
  "token < row.vocab + (mutant_is(\"log_sum_reads_past_the_row\") ? 1 : 0); token += kTokenThreads) {
    sum +="
  log_sum_reads_past_the_row)
slora_mutate(kernels/cuda/token_order.h
  "written < count && key_of"
  "written < count + (mutant_is(\"top_list_is_longer\") ? 1 : 0) && key_of"
  top_list_is_longer)
slora_mutate(kernels/cuda/token_order.h
  "key_of(next) >= kLowestFiniteKey; ++written"
  "(key_of(next) >= kLowestFiniteKey || (mutant_is(\"top_list_holds_banned_tokens\") && next != 0)); ++written"
  top_list_holds_banned_tokens)
slora_mutate(kernels/cuda/token_order.h
  "    if (thread_index() == 0) out.top[written] ="
  "    if (thread_index() == 0 || mutant_is(\"top_list_is_written_by_all\")) out.top[written] ="
  top_list_is_written_by_all)

# score
slora_mutate(kernels/cuda/score.cu
  "block_index() >= *args.row_count"
  "block_index() >= *args.row_count + (mutant_is(\"score_reads_padding\") ? 1 : 0)"
  score_reads_padding)
slora_mutate(kernels/cuda/score.cu
  "row.order(token) > own"
  "row.order(token) >= (mutant_is(\"score_ranks_from_two\") ? own : own + 1)"
  score_ranks_from_two)
slora_mutate(kernels/cuda/score.cu
  "token < row.vocab; token"
  "token < row.vocab + (mutant_is(\"score_ranks_past_the_row\") ? 1 : 0); token"
  score_ranks_past_the_row)
