/* Counts what a process has allocated: now, and at most since the last reset.
 *
 *     cc -O2 -shared -fPIC -o heap.so heap.c -ldl
 *     LD_PRELOAD=./heap.so program
 *
 * heap_live() and heap_peak() are bytes, heap_reset() sets the peak to what is live. Requests are
 * counted by their usable size; anonymous mappings that a program makes for itself count too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_llong live, peak;

static void add(long long bytes) {
    long long now = atomic_fetch_add(&live, bytes) + bytes;
    long long most = atomic_load(&peak);
    while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) { }
}

long long heap_live(void) { return atomic_load(&live); }
long long heap_peak(void) { return atomic_load(&peak); }
void heap_reset(void) { atomic_store(&peak, atomic_load(&live)); }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void *counted(void *p) {
    if (p) add((long long)malloc_usable_size(p));
    return p;
}

void *malloc(size_t n) { return counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return counted(__libc_calloc(n, m)); }
void *memalign(size_t a, size_t n) { return counted(__libc_memalign(a, n)); }
void *aligned_alloc(size_t a, size_t n) { return counted(__libc_memalign(a, n)); }

int posix_memalign(void **out, size_t a, size_t n) {
    void *p = counted(__libc_memalign(a, n));
    if (!p) return 12;
    *out = p;
    return 0;
}

void *realloc(void *p, size_t n) {
    long long before = p ? (long long)malloc_usable_size(p) : 0;
    void *q = __libc_realloc(p, n);
    if (q || n == 0) add(-before);
    return counted(q);
}

void free(void *p) {
    if (!p) return;
    add(-(long long)malloc_usable_size(p));
    __libc_free(p);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    static void *(*next)(void *, size_t, int, int, int, off_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "mmap");
    void *p = next(at, n, prot, flags, fd, offset);
    if (p != MAP_FAILED && (flags & MAP_ANONYMOUS) && (prot & PROT_WRITE)) add((long long)n);
    return p;
}
