# The standing list of seeded bugs of the kernels. Their checks, with every access watched, have to notice each of them (mutants_main.cc):
# by a wrong number, or by a fault that the emulator reports.
include(mutation)

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
  "args.tokens.sampled[-1 - id]"
  "args.tokens.sampled[(mutant_is(\"embed_reads_the_next_rows_token\") ? 0 : -1) - id]"
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

# linear
slora_mutate(kernels/cuda/linear.cu
  "    wait_copies<1>();
    block_barrier();"
  "    if (mutant_is(\"linear_waits_for_an_older_stage\")) {
      wait_copies<2>();
    } else if (!mutant_is(\"linear_does_not_wait\")) {
      wait_copies<1>();
    }
    if (!mutant_is(\"linear_has_no_barrier_before_reading\")) block_barrier();"
  linear_waits_for_an_older_stage linear_does_not_wait linear_has_no_barrier_before_reading)
slora_mutate(kernels/cuda/linear.cu
  "    block_barrier();  // before"
  "    if (!mutant_is(\"linear_has_no_barrier_before_reuse\")) block_barrier();  // before"
  linear_has_no_barrier_before_reuse)
slora_mutate(kernels/cuda/linear.cu
  "    commit_copies();  // the last"
  "    if (step + 1 < steps || !mutant_is(\"linear_commits_no_empty_group\")) commit_copies();  // the last"
  linear_commits_no_empty_group)
slora_mutate(kernels/cuda/linear.cu
  "if (step + 1 < steps) copy_stage(step + 1);"
  "if (step + (mutant_is(\"linear_copies_a_stage_nobody_needs\") ? 0 : 1) < steps) copy_stage(step + 1);"
  linear_copies_a_stage_nobody_needs)
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
  "to.chunks[row][chunk ^ row % 8]"
  "to.chunks[row][chunk ^ (mutant_is(\"linear_tiles_lie_in_the_same_banks\") ? 0 : row % 8)]"
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
  "sums[m][n][2 * half], sums"
  "sums[m][n][mutant_is(\"linear_swaps_words_of_the_sum\") ? half : 2 * half], sums"
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
  "column + 1 < args.out)"
  "column + 1 < args.out + (mutant_is(\"linear_writes_a_pair_past_the_row\") ? 1 : 0))"
  linear_writes_a_pair_past_the_row)
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
  "if (rank >= record.rank) return nullptr;"
  "if (rank >= record.rank + (mutant_is(\"shrink_reads_past_the_ranks\") ? 1 : 0)) return nullptr;"
  shrink_reads_past_the_ranks)
slora_mutate(kernels/cuda/shrink.cu
  "while (rank >= piece->row_begin + piece->row_count)"
  "while (rank >= piece->row_begin + piece->row_count + (mutant_is(\"shrink_keeps_to_the_first_piece\") ? 1 : 0))"
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
  "8 * (i / 2) + group;"
  "8 * (mutant_is(\"shrink_swaps_words_of_the_sum\") ? i % 2 : i / 2) + group;"
  shrink_swaps_words_of_the_sum)
slora_mutate(kernels/cuda/shrink.cu
  "if (row >= item.row_count) continue;"
  "if (row >= item.row_count + (mutant_is(\"shrink_writes_past_the_rows\") ? 1 : 0)) continue;"
  shrink_writes_past_the_rows)
slora_mutate(kernels/cuda/shrink.cu
  "static_cast<std::int64_t>(item.split) * args.rows"
  "static_cast<std::int64_t>(mutant_is(\"shrink_forgets_the_split\") ? 0 : item.split) * args.rows"
  shrink_forgets_the_split)
slora_mutate(kernels/cuda/shrink.cu
  "if (rank < record.rank) z"
  "if (rank < record.rank + (mutant_is(\"shrink_writes_past_the_ranks\") ? 1 : 0)) z"
  shrink_writes_past_the_ranks)
slora_mutate(kernels/cuda/shrink.cu
  "i < item_count;"
  "i < item_count + (mutant_is(\"shrink_reads_past_the_items\") ? 1 : 0);"
  shrink_reads_past_the_items)
slora_mutate(kernels/cuda/shrink.cu
  "i += block_count() * kWarps"
  "i += (mutant_is(\"shrink_forgets_items\") ? 2 : 1) * block_count() * kWarps"
  shrink_forgets_items)
slora_mutate(kernels/cuda/shrink.cu
  "item.row_count <= 16"
  "item.row_count <= (mutant_is(\"shrink_takes_17_rows_for_16\") ? 17 : 16)"
  shrink_takes_17_rows_for_16)

# Loads and stores of eight elements
slora_mutate(kernels/cuda/elements.h
  "values[i] = bits_to_float(eight.words[i / 2] << 16);"
  "values[i] = bits_to_float(mutant_is(\"low_and_high_halves_are_swapped\") ? eight.words[i / 2] & 0xffff0000u : eight.words[i / 2] << 16);"
  low_and_high_halves_are_swapped)
slora_mutate(kernels/cuda/elements.h
  "values[i + j] = bits_to_float(four.words[j]);"
  "values[i + j] = bits_to_float(four.words[mutant_is(\"words_are_reversed\") ? 3 - j : j]);"
  words_are_reversed)

slora_mutated_sources(mutated)
set_source_files_properties(${mutated} PROPERTIES LANGUAGE CXX)
add_executable(kernels_cuda_mutants EXCLUDE_FROM_ALL testing/mutants/mutants_main.cc ${mutated})
target_include_directories(kernels_cuda_mutants BEFORE PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/mutants/src")
target_link_libraries(kernels_cuda_mutants PRIVATE slora_kernels_cuda_testing)
target_compile_options(kernels_cuda_mutants PRIVATE -O1 -w -fsanitize=thread)
slora_mutant_tests(kernels_cuda_mutants CudaMutant)
