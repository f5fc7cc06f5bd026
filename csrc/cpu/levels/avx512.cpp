#define TEFAST_LEVEL avx512
#include "cpu/kernels_body.hpp"
