#define TEFAST_LEVEL avx512_popcnt
#include "cpu/kernels_body.hpp"
