"""Whether a device bears vectors: tried in a child process, since a bad driver takes it down."""

from __future__ import annotations

import subprocess
import sys

SECONDS = 20

_CHILD = """\
import sys
import numpy as np
import pyopencl as cl
platform, device = map(int, sys.argv[1].split(":"))
lanes = int(sys.argv[2])
context = cl.Context([cl.get_platforms()[platform].get_devices()[device]])
queue = cl.CommandQueue(context)
source = '''
__kernel void probe(__global float *x) {
  float W total = (float W)(0.0f);
  for (int i = 0; i < 4; ++i) total += vload W(i, x) * vload W(i, x);
  vstore W(fma(total, total, total), 0, x);
}
'''.replace(" W", str(lanes))
program = cl.Program(context, source).build(cache_dir=False)
x = np.arange(4 * lanes, dtype=np.float32)
s = (x.reshape(4, lanes) ** 2).sum(axis=0)
buffer = cl.Buffer(context, cl.mem_flags.COPY_HOST_PTR, hostbuf=x)
program.probe(queue, (1,), (1,), buffer)
cl.enqueue_copy(queue, x, buffer)
assert np.allclose(x[:lanes], s * s + s)
"""


def bears_width(selector: str, lanes: int, child: str = _CHILD) -> bool:
    """Whether float vectors of so many lanes give right results on the device."""
    command = [sys.executable, "-c", child, selector, str(lanes)]
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
