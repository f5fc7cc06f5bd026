#define TEFAST_LEVEL avx2
#include "cpu/kernels_body.hpp"
