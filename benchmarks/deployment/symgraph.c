/* One inference by symgraph's object; prints the outputs. */
#include HEADER
#include <stdio.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define OF(suffix) JOIN(NAME, suffix)
#define SIZE(suffix) JOIN(UPPER, suffix)
#define ELEMENTS JOIN(JOIN(SIZE(_), OUT_UPPER), _ELEMENTS_MAX)

static float x[SIZE(_X_ELEMENTS_MAX)], y[ELEMENTS];
static _Alignas(64) unsigned char workspace[SIZE(_WORKSPACE_MAX) + 1];

int main(void)
{
    for (int i = 0; i < SIZE(_X_ELEMENTS_MAX); i++)
        x[i] = (float)(i % 251) / 251;
    OF(_inputs) in = {.x = x};
    OF(_outputs) out = {.OUT = y};
    sg_context context = SG_CONTEXT(sizeof workspace);
    int32_t code = OF(_run)(&in, &out, workspace, &context);
    if (code)
        return fprintf(stderr, "%s\n", OF(_strerror)(code)), 1;
    for (int i = 0; i < ELEMENTS; i++)
        printf("%.9g ", (double)y[i]);
    return 0;
}
