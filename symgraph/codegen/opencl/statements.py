"""One launch as an OpenCL C function: its arguments, its work-items, its statements."""

from __future__ import annotations

from ...errors import InternalError
from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    Expr,
    For,
    If,
    Prefetch,
    Stmt,
    Store,
    Update,
)
from ...kernel.rewrite import statements
from .expressions import ValueText
from .launches import is_private
from .scalars import memory_type, value_type
from .vectors import MAX_BYTES, VectorText


class LaunchText(ValueText):
    """Writes the function of one launch."""

    def text(self) -> str:
        """The whole function."""
        self._pointers()
        self._shared_arrays()
        self._work_items()
        params = [
            p
            for b in self._arguments()
            for p in (f"__global uchar *{self._base(b)}", f"const ulong {self._base(b)}_offset")
        ]
        params += [f"const index_t {self.names(v, 'n_')}" for v in self.launch.dims]
        group = self.launch.fixed_group
        required = f"__attribute__((reqd_work_group_size({group}, 1, 1)))\n" if group else ""
        head = f"{required}__kernel void {self.launch.name}(\n    " + ",\n    ".join(params) + ") {"
        return "\n".join([head, *self.lines, "}"]) + "\n"

    # -- frame ---------------------------------------------------------------------------------

    def _base(self, buffer: Buffer) -> str:
        return "m" + self.pointers[buffer][1:]

    def _pointers(self) -> None:
        written = {s.buffer for s in statements(self.launch.body) if isinstance(s, (Store, Update))}
        for buffer in self._arguments():
            const = "" if buffer in written else "const "
            kind = f"__global {const}{memory_type(buffer.dtype)} *"
            base = self._base(buffer)
            self._line(f"{kind}{self.pointers[buffer]} = ({kind})({base} + {base}_offset);")

    def _shared_arrays(self) -> None:
        for stmt in statements(self.launch.body):
            if not isinstance(stmt, Alloc) or stmt.buffer.scope != "shared":
                continue
            buffer = stmt.buffer
            name = self.pointers[buffer] = self.names(buffer, "s_")
            count = self.dim(buffer.nelems)
            kind = memory_type(buffer.dtype)
            if kind == "half":
                self._line(f"__local ushort {name}_bits[{count}];")
                self._line(f"__local half *{name} = (__local half *){name}_bits;")
            else:
                self._line(f"__local {kind} {name}[{count}];")

    def _work_items(self) -> None:
        launch = self.launch
        if launch.group and launch.count != 0:
            self._line("const index_t lane = (index_t)get_local_id(0);")
            self._decompose("(index_t)get_group_id(0)")
            self.stmt(launch.body)
            return
        if launch.count == 0:
            self._line("// There is nothing to do.")
            return
        count = self.dim(launch.count)
        if launch.slices:
            self._line("const index_t slot = (index_t)get_global_id(0);")
            self._line("const index_t slots = (index_t)get_global_size(0);")
            self._open(f"for (index_t item = slot; item < {count}; item += slots) {{")
            self._decompose("item")
            self.stmt(launch.body)
            self._close()
            return
        self._line("const index_t item = (index_t)get_global_id(0);")
        self._line(f"if (item >= {count}) return;")
        self._decompose("item")
        self.stmt(launch.body)

    def _decompose(self, number: str) -> None:
        """The loop variables from the number of the work-item or group, row-major."""
        axes = self.launch.axes
        for position, axis in enumerate(axes):
            inner = dims.product([a.extent for a in axes[position + 1 :]])
            text = number if inner == 1 else f"{number} / {self.dim(inner)}"
            if position:
                text = (
                    f"({text}) % {self.dim(axis.extent)}"
                    if inner != 1
                    else (f"{text} % {self.dim(axis.extent)}")
                )
            self._enter(axis.var, axis.extent)
            self._line(f"const index_t {self._variable(axis.var)} = {text};")

    def _enter(self, var: LoopVar, extent: Dim) -> None:
        _, high = dims.bounds(extent, self.ranges)
        self.ranges[var] = (0, None if high is None else max(high - 1, 0))
        self.extents[var] = extent

    # -- statements ----------------------------------------------------------------------------

    def stmt(self, stmt: Stmt) -> None:
        self.memo, self.data = {}, {}
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self.stmt(inner)
            case For(kind="local") if self.launch.group:
                self._local(stmt)
            case For():
                self._loop(stmt)
            case Alloc(buffer=buffer, body=body):
                self._alloc(buffer)
                self.stmt(body)
            case Store(buffer=buffer, index=index, value=value):
                self._write(buffer, index, self.value(value))
            case Update():
                self._update(stmt)
            case If(condition=condition, then=then, otherwise=otherwise):
                self._branch(condition, then, otherwise)
            case Prefetch():
                pass  # caches of devices look ahead by themselves
            case Barrier():
                self._barrier()
            case _:
                raise AssertionError(stmt)

    def _loop(self, loop: For) -> None:
        extent = self._prepared((loop.extent,))[0]
        self._enter(loop.var, loop.extent)
        name = self._variable(loop.var)
        if loop.kind == "vector" and self._vector(loop, name):
            return
        if loop.kind in ("unroll", "vector"):
            self._line("#pragma unroll")
        self._open(f"for (index_t {name} = 0; {name} < {extent}; ++{name}) {{")
        self.stmt(loop.body)
        self._close()

    def _vector(self, loop: For, name: str) -> bool:
        """The loop in steps of a whole vector; False where its body does not allow that."""
        vectors = VectorText(loop, self._plain_pointer, self.dim, self.value)
        line = vectors.statement()
        if line is None:
            return False
        self._line("#pragma unroll")
        step = f"{name} += {vectors.lanes}"
        self._open(f"for (index_t {name} = 0; {name} < {loop.extent}; {step}) {{")
        self._line(line)
        self._close()
        return True

    def _plain_pointer(self, buffer: Buffer) -> str | None:
        """The name of a buffer whose elements lie side by side."""
        if buffer in self.launch.slices or buffer.shape == ():
            return None
        return self.pointers[buffer]

    def _local(self, loop: For) -> None:
        """The number of the work-item is the place in the nest of local loops, row-major."""
        inner = 1
        for below in statements(loop.body):
            if below is not loop and isinstance(below, For) and below.kind == "local":
                assert isinstance(below.extent, int)
                inner *= below.extent
        assert isinstance(loop.extent, int)
        text = "lane" if inner == 1 else f"lane / {inner}"
        if self.in_lanes:
            text = f"({text}) % {loop.extent}"
        partial = not self.in_lanes and inner * loop.extent < self.launch.group
        self._enter(loop.var, loop.extent)
        self._open(f"if (lane < {inner * loop.extent}) {{" if partial else "{")
        self._line(f"const index_t {self._variable(loop.var)} = {text};")
        outer, self.in_lanes = self.in_lanes, True
        self.stmt(loop.body)
        self.in_lanes = outer
        self._close()

    def _alloc(self, buffer: Buffer) -> None:
        if buffer in self.pointers:
            return
        if not is_private(buffer):
            raise InternalError(f"launch {self.launch.name}: no place for {buffer.name}")
        name = self.pointers[buffer] = self.names(buffer, "r_")
        size = "" if buffer.shape == () else f"[{self.dim(buffer.nelems)}]"
        aligned = f" __attribute__((aligned({MAX_BYTES})))" if self.has_vectors and size else ""
        self._line(f"{value_type(buffer.dtype)} {name}{size}{aligned};")

    def _update(self, stmt: Update) -> None:
        dtype = stmt.buffer.dtype
        place = self._place(stmt.buffer, self._prepared(stmt.index, stmt.buffer))
        product = stmt.value
        fused = stmt.function == "add" and dtype.name in ("float32", "float64")
        if fused and isinstance(product, Call) and product.function == "mul":
            a, b = (self.value(x) for x in product.args)
            text = self.scalars.multiply_add(dtype, a, b, self._read(stmt.buffer, place))
        else:
            value = self.value(product)
            text = self.scalars.call(stmt.function, dtype, (self._read(stmt.buffer, place), value))
        self._store(stmt.buffer, place, text)

    def _branch(self, condition: Expr, then: Stmt, otherwise: Stmt | None) -> None:
        self._open(f"if ({self.value(condition)}) {{")
        self.stmt(then)
        if otherwise is not None:
            self.depth -= 1
            self._open("} else {")
            self.stmt(otherwise)
        self._close()

    def _barrier(self) -> None:
        if not self.launch.group:
            return
        self._line("barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);")

    # -- memory --------------------------------------------------------------------------------

    def _store(self, buffer: Buffer, place: str, value: str) -> None:
        pointer = self.pointers[buffer]
        if self._is_register(buffer):
            target = pointer if buffer.shape == () else f"{pointer}[{place}]"
            self._line(f"{target} = {value};")
            return
        # What stands beside the local loops is done once for the group.
        once = "if (lane == 0) " if self.launch.group and not self.in_lanes else ""
        self._line(once + self.scalars.store(buffer.dtype, pointer, place, value))

    def _write(self, buffer: Buffer, index: tuple[Dim, ...], value: str) -> None:
        self._store(buffer, self._place(buffer, self._prepared(index, buffer)), value)
