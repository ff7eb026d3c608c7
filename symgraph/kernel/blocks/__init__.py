"""Several kernels as one that runs over blocks, intermediates kept for one block only.

    parallel i < 56:                         parallel b < 8:
      parallel j < 9:  t[i,j] = f(x,i,j)       alloc t: f32[14,9] in local
    parallel i < 28:                     ->    parallel i < 14:
      parallel j < 9:                            parallel j < 9:  t[i,j] = f(x,14*b+i,j)
        y[i,j] = max(t[2*i,j], t[2*i+1,j])     parallel i < 7:
                                                 parallel j < 9:
                                                   y[7*b+i,j] = max(t[2*i,j], t[2*i+1,j])

A block is a part of the loops of the last kernel.  What it needs of the kernel before is an
interval of each axis, and so on to the first; where the intervals of two blocks overlap, what they
share is computed in both.  Every element is computed as before, so no bit changes.

What the kernels do must be nests of independent loops, those that make an intermediate along the
axes that are cut with one loop to an axis.

nests    what a kernel does, as nests of loops
chain    kernels of which each reads what the one before writes
cut      one loop in blocks, the last one perhaps shorter
region   the part of an intermediate that a block needs
work     from the last kernel to the first: which part of each a block computes
joined   the one kernel
"""
