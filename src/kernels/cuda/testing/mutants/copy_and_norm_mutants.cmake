# Seeded bugs of the kernels that are limited by memory (mutants.cmake).
# copy_pages
slora_mutate(kernels/cuda/copy_pages.cu
  "if (i + j * step < count) pieces"
  "if (i + j * step < count + (mutant_is(\"copy_reads_past_the_page\") ? 1 : 0)) pieces"
  copy_reads_past_the_page)
slora_mutate(kernels/cuda/copy_pages.cu
  "if (i + j * step < count) to"
  "if (i + j * step < count + (mutant_is(\"copy_writes_past_the_page\") ? 1 : 0)) to"
  copy_writes_past_the_page)
slora_mutate(kernels/cuda/copy_pages.cu
  "args.base + pair.to * args.page_bytes"
  "args.base + (mutant_is(\"copy_target_has_32_bits\") ? static_cast<std::uint32_t>(pair.to * args.page_bytes) : pair.to * args.page_bytes)"
  copy_target_has_32_bits)
slora_mutate(kernels/cuda/copy_pages.cu
  "args.base + pair.from * args.page_bytes"
  "args.base + (mutant_is(\"copy_source_has_32_bits\")
      ? static_cast<std::uint32_t>(pair.from * args.page_bytes) : pair.from * args.page_bytes)"
  copy_source_has_32_bits)
slora_mutate(kernels/cuda/copy_pages.cu
  "block_index() % args.blocks_per_page * kThreads"
  "(mutant_is(\"copy_blocks_share_their_part\") ? 0 : block_index() % args.blocks_per_page) * kThreads"
  copy_blocks_share_their_part)
slora_mutate(kernels/cuda/copy_pages.cu
  "i += kLoads * step"
  "i += (mutant_is(\"copy_steps_too_far\") ? 2 : 1) * kLoads * step"
  copy_steps_too_far)

# fill
slora_mutate(kernels/cuda/fill.cu
  "if (column >= cols)"
  "if (column >= cols + (mutant_is(\"fill_writes_past_the_row\") ? 1 : 0))"
  fill_writes_past_the_row)
slora_mutate(kernels/cuda/fill.cu
  "out + block_index() / blocks_per_row * stride + column"
  "out + (mutant_is(\"fill_offset_has_32_bits\")
      ? static_cast<std::int32_t>(block_index() / blocks_per_row * stride) : block_index() / blocks_per_row * stride) + column"
  fill_offset_has_32_bits)

# gather_rows
slora_mutate(kernels/cuda/gather_rows.cu
  "row >= *args.row_count ||"
  "row >= *args.row_count + (mutant_is(\"gather_reads_padding\") ? 1 : 0) ||"
  gather_reads_padding)
slora_mutate(kernels/cuda/gather_rows.cu
  "|| column >= args.cols)"
  "|| column >= args.cols + (mutant_is(\"gather_writes_past_the_row\") ? 1 : 0))"
  gather_writes_past_the_row)
slora_mutate(kernels/cuda/gather_rows.cu
  "args.rows[row] * args.in_stride"
  "(mutant_is(\"gather_takes_rows_as_they_stand\") ? row
      : args.rows[row]) * (mutant_is(\"gather_source_has_32_bits\") ? 0 : args.in_stride)
      + (mutant_is(\"gather_source_has_32_bits\") ? static_cast<std::int32_t>(args.rows[row] * args.in_stride) : 0)"
  gather_takes_rows_as_they_stand gather_source_has_32_bits)
slora_mutate(kernels/cuda/gather_rows.cu
  "args.out[row * args.out_stride + column]"
  "args.out[(mutant_is(\"gather_target_has_32_bits\") ? static_cast<std::int32_t>(row * args.out_stride)
      : row * args.out_stride) + column]"
  gather_target_has_32_bits)
slora_mutate(kernels/cuda/gather_rows.cu
  "block_index() % args.blocks_per_row * kThreads"
  "(mutant_is(\"gather_blocks_share_their_part\") ? 0 : block_index() % args.blocks_per_row) * kThreads"
  gather_blocks_share_their_part)

# gated
slora_mutate(kernels/cuda/gated.cu
  "row >= *args.row_count ||"
  "row >= *args.row_count + (mutant_is(\"gated_reads_padding\") ? 1 : 0) ||"
  gated_reads_padding)
slora_mutate(kernels/cuda/gated.cu
  "|| column >= args.cols)"
  "|| column >= args.cols + (mutant_is(\"gated_writes_past_the_row\") ? 1 : 0))"
  gated_writes_past_the_row)
slora_mutate(kernels/cuda/gated.cu
  "load(up, in + args.cols)"
  "load(up, in + (mutant_is(\"gated_takes_gate_for_up\") ? 0 : args.cols))"
  gated_takes_gate_for_up)
slora_mutate(kernels/cuda/gated.cu
  "power_of_two(-kLog2E * x)"
  "power_of_two((mutant_is(\"gated_turns_the_sign\") ? kLog2E : -kLog2E) * x)"
  gated_turns_the_sign)
slora_mutate(kernels/cuda/gated.cu
  "args.gate_up + row * args.in_stride"
  "args.gate_up + (mutant_is(\"gated_source_has_32_bits\") ? static_cast<std::int32_t>(row * args.in_stride) : row * args.in_stride)"
  gated_source_has_32_bits)
slora_mutate(kernels/cuda/gated.cu
  "args.out + row * args.out_stride"
  "args.out + (mutant_is(\"gated_target_has_32_bits\") ? static_cast<std::int32_t>(row * args.out_stride) : row * args.out_stride)"
  gated_target_has_32_bits)
slora_mutate(kernels/cuda/gated.cu
  "block_index() % args.blocks_per_row * kThreads"
  "(mutant_is(\"gated_blocks_share_their_part\") ? 0 : block_index() % args.blocks_per_row) * kThreads"
  gated_blocks_share_their_part)

# embed
slora_mutate(kernels/cuda/embed.cu
  "if (row >= *args.tokens.row_count)"
  "if (row >= *args.tokens.row_count + (mutant_is(\"embed_reads_padding\") ? 1 : 0))"
  embed_reads_padding)
slora_mutate(kernels/cuda/embed.cu
  "id >= 0 ?"
  "id >= (mutant_is(\"embed_first_token_is_sampled\") ? 1 : 0) ?"
  embed_first_token_is_sampled)
slora_mutate(kernels/cuda/embed.cu
  "args.tokens.sampled[-1 - id].id"
  "args.tokens.sampled[(mutant_is(\"embed_reads_the_next_rows_token\") ? 0 : -1) - id].id"
  embed_reads_the_next_rows_token)
slora_mutate(kernels/cuda/embed.cu
  "token >= 0 &&"
  "token >= (mutant_is(\"embed_loses_the_shards_first_token\") ? 1 : 0) &&"
  embed_loses_the_shards_first_token)
slora_mutate(kernels/cuda/embed.cu
  "token < args.token_count;"
  "token < args.token_count + (mutant_is(\"embed_reads_past_the_table\") ? 1 : 0);"
  embed_reads_past_the_table)
slora_mutate(kernels/cuda/embed.cu
  "column < args.hidden"
  "column < args.hidden + (mutant_is(\"embed_writes_past_the_row\") ? 1 : 0)"
  embed_writes_past_the_row)
slora_mutate(kernels/cuda/embed.cu
  "args.out + row * args.out_stride"
  "args.out + (mutant_is(\"embed_target_has_32_bits\") ? static_cast<std::int32_t>(row * args.out_stride) : row * args.out_stride)"
  embed_target_has_32_bits)
slora_mutate(kernels/cuda/embed.cu
  "(has_row ? token : 0) * args.table_stride"
  "(mutant_is(\"embed_table_has_32_bits\") ? static_cast<std::int32_t>((has_row ? token : 0) * args.table_stride) : (has_row
      ? token : 0) * args.table_stride)"
  embed_table_has_32_bits)

# rms_norm
slora_mutate(kernels/cuda/rms_norm.cu
  "  block_barrier();"
  "  if (!mutant_is(\"norm_has_no_barrier\")) block_barrier();"
  norm_has_no_barrier)
slora_mutate(kernels/cuda/rms_norm.cu
  "if (lane_index() == 0) mine.sums"
  "if (lane_index() == 0 || mutant_is(\"norm_all_lanes_write_the_sum\")) mine.sums"
  norm_all_lanes_write_the_sum)
slora_mutate(kernels/cuda/rms_norm.cu
  "std::int32_t warp = 0; warp < thread_count() / kWarpThreads"
  "std::int32_t warp = mutant_is(\"norm_forgets_a_warps_sum\") ? 1 : 0;
       warp < thread_count() / kWarpThreads + (mutant_is(\"norm_sums_too_many_warps\") ? 1 : 0)"
  norm_forgets_a_warps_sum norm_sums_too_many_warps)
slora_mutate(kernels/cuda/rms_norm.cu
  "const std::int32_t row = block_index();
  if (row >= *args.row_count)"
  "const std::int32_t row = block_index();
  if (row >= *args.row_count + (mutant_is(\"norm_reads_padding\") ? 1 : 0))"
  norm_reads_padding)
slora_mutate(kernels/cuda/rms_norm.cu
  "if (column >= args.hidden) continue;
    load(values[v], in + column);"
  "if (column >= args.hidden + (mutant_is(\"norm_reads_past_the_row\") ? 1 : 0)) continue;
    load(values[v], in + column);"
  norm_reads_past_the_row)
slora_mutate(kernels/cuda/rms_norm.cu
  "if (column >= args.hidden) continue;
    float weights[kElements];"
  "if (column >= args.hidden + (mutant_is(\"norm_writes_past_the_row\") ? 1 : 0)) continue;
    float weights[kElements];"
  norm_writes_past_the_row)
slora_mutate(kernels/cuda/rms_norm.cu
  "      store(in + column, values[v]);"
  "      if (!mutant_is(\"norm_keeps_the_old_residual\")) store(in + column, values[v]);"
  norm_keeps_the_old_residual)
slora_mutate(kernels/cuda/rms_norm.cu
  "reciprocal_sqrt(mean + args.eps)"
  "reciprocal_sqrt(mean + (mutant_is(\"norm_forgets_eps\") ? 0 : args.eps))"
  norm_forgets_eps)
slora_mutate(kernels/cuda/rms_norm.cu
  "args.out + row * args.out_stride + column"
  "args.out + (mutant_is(\"norm_offset_has_32_bits\") ? static_cast<std::int32_t>(row * args.out_stride) : row * args.out_stride) + column"
  norm_offset_has_32_bits)
slora_mutate(kernels/cuda/rms_norm.cu
  "const std::int32_t row = item / args.group_count;
  if (row >= *args.row_count)"
  "const std::int32_t row = item / args.group_count;
  if (row >= *args.row_count + (mutant_is(\"groups_read_padding\") ? 1 : 0))"
  groups_read_padding)
slora_mutate(kernels/cuda/rms_norm.cu
  "in = args.in + row * args.in_stride + group * args.size"
  "in = args.in + row * args.in_stride + (mutant_is(\"groups_read_the_first\") ? 0 : group) * args.size"
  groups_read_the_first)
slora_mutate(kernels/cuda/rms_norm.cu
  "if (column >= args.size) continue;
    load(values[v], in + column);"
  "if (column >= args.size + (mutant_is(\"groups_read_their_neighbour\") ? 1 : 0)) continue;
    load(values[v], in + column);"
  groups_read_their_neighbour)
slora_mutate(kernels/cuda/rms_norm.cu
  "if (column >= args.size) continue;
    float weights[kElements];"
  "if (column >= args.size + (mutant_is(\"groups_write_their_neighbour\") ? 1 : 0)) continue;
    float weights[kElements];"
  groups_write_their_neighbour)

# rope
slora_mutate(kernels/cuda/rope.cu
  "if (row >= *args.row_count)"
  "if (row >= *args.row_count + (mutant_is(\"rope_turns_padding\") ? 1 : 0))"
  rope_turns_padding)
slora_mutate(kernels/cuda/rope.cu
  "item < args.heads * per_head"
  "item < args.heads * per_head + (mutant_is(\"rope_turns_past_the_row\") ? 1 : 0)"
  rope_turns_past_the_row)
slora_mutate(kernels/cuda/rope.cu
  "b[j] = b[j] * c[j] + first * s[j];"
  "b[j] = b[j] * c[j] + (mutant_is(\"rope_uses_the_turned_half\") ? a[j] : first) * s[j];"
  rope_uses_the_turned_half)
slora_mutate(kernels/cuda/rope.cu
  "item / per_head * 2 * args.half"
  "item / per_head * (mutant_is(\"rope_heads_overlap\") ? 1 : 2) * args.half"
  rope_heads_overlap)
slora_mutate(kernels/cuda/rope.cu
  "args.sin + args.positions[row] * args.table_stride"
  "args.sin + (mutant_is(\"rope_offset_has_32_bits\")
      ? static_cast<std::int32_t>(args.positions[row] * args.table_stride) : args.positions[row] * args.table_stride)"
  rope_offset_has_32_bits)
slora_mutate(kernels/cuda/rope.cu
  "store(head + args.half + i, b);"
  "store(head + (mutant_is(\"rope_halves_are_one\") ? 0 : args.half) + i, b);"
  rope_halves_are_one)

# store_kv
slora_mutate(kernels/cuda/store_kv.cu
  "args.spans.pages[span->page_begin + position"
  "args.spans.pages[(mutant_is(\"store_uses_the_first_sequences_pages\") ? 0 : span->page_begin) + position"
  store_uses_the_first_sequences_pages)
slora_mutate(kernels/cuda/store_kv.cu
  "layer.base + page * layer.page_bytes"
  "layer.base + (mutant_is(\"store_offset_has_32_bits\") ? static_cast<std::uint32_t>(page * layer.page_bytes) : page * layer.page_bytes)"
  store_offset_has_32_bits)
slora_mutate(kernels/cuda/store_kv.cu
  "at + layer.v_offset"
  "at + (mutant_is(\"store_writes_v_over_k\") ? layer.k_offset : layer.v_offset)"
  store_writes_v_over_k)
slora_mutate(kernels/cuda/store_kv.cu
  "column < columns"
  "column < columns + (mutant_is(\"store_reads_past_the_row\") ? 1 : 0)"
  store_reads_past_the_row)
slora_mutate(kernels/cuda/store_kv.cu
  "(head * layer.page_tokens + slot)"
  "(mutant_is(\"store_orders_by_token\") ? slot * layer.kv_heads + head : head * layer.page_tokens + slot)"
  store_orders_by_token)
slora_mutate(kernels/cuda/span_of_row.h
  "row_begin <= row"
  "row_begin <= row - (mutant_is(\"span_begins_a_row_later\") ? 1 : 0)"
  span_begins_a_row_later)
slora_mutate(kernels/cuda/span_of_row.h
  "row < span->row_begin + span->row_count"
  "row < span->row_begin + span->row_count + (mutant_is(\"span_ends_a_row_later\") ? 1 : 0)"
  span_ends_a_row_later)

# Loads and stores of eight elements
slora_mutate(kernels/cuda/elements.h
  "values[i] = bits_to_float(eight.words[i / 2] << 16);"
  "values[i] = bits_to_float(mutant_is(\"low_and_high_halves_are_swapped\") ? eight.words[i / 2] & 0xffff0000u : eight.words[i / 2] << 16);"
  low_and_high_halves_are_swapped)
slora_mutate(kernels/cuda/elements.h
  "values[i + j] = bits_to_float(four.words[j]);"
  "values[i + j] = bits_to_float(four.words[mutant_is(\"words_are_reversed\") ? 3 - j : j]);"
  words_are_reversed)
