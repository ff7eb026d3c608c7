"""The stack that an artefact says it needs: enough to the byte, in a program, in every report."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

import symgraph as sg
from symgraph.aot import BudgetError
from symgraph.cli import main

from .c_program import FLAGS, build, needs_cc
from .models import convolution, perceptron
from .test_c_programs import is_x86, shipped_c

# The function runs on memory of its own with a page below that must not be touched.
ON_ITS_OWN_STACK = r"""
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int32_t call_on(char *top, const net_inputs *in, const net_outputs *out, void *workspace,
    const sg_context *context)
{
    int32_t code;
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %[top], %%rsp\n\tcall net_run\n\tmovq %%rbx, %%rsp"
        : "=a"(code), "+D"(in), "+S"(out), "+d"(workspace), "+c"(context)
        : [top] "r"(top)
        : "rbx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
          "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15");
    return code;
}

int main(void)
{
    enum { N = 5 };
    static float x[NET_X_ELEMENTS_MAX], y[NET_@OUT@_ELEMENTS_MAX];
    static _Alignas(64) unsigned char workspace[NET_WORKSPACE_MAX];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (NET_STACK_BYTES + page - 1) / page * page;
    char *start = mmap(NULL, room + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + page, room, PROT_READ | PROT_WRITE))
        return 10;
    /* the lowest byte that may be touched is the first one above the page */
    char *top = start + page + (NET_STACK_BYTES + 15) / 16 * 16;
    memset(start + page, 0x5a, room);
    net_inputs in = {.x = x, .N = N};
    net_outputs out = {.@FIELD@ = y};
    sg_context context = SG_CONTEXT(sizeof workspace);
    if (call_on(top, &in, &out, workspace, &context) != NET_OK)
        return 11;
    size_t untouched = 0;
    while (start[page + untouched] == 0x5a)
        untouched++;
    printf("%zu of %d\n", (size_t)(top - (start + page)) - untouched, NET_STACK_BYTES);
    return 0;
}
"""

on_x86 = pytest.mark.skipif(not is_x86(), reason="switches the stack of an x86-64 processor")


@needs_cc
@on_x86
@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3", "native"])
@pytest.mark.parametrize("model", [perceptron, convolution])
def test_the_stack_is_enough_to_the_byte(model, cpu, tmp_path):
    y, params = model()
    chosen = {"target": "native"} if cpu == "native" else {"cpu": cpu}
    artifact = sg.export(y, tmp_path / "net", params=params, ranges={"N": (0, 5)}, **chosen)
    field = artifact.signature.results[0].field
    text = ON_ITS_OWN_STACK.replace("@FIELD@", field).replace("@OUT@", field.upper())
    done = subprocess.run(
        [str(build(artifact, text))], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.returncode
    used, bound = (int(n) for n in re.findall(r"\d+", done.stdout))
    assert bound == artifact.description["stack"]["nbytes"]
    assert bound / 3 < used <= bound + 15  # the top was rounded up


ON_A_SMALL_THREAD = r"""
#include "net.h"
#include "sg_pthreads.h"
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

static float x[NET_X_ELEMENTS_MAX], y[NET_FC2_ELEMENTS_MAX];
static _Alignas(64) unsigned char workspace[NET_WORKSPACE_MAX];
static int32_t code = -1;

static void *call(void *unused)
{
    net_inputs in = {.x = x, .N = NET_N_MAX};
    net_outputs out = {.fc2 = y};
    sg_context context = SG_CONTEXT(sizeof workspace);
    code = net_run(&in, &out, workspace, &context);
    return unused;
}

int main(void)
{
    pthread_attr_t small;
    pthread_t thread;
    size_t room = (PTHREAD_STACK_MIN + NET_STACK_BYTES + 4095) / 4096 * 4096;
    pthread_attr_init(&small);
    if (pthread_attr_setstacksize(&small, room) || pthread_attr_setguardsize(&small, 4096))
        return 10;
    if (pthread_create(&thread, &small, call, NULL) || pthread_join(thread, NULL))
        return 11;
    return code;
}
"""


@needs_cc
@on_x86
def test_a_thread_with_a_small_guarded_stack(tmp_path):
    y, params = perceptron()
    artifact = sg.export(y, tmp_path / "net", params=params, ranges={"N": (0, 40)})
    folder = shipped_c("sg_pthreads.c").parent
    flags = (*FLAGS, "-I", str(folder), "-pthread")
    program = build(artifact, ON_A_SMALL_THREAD, folder / "sg_pthreads.c", flags=flags)
    assert subprocess.run([str(program)], check=False).returncode == 0


def test_every_report_says_the_same(tmp_path):
    y, params = convolution()
    artifact = sg.export(y, tmp_path / "net", params=params, selftest=True)
    stack = json.loads(artifact.files["json"].read_text())["stack"]
    assert stack["nbytes"] == sum(nbytes for _, nbytes in stack["chain"])
    assert stack["chain"][0][0] in ("net_run", "net_explain")
    assert 0 < stack["task_nbytes"] < stack["nbytes"] < stack["selftest_nbytes"] + 4096
    text = artifact.files["h"].read_text()
    for name, key in (("", "nbytes"), ("TASK_", "task_nbytes"), ("SELFTEST_", "selftest_nbytes")):
        assert f"#define NET_{name}STACK_BYTES {stack[key]}\n" in text
    assert f"{stack['nbytes']:,} bytes at most" in str(artifact)
    assert f"stack      {stack['nbytes']:,} bytes at most" in str(
        sg.aot.inspect(tmp_path / "net.o")
    )


def test_a_budget_lists_the_deepest_chain(tmp_path, capsys):
    y, params = convolution()
    with pytest.raises(BudgetError) as caught:
        sg.export(y, tmp_path / "net", params=params, budgets={"stack": 100})
    lines = str(caught.value).splitlines()
    assert re.match(r"budgets: stack is [\d,]+ bytes, the limit is 100\.", lines[0])
    assert any("net_run_program" in line for line in lines[1:])
    assert not list(tmp_path.iterdir())
    assert main(["compile", "lenet5", "-o", str(tmp_path), "--max-stack", "16K"]) == 0
    assert main(["compile", "lenet5", "-o", str(tmp_path), "--max-stack", "64"]) == 2
    assert "budgets: stack is" in capsys.readouterr().err
