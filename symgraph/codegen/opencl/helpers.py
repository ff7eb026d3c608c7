"""Helper functions in OpenCL C, as text: what no builtin does with the meaning of kernel/functions.

`{T}` is the type a helper works on, `{U}` the unsigned type in which it computes.
"""

from __future__ import annotations

INDEX = """\
static inline index_t floor_div_index(index_t a, index_t b) {
  const index_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
static inline index_t floor_mod_index(index_t a, index_t b) {
  const index_t r = a % b;
  return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}
static inline long floor_div_long(long a, long b) {
  const long q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
static inline long floor_mod_long(long a, long b) {
  const long r = a % b;
  return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}
static inline index_t clamp_index(long value, long extent) {
  return (index_t)max(min(value, extent - 1), 0L);
}
static inline index_t clamp_index_unsigned(ulong value, long extent) {
  return (index_t)min(value, (ulong)max(extent - 1, 0L));
}
"""

_ROUNDING = {
    "round_f16": """\
static inline float round_f16(float x) {
  ushort bits;
  vstore_half_rte(x, 0, (__private half *)&bits);
  return vload_half(0, (const __private half *)&bits);
}
""",
    "double_to_f16": """\
static inline float double_to_f16(double x) {
  ushort bits;
  vstore_half_rte(x, 0, (__private half *)&bits);
  return vload_half(0, (const __private half *)&bits);
}
""",
    "to_bf16": """\
static inline ushort to_bf16(float x) {
  const uint bits = as_uint(x);
  if (isnan(x)) return (ushort)((bits >> 16) | 0x40u);
  return (ushort)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
""",
    "from_bf16": """\
static inline float from_bf16(ushort x) { return as_float((uint)x << 16); }
""",
    "round_bf16": """\
static inline float round_bf16(float x) { return from_bf16(to_bf16(x)); }
""",
}

_NEEDS = {"round_bf16": (("to_bf16", ""), ("from_bf16", ""))}

_FLOATING = {
    # NaN in either argument gives NaN.
    "minimum": """\
static inline {T} minimum_{T}({T} a, {T} b) { return (a < b || isnan(a)) ? a : b; }
""",
    "maximum": """\
static inline {T} maximum_{T}({T} a, {T} b) { return (a > b || isnan(a)) ? a : b; }
""",
    "sigmoid": """\
static inline {T} sigmoid_{T}({T} x) {
  const {T} e = exp(-fabs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}
""",
    # fmod is exact; the sign of a zero remainder is that of the divisor.
    "modulo": """\
static inline {T} modulo_{T}({T} a, {T} b) {
  const {T} r = fmod(a, b);
  if (b == 0) return r;
  if (r == 0) return copysign(({T})0, b);
  return ((b < 0) != (r < 0)) ? r + b : r;
}
""",
    # From the exact remainder, so that the quotient is a whole number before it is rounded.
    "floordiv": """\
static inline {T} floordiv_{T}({T} a, {T} b) {
  if (b == 0) return a / b;
  const {T} r = fmod(a, b);
  {T} q = (a - r) / b;
  if (r != 0 && (b < 0) != (r < 0)) q -= 1;
  if (q == 0) return copysign(({T})0, a / b);
  const {T} whole = floor(q);
  return (q - whole > ({T})0.5) ? whole + 1 : whole;
}
""",
}

_INTEGER = {
    # The least number divided by -1 wraps around; a division by zero gives 0.
    "floordiv": """\
static inline {T} floordiv_{T}({T} a, {T} b) {
  if (b == 0) return 0;
  if (({T})(b + 1) == 0) return ({T})(({U})0 - ({U})a);
  const {T} q = ({T})(a / b);
  return (({T})(a % b) != 0 && (a < 0) != (b < 0)) ? ({T})(q - 1) : q;
}
""",
    "modulo": """\
static inline {T} modulo_{T}({T} a, {T} b) {
  if (b == 0 || ({T})(b + 1) == 0) return 0;
  const {T} r = ({T})(a % b);
  return (r != 0 && (r < 0) != (b < 0)) ? ({T})(r + b) : r;
}
""",
    "power": """\
static inline {T} power_{T}({T} a, {T} b) {
  if (b < 0) {
    if (a == 1) return 1;
    if (({T})(a + 1) == 0) return (b % 2 == 0) ? 1 : -1;
    return 0;
  }
  {U} result = 1, base = ({U})a;
  for ({U} e = ({U})b; e != 0; e >>= 1) {
    if (e & 1) result *= base;
    base *= base;
  }
  return ({T})result;
}
""",
    "shift_left": """\
static inline {T} shift_left_{T}({T} a, {T} b) {
  return (b >= 0 && b < {W}) ? ({T})(({U})a << b) : ({T})0;
}
""",
    "shift_right": """\
static inline {T} shift_right_{T}({T} a, {T} b) {
  return (b >= 0 && b < {W}) ? ({T})(a >> b) : ({T})0;
}
""",
}

# For unsigned types -1 is the greatest number, which divides like any other.
_UNSIGNED = {
    "floordiv": """\
static inline {T} floordiv_{T}({T} a, {T} b) { return b == 0 ? ({T})0 : ({T})(a / b); }
""",
    "modulo": """\
static inline {T} modulo_{T}({T} a, {T} b) { return b == 0 ? ({T})0 : ({T})(a % b); }
""",
    "power": """\
static inline {T} power_{T}({T} a, {T} b) {
  {U} result = 1, base = a;
  for ({U} e = b; e != 0; e >>= 1) {
    if (e & 1) result *= base;
    base *= base;
  }
  return ({T})result;
}
""",
    "shift_left": """\
static inline {T} shift_left_{T}({T} a, {T} b) { return b < {W} ? ({T})(a << b) : ({T})0; }
""",
    "shift_right": """\
static inline {T} shift_right_{T}({T} a, {T} b) { return b < {W} ? ({T})(a >> b) : ({T})0; }
""",
}

# The builtin's answer to NaN differs among implementations.
_SATURATE = """\
static inline {T} saturate_{S}_{T}({S} x) { return isnan(x) ? ({T})0 : convert_{T}_sat_rtz(x); }
"""

_WIDTHS = {"char": 8, "short": 16, "int": 32, "long": 64}


def helper_text(used: set[tuple[str, str]]) -> str:
    """The helpers that a text uses, in a fixed order."""
    wanted = set(used)
    for name, _ in used:
        wanted.update(_NEEDS.get(name, ()))
    order = {name: n for n, name in enumerate((*_ROUNDING, *_FLOATING, *_INTEGER, "saturate"))}
    parts = [_one(name, kind) for name, kind in sorted(wanted, key=lambda h: (order[h[0]], h[1]))]
    return "".join(parts)


def _one(name: str, kind: str) -> str:
    if name in _ROUNDING:
        return _ROUNDING[name]
    if name == "saturate":
        source, target = kind.split("_")
        return _SATURATE.replace("{S}", source).replace("{T}", target)
    if kind in ("float", "double"):
        return _FLOATING[name].replace("{T}", kind)
    signed = kind in _WIDTHS
    unsigned = "ulong" if kind.endswith("long") else "uint"
    text = (_INTEGER if signed else _UNSIGNED)[name]
    width = str(_WIDTHS[kind.removeprefix("u")])
    return text.replace("{T}", kind).replace("{U}", unsigned).replace("{W}", width)
