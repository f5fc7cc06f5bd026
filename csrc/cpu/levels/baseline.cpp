// Whatever the compiler's default for this architecture is: SSE2 on x86-64, NEON on AArch64.
#define TEFAST_LEVEL baseline
#include "cpu/kernels_body.hpp"
