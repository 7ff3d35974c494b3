// A library that lacks cublasLtMatmul.
#include "backend/cuda/cublas/testing/library/all_but_multiply.h"
