"""Compresses tar headers to DEFLATE with fixed codes (RFC 1951, section 3.2.6).

This takes a fraction of the time that a compressor needs to set up its tables. ASCII bytes are
literals of eight bits. A run of four or more zeros is one literal, then copies of it at distance 1,
each as long as possible; one or two zeros left over are literals again.
"""

from functools import cache, lru_cache

_LITERALS = bytes(int(f"{0x30 + byte:08b}"[::-1], 2) for byte in range(128)).ljust(256, b"\0")
_ZERO = f"{0x30:08b}"
_RUN = bytes(4)
_LONGEST = 258
_FINAL_FIXED, _FINAL_FIXED_BITS = 0b011, 3
_END_BITS = 7
# Nearly all tar headers of a layer are equal from the type flag on.
_SAME = 356

_Bits = tuple[int, int]
"""Bits, the first one lowest, and their number."""


def encode(data: bytes) -> bytes:
    """A single final block; ``data`` must be ASCII, and should be short."""
    cut = len(data) - _SAME
    if cut < 0 or not data[cut]:  # never cut a run
        cut = len(data)
    front, front_width = _coded(data[:cut])
    back, back_width = _coded_before(data[cut:])
    bits = _FINAL_FIXED | (front | back << front_width) << _FINAL_FIXED_BITS
    width = _FINAL_FIXED_BITS + front_width + back_width + _END_BITS
    return bits.to_bytes((width + 7) // 8, "little")


def _coded(data: bytes) -> _Bits:
    literals = data.translate(_LITERALS)
    bits = width = at = 0
    while (run := data.find(_RUN, at)) >= 0:
        end = len(data) - len(data[run:].lstrip(b"\0"))
        zeros, zeros_width = _zeros(end - run)
        bits |= int.from_bytes(literals[at:run], "little") << width
        width += 8 * (run - at)
        bits |= zeros << width
        width += zeros_width
        at = end
    bits |= int.from_bytes(literals[at:], "little") << width
    return bits, width + 8 * (len(data) - at)


_coded_before = lru_cache(_coded)


@cache
def _zeros(count: int) -> _Bits:
    whole, rest = divmod(count - 1, _LONGEST)
    text = _ZERO + whole * _copy(_LONGEST) + (_copy(rest) if rest >= 3 else _ZERO * rest)
    return int(text[::-1], 2), len(text)


def _copy(length: int) -> str:
    """A match at distance 1, as bits in the order of transmission (sections 3.1.1 and 3.2.5)."""
    if length == _LONGEST:
        symbol, extra = 285, 0
    else:
        # Each number of extra bits has four symbols, except 0, which has eight.
        extra = max((length - 3).bit_length() - 3, 0)
        symbol = 257 + 4 * extra + ((length - 3) >> extra)
    code = f"{symbol - 256:07b}" if symbol < 280 else f"{symbol - 280 + 0xC0:08b}"
    low = f"{(length - 3) & ((1 << extra) - 1):0{extra}b}"[::-1] if extra else ""
    return code + low + "00000"
