/* One inference by OpenVINO's C interface on the CPU; prints the outputs. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { int64_t rank; int64_t *dims; } Shape;

static float x[ELEMENTS];
static void *library;

static void *find(const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no %s\n", name);
        exit(1);
    }
    return found;
}

#define CALL(name, types, ...)                                                                     \
    do {                                                                                           \
        int status = ((int (*) types)find(#name))(__VA_ARGS__);                                    \
        if (status)                                                                                \
            return fprintf(stderr, #name " failed: %d\n", status), 1;                              \
    } while (0)

int main(void)
{
    library = dlopen(LIBRARY, RTLD_NOW);
    if (!library)
        return fprintf(stderr, "%s\n", dlerror()), 1;
    for (int i = 0; i < ELEMENTS; i++)
        x[i] = (float)(i % 251) / 251;
    void *core, *model, *compiled, *request, *in, *out;
    int64_t extents[] = {SHAPE};
    float *y;
    size_t count;
    enum { F32 = 4 };
    CALL(ov_core_create, (void **), &core);
    CALL(ov_core_read_model, (void *, const char *, const char *, void **), core, MODEL, NULL,
         &model);
    CALL(ov_core_compile_model, (void *, void *, const char *, size_t, void **, ...), core, model,
         "CPU", 4, &compiled, "INFERENCE_NUM_THREADS", "1", "INFERENCE_PRECISION_HINT", "f32");
    CALL(ov_compiled_model_create_infer_request, (void *, void **), compiled, &request);
    CALL(ov_tensor_create_from_host_ptr, (int, Shape, void *, void **), F32, (Shape){RANK, extents},
         x, &in);
    CALL(ov_infer_request_set_input_tensor, (void *, void *), request, in);
    CALL(ov_infer_request_infer, (void *), request);
    CALL(ov_infer_request_get_output_tensor, (void *, void **), request, &out);
    CALL(ov_tensor_get_size, (void *, size_t *), out, &count);
    CALL(ov_tensor_data, (void *, void **), out, (void **)&y);
    for (size_t i = 0; i < count; i++)
        printf("%.9g ", (double)y[i]);
    fflush(stdout);
    _Exit(0);
}
