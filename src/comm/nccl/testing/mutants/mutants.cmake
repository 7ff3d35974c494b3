# Seeded bugs of NcclCommunicator. Its tests have to notice each of them (backend/cuda/testing/mutants/mutants_main.cc).
include(mutation)

slora_mutate(comm/nccl/nccl_communicator.cc
  "std::min(rows_max, x.rows - row)"
  "mutant_is(\"a_last_row_is_forgotten\") ? std::min(rows_max, std::max<std::int64_t>(x.rows - row - 1, 1)) : std::min(rows_max, x.rows - row)"
  a_last_row_is_forgotten)
slora_mutate(comm/nccl/nccl_communicator.cc
  "to.row_stride == to.cols && from.row_stride == from.cols"
  "(to.row_stride == to.cols || mutant_is(\"rows_that_lie_apart_are_read_as_one\")) &&
                         (from.row_stride == from.cols || mutant_is(\"rows_that_lie_apart_are_read_as_one\"))"
  rows_that_lie_apart_are_read_as_one)
slora_mutate(comm/nccl/nccl_communicator.cc
  "rows.row_stride == rows.cols || rows.rows == 1"
  "rows.row_stride == rows.cols || rows.rows == 1 || mutant_is(\"sums_go_over_what_is_between_rows\")"
  sums_go_over_what_is_between_rows)
slora_mutate(comm/nccl/nccl_communicator.cc
  "if (!is_packed) copy_rows(rows, sum);"
  "if (!is_packed && !mutant_is(\"sums_stay_in_the_copy\")) copy_rows(rows, sum);"
  sums_stay_in_the_copy)
slora_mutate(comm/nccl/nccl_communicator.cc
  "rows.cols_from(shard_index() * cols, cols));"
  "rows.cols_from(mutant_is(\"every_shard_gives_the_first_columns\") ? 0 : shard_index() * cols, cols));"
  every_shard_gives_the_first_columns)
slora_mutate(comm/nccl/nccl_communicator.cc
  "if (shard == shard_index()) continue;"
  "if (shard == shard_index() || (mutant_is(\"the_last_shards_columns_are_left_out\") && shard == shard_count() - 1)) continue;"
  the_last_shards_columns_are_left_out)
slora_mutate(comm/nccl/nccl_communicator.cc
  "static_cast<std::size_t>(shard - 1) * count"
  "static_cast<std::size_t>(mutant_is(\"all_columns_are_those_of_shard_1\") ? 0 : shard - 1) * count"
  all_columns_are_those_of_shard_1)

slora_mutated_sources(mutated)
add_executable(comm_nccl_mutants EXCLUDE_FROM_ALL ../../backend/cuda/testing/mutants/mutants_main.cc nccl_communicator_test.cc ${mutated})
target_link_libraries(comm_nccl_mutants PRIVATE slora_comm_nccl_testing)
target_compile_options(comm_nccl_mutants PRIVATE -O1 -w)
slora_mutant_tests(comm_nccl_mutants CommNcclMutant)
