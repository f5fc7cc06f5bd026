/* Preloaded, fails the n-th allocation of so many bytes or more after `fail_at(n, least)`; with n
 * below 0 none. glibc alone has the functions beneath. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

static atomic_long left = -1;
static size_t least_bytes = 0;

void fail_at(long n, size_t least) {
    least_bytes = least;
    atomic_store(&left, n);
}

/* How many more have to be asked for until one fails; below 0 where one did. */
long until_failure(void) { return atomic_load(&left); }

static int fails(size_t bytes) {
    if (atomic_load(&left) < 0 || bytes < least_bytes) return 0;
    if (atomic_fetch_sub(&left, 1) != 0) return 0;
    errno = ENOMEM;
    return 1;
}

void* malloc(size_t bytes) { return fails(bytes) ? NULL : __libc_malloc(bytes); }
void* calloc(size_t n, size_t each) { return fails(n * each) ? NULL : __libc_calloc(n, each); }
void* realloc(void* old, size_t bytes) { return fails(bytes) ? NULL : __libc_realloc(old, bytes); }
void* aligned_alloc(size_t to, size_t bytes) {
    return fails(bytes) ? NULL : __libc_memalign(to, bytes);
}
int posix_memalign(void** out, size_t to, size_t bytes) {
    if (fails(bytes)) return ENOMEM;
    *out = __libc_memalign(to, bytes);
    return *out ? 0 : ENOMEM;
}
