/* Which digits are on the images of an IDX file (the format of MNIST)?

   digits IMAGES [COUNT]

   The model is one object file: it allocates nothing, needs no library and no initialisation. */
#include "lenet5.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 32, PIXELS = 28 * 28, CLASSES = 10 };

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

int main(int argc, char **argv)
{
    static float x[BATCH * PIXELS], logits[BATCH * CLASSES];
    unsigned char header[16], pixels[PIXELS];
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL || fread(header, 1, 16, file) != 16 || big_endian(header) != 0x803) {
        fprintf(stderr, "usage: digits IMAGES [COUNT]   (an IDX file of 28x28 images)\n");
        return 2;
    }
    long left = argc > 2 ? strtol(argv[2], NULL, 10) : (long)big_endian(header + 4);

    /* The workspace is the caller's, and its size is known: here for the largest batch. */
    size_t bytes = lenet5_workspace_bytes(BATCH);
    void *workspace = aligned_alloc(LENET5_WORKSPACE_ALIGNMENT, bytes);
    if (workspace == NULL)
        return 1;

    while (left > 0) {
        int64_t n = left < BATCH ? left : BATCH;
        for (int64_t i = 0; i < n; i++) {
            if (fread(pixels, 1, PIXELS, file) != PIXELS) {
                fprintf(stderr, "digits: the file ends early\n");
                return 1;
            }
            for (int k = 0; k < PIXELS; k++)
                x[i * PIXELS + k] = (float)pixels[k] / 255;
        }
        lenet5_inputs inputs = {.x = x, .N = n};
        lenet5_outputs outputs = {.fc2 = logits};
        sg_context context = SG_CONTEXT(bytes);
        int32_t code = lenet5_run(&inputs, &outputs, workspace, &context);
        if (code != LENET5_OK) {
            fprintf(stderr, "digits: %s\n", lenet5_strerror(code));
            return 1;
        }
        for (int64_t i = 0; i < n; i++) {
            const float *row = logits + i * CLASSES;
            int best = 0;
            for (int k = 1; k < CLASSES; k++)
                best = row[k] > row[best] ? k : best;
            printf("%d\n", best);
        }
        left -= n;
    }
    free(workspace);
    return fclose(file);
}
