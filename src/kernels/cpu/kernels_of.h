#pragma once
#include "kernels/cpu/adapter_backward_kernel.h"
#include "kernels/cpu/attend_backward_kernel.h"
#include "kernels/cpu/attend_kernel.h"
#include "kernels/cpu/expand_deferred_kernel.h"
#include "kernels/cpu/gated_backward_kernel.h"
#include "kernels/cpu/gated_kernel.h"
#include "kernels/cpu/int8_linear_kernel.h"
#include "kernels/cpu/int8_rows_kernel.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear_backward_kernel.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/rescale_kernel.h"
#include "kernels/cpu/rms_norm_backward_kernel.h"
#include "kernels/cpu/rms_norm_kernel.h"
#include "kernels/cpu/rope_kernel.h"
#include "kernels/cpu/row_tiles_kernel.h"
#include "kernels/cpu/sample_kernel.h"
#include "kernels/cpu/shrink_kernel.h"

namespace slora::cpu {

template <class Isa, class Weight>
inline constexpr ByteKernels<Weight> kByteKernelsOf = {.tile_rows = ByteLinearKernel<Isa, Weight>::Tiles::kTileRows,
                                                       .linear_columns = &ByteLinearKernel<Isa, Weight>::columns,
                                                       .quantise = &ByteRowsKernel<Isa, Weight>::quantise};

template <class Isa>
inline constexpr TrainKernels kTrainKernelsOf = {
    .pack_floats = &LinearBackwardKernel<Isa>::pack,
    .linear_backward = &LinearBackwardKernel<Isa>::run,
    .adapter_rows = &AdapterBackwardKernel<Isa>::rows,
    .adapter_a_gradient = &AdapterBackwardKernel<Isa>::a_gradient,
    .adapter_b_gradient = &AdapterBackwardKernel<Isa>::b_gradient,
    .attend_floats = &AttendBackwardKernel<Isa>::floats,
    .attend_backward = &AttendBackwardKernel<Isa>::run,
    .gated_silu_backward = &GatedBackwardKernel<Isa>::silu,
    .gated_gelu_tanh_backward = &GatedBackwardKernel<Isa>::gelu_tanh,
    .rms_norm_backward = &RmsNormBackwardKernel<Isa>::run,
    .add_rms_norm_backward = &RmsNormBackwardKernel<Isa>::add,
};

// The table of one instruction set. Included only by the source file that is compiled for that set.
template <class Isa>
inline constexpr Kernels kKernelsOf = {
    .name = Isa::kName,
    .tile_rows = Isa::kTileRows,
    .pair_words = RowTilesKernel<Isa>::kPairWords,
    .int8 = kByteKernelsOf<Isa, Int8Weight>,
    .int4 = kByteKernelsOf<Isa, Int4Weight>,
    .train = kTrainKernelsOf<Isa>,
    .pack_rows = &RowTilesKernel<Isa>::pack,
    .linear_columns = &LinearKernel<Isa>::columns,
    .shrink = &ShrinkKernel<Isa>::run,
    .expand_deferred = &ExpandDeferredKernel<Isa>::run,
    .attend_scratch_bytes = &AttendKernel<Isa>::scratch_bytes,
    .attend_part_bytes = &AttendKernel<Isa>::part_bytes,
    .attend = &AttendKernel<Isa>::run,
    .attend_merge = &AttendKernel<Isa>::merge,
    .rms_norm = &RmsNormKernel<Isa>::run,
    .add = &RmsNormKernel<Isa>::add,
    .gated_silu = &GatedKernel<Isa>::silu,
    .gated_gelu_tanh = &GatedKernel<Isa>::gelu_tanh,
    .rescale = &rescale<Isa>,
    .rope = &RopeKernel<Isa>::run,
    .find_peak = &SampleKernel<Isa>::find_peak,
    .mask_values = &SampleKernel<Isa>::mask_values,
    .count_above = &SampleKernel<Isa>::count_above,
    .find_above = &SampleKernel<Isa>::find_above,
    .exp_weights = &SampleKernel<Isa>::exp_weights,
    .measure_range = &SampleKernel<Isa>::measure_range,
};

}  // namespace slora::cpu
