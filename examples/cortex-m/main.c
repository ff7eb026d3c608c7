/* A drawn seven through LeNet-5 on bare metal; prints the ten numbers, and the stack that was used.
   Memory that the model needs is known when this file is compiled: nothing is allocated. */
#include "lenet5.h"

enum { PIXELS = LENET5_X_ELEMENTS_MAX, CLASSES = LENET5_FC2_ELEMENTS_MAX };

static float x[PIXELS], logits[CLASSES];
static _Alignas(LENET5_WORKSPACE_ALIGNMENT) unsigned char workspace[LENET5_WORKSPACE_MAX];

extern uint32_t stack_end[];
void stack_start(void); /* an address that board.ld defines */
void start(void);
static void fault(void);

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    stack_start, start, fault, fault, fault, fault, fault,
};

/* The debugger's channel (semihosting): here qemu. */
static void tell(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(const char *text) { tell(0x04, text); }

static void leave(uint32_t code)
{
    const uint32_t block[2] = {0x20026, code};
    tell(0x20, block);
    for (;;) {
    }
}

static void fault(void)
{
    print("fault\n");
    leave(1);
}

/* A number with `digits` decimals, from its value times 10**digits. */
static void print_scaled(int32_t value, int digits)
{
    char text[16];
    int at = sizeof text;
    uint32_t size = value < 0 ? -(uint32_t)value : (uint32_t)value;
    text[--at] = 0;
    for (int k = 0; size != 0 || k <= digits; k++, size /= 10) {
        if (k == digits && digits > 0)
            text[--at] = '.';
        text[--at] = (char)('0' + size % 10);
    }
    if (value < 0)
        text[--at] = '-';
    print(text + at);
}

static void draw_seven(void)
{
    for (int i = 6; i < 22; i++)
        x[6 * 28 + i] = x[7 * 28 + i] = 1;
    for (int i = 8; i < 23; i++)
        x[i * 28 + 25 - i * 2 / 3] = 1;
}

/* Fills the stack below `here`, or says how deep it was used since. */
static int32_t stack_use(uint32_t here, int fill)
{
    volatile uint32_t *p = stack_end;
    if (fill)
        for (; (uint32_t)p < here; p++)
            *p = 0x5A5A5A5A;
    else
        while (*p == 0x5A5A5A5A)
            p++;
    return (int32_t)(here - (uint32_t)p);
}

static int32_t used;

static int32_t compute(void)
{
    lenet5_inputs inputs = {.x = x};
    lenet5_outputs outputs = {.fc2 = logits};
    sg_context context = SG_CONTEXT(sizeof workspace);
    uint32_t here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    stack_use(here - 64, 1); /* leaves its own frame alone */
    int32_t code = lenet5_run(&inputs, &outputs, workspace, &context);
    used = stack_use(here, 0);
    if (code != LENET5_OK) {
        static char text[256];
        lenet5_explain(&inputs, &outputs, workspace, &context, text, sizeof text);
        print(text);
        print("\n");
    }
    return code;
}

void start(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* the floating point unit */
    __asm__ volatile("dsb\n\tisb" : : : "memory");
    draw_seven();
    int32_t code = compute();
    if (code != LENET5_OK)
        leave(1);
    int best = 0;
    for (int k = 0; k < CLASSES; k++) {
        best = logits[k] > logits[best] ? k : best;
        print_scaled((int32_t)(logits[k] * 10000 + (logits[k] < 0 ? -0.5f : 0.5f)), 4);
        print(k + 1 < CLASSES ? " " : "\ndigit ");
    }
    print_scaled(best, 0);
    print("\nstack ");
    print_scaled(used, 0);
    print(" of ");
    print_scaled(LENET5_STACK_BYTES, 0);
    print(" bytes\n");
    leave(0);
}
