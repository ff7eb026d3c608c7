"""What has to be shipped to run one network, and how long a program takes to its first result.

    python -m benchmarks.deployment prepare FOLDER [--peers PYTHON]
    python -m benchmarks.deployment measure FOLDER [--rounds N]

`prepare` writes one C program for each engine: symgraph's is linked with its object, the others
load the shared libraries of their wheels through their C interfaces (no Python runs).  `--peers` is
a Python that has onnxruntime and openvino.  `measure` starts the programs in turn, N times each,
and prints a table: the bytes of everything the program needs beside the C library, and the least
time from the start of the process to its end after one inference.
"""
