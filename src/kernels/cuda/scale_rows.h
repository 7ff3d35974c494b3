#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Rows of x for products of their own, of consecutive items whose scaled rows fit in `scaled`: scaled[item.place - place_begin + j, :] =
// x[item.row, :] times the record's input gain, or times row rank_begin + j of A; zeros where the layer's record has no such part. x [T,
// in] and scaled [rows, in] bf16.
void scale_rows(Stream stream, Tensor scaled, Tensor x, const ScaleArgs& args);

// What becomes of the products [rows, outputs] of these rows, fp32: y[item.row, slice] = product + base bias where an input gain was, and
// y[item.row, slice] += weight * scale * delta_gain * sum over j of B[:, j] * product[j] where rows of A were. Each item is rounded to the
// type of y once: so how many of a row's items come in one launch changes no bit. Items of a row follow each other, input gains first.
// `base_bias` [outputs] or null; y [T, outputs] fp32 or bf16.
void add_products(Stream stream, Tensor y, Tensor products, const float* base_bias, const ScaleArgs& args);

}  // namespace slora::cuda
