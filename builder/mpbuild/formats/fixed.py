"""DEFLATE of a few bytes with the fixed codes (RFC 1951, section 3.2.6): tar headers, that is.

Made here in less time than a compressor takes to set up its tables. ASCII bytes are literals of
eight bits each. From four zeros on, a run is one literal and copies of it, each at distance 1.
"""

from functools import cache

_LITERALS = bytes(int(f"{0x30 + byte:08b}"[::-1], 2) for byte in range(128)).ljust(256, b"\0")
_RUN = bytes(4)
_LONGEST = 258
_FINAL_FIXED, _FINAL_FIXED_BITS = 0b011, 3
_END_BITS = 7


def encode(data: bytes) -> bytes:
    """One final block; ``data`` must be ASCII, and should be short."""
    text = data.translate(_LITERALS)
    bits, count, at = _FINAL_FIXED, _FINAL_FIXED_BITS, 0
    while (run := data.find(_RUN, at)) >= 0:
        end = len(data) - len(data[run:].lstrip(b"\0"))
        zeros, width = _zeros(end - run)
        bits |= int.from_bytes(text[at:run], "little") << count
        count += 8 * (run - at)
        bits |= zeros << count
        count += width
        at = end
    bits |= int.from_bytes(text[at:], "little") << count
    count += 8 * (len(text) - at) + _END_BITS
    return bits.to_bytes((count + 7) // 8, "little")


@cache
def _zeros(count: int) -> tuple[int, int]:
    """A run of so many zeros: its bits, the first one lowest, and how many."""
    whole, rest = divmod(count - 1, _LONGEST)
    literal = f"{0x30:08b}"
    text = literal + whole * _copy(_LONGEST) + (_copy(rest) if rest >= 3 else literal * rest)
    return int(text[::-1], 2), len(text)


def _copy(length: int) -> str:
    """The code of a match at distance 1, in the order of transmission (section 3.2.5)."""
    if length == _LONGEST:
        symbol, extra = 285, 0
    else:
        # Four symbols for each number of extra bits but the first, which has eight.
        extra = max((length - 3).bit_length() - 3, 0)
        symbol = 257 + 4 * extra + ((length - 3) >> extra)
    code = f"{symbol - 256:07b}" if symbol < 280 else f"{symbol - 280 + 0xC0:08b}"
    low = f"{(length - 3) & ((1 << extra) - 1):0{extra}b}"[::-1] if extra else ""
    return code + low + "00000"
