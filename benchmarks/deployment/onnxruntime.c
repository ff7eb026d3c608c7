/* One inference by ONNX Runtime's C interface; prints the outputs.  The interface is a table of
   functions whose places never change (OrtApi in onnxruntime_c_api.h); those used are numbered. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_OPTIONS = 10,
       INTRA_THREADS = 24, INPUT_NAME = 36, OUTPUT_NAME = 37, CREATE_TENSOR = 49, TENSOR_DATA = 51,
       ELEMENT_COUNT = 64, SHAPE_OF = 65, CPU_MEMORY = 69, ALLOCATOR = 78 };

typedef struct { const void **(*get_api)(uint32_t version); const char *(*version)(void); } Base;

static const void **api;
static float x[ELEMENTS];

static void good(void *status)
{
    if (status) {
        fprintf(stderr, "%s\n", ((const char *(*)(void *))api[GET_ERROR_MESSAGE])(status));
        exit(1);
    }
}

#define CALL(index, types, ...) good(((void *(*)types)api[index])(__VA_ARGS__))

int main(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW);
    if (!library)
        return fprintf(stderr, "%s\n", dlerror()), 1;
    const Base *base = ((const Base *(*)(void))dlsym(library, "OrtGetApiBase"))();
    api = base->get_api(16);
    for (int i = 0; i < ELEMENTS; i++)
        x[i] = (float)(i % 251) / 251;
    void *env, *options, *session, *memory, *allocator, *in, *shape, *out = NULL;
    char *in_name, *out_name;
    float *y;
    size_t count;
    int64_t extents[] = {SHAPE};
    CALL(CREATE_ENV, (int, const char *, void **), 3, "start", &env);
    CALL(CREATE_OPTIONS, (void **), &options);
    CALL(INTRA_THREADS, (void *, int), options, 1);
    CALL(CREATE_SESSION, (void *, const char *, void *, void **), env, MODEL, options, &session);
    CALL(ALLOCATOR, (void **), &allocator);
    CALL(INPUT_NAME, (void *, size_t, void *, char **), session, 0, allocator, &in_name);
    CALL(OUTPUT_NAME, (void *, size_t, void *, char **), session, 0, allocator, &out_name);
    CALL(CPU_MEMORY, (int, int, void **), 0, 0, &memory);
    CALL(CREATE_TENSOR, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory, x,
         sizeof x, extents, RANK, 1, &in);
    CALL(RUN, (void *, void *, char **, void **, size_t, char **, size_t, void **), session, NULL,
         &in_name, &in, 1, &out_name, 1, &out);
    CALL(TENSOR_DATA, (void *, void **), out, (void **)&y);
    CALL(SHAPE_OF, (void *, void **), out, &shape);
    CALL(ELEMENT_COUNT, (void *, size_t *), shape, &count);
    for (size_t i = 0; i < count; i++)
        printf("%.9g ", (double)y[i]);
    fflush(stdout);
    _Exit(0);
}
