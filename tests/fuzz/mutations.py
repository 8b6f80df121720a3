"""Damage files at random, but the same way for the same seed: bits, numbers, cuts, words, values of JSON."""

import json
import random
import re
from typing import Any

_NUMBERS = (0, 1, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_PIECES = (b"\xff" * 4, bytes(8), b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\0\0\0\0\0\0\xf0\x7f")
_WORDS = (
    *(b"-1", b"0", b"1e308", b"nan", b"inf", b"NaN", b"-Infinity", b"1e999", b"1e-320", b"9" * 400, b"99999999999"),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"a"', b"[[1]]", b"\xff", b"\0", b"-", b",", b";", b"\t", b"\n", b"//"),
    *(b'"' + b"a" * 3000 + b'"', b'"../../x"', b"\xef\xbb\xbf", b"\xed\xa0\x80", b"1,5", b"[" * 2000),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2.5, 1e300, 1e-320, 10**12, 10**400, float("nan"), float("-inf")),
    *("", "a", "a" * 3000, "\ud800", "../../x", "1e9", [], [0], [[]], [[1e300] * 4] * 4, {}, {"a": 1}, [None] * 3),
)


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Return a copy with one to eight changes; JSON often stays JSON, with other values."""
    if data[:1] == b"{" and generator.random() < 0.7:
        try:
            return _other_values(json.loads(data), generator)
        except (ValueError, RecursionError):
            pass
    out = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        if not out:
            break
        # Half of them in the first 400 bytes, where headers are.
        at = generator.randrange(len(out) if generator.random() < 0.5 else min(len(out), 400))
        match generator.randrange(11):
            case 0:
                out[at] ^= 1 << generator.randrange(8)
            case 1:
                size = generator.choice((1, 2, 4, 8))
                number = generator.choice(_NUMBERS) % 2 ** (8 * size)
                out[at : at + size] = number.to_bytes(size, generator.choice(("little", "big")))
            case 2:
                del out[at : at + generator.randrange(1, 40)]
            case 3:
                out[at:at] = generator.randbytes(generator.randrange(1, 20))
            case 4:
                del out[generator.randrange(len(out)) :]
            case 5:
                start, length = generator.randrange(len(out)), generator.randrange(1, 60)
                out[at : at + length] = out[start : start + length]
            case 6:
                piece = generator.choice(_PIECES)
                out[at : at + len(piece)] = piece
            case 7:
                out[at:at] = generator.choice(_WORDS)
            case 8 | 9:
                digit = re.compile(rb"\d").search(out, at)
                if digit:
                    out[digit.start() : digit.end()] = generator.choice((b"0", b"7", b"9", b"-", b".", b"12", b"e"))
            case _:
                word = re.compile(rb"[-+.\w]+").search(out, at)
                if word:
                    out[word.start() : word.end()] = generator.choice(_WORDS)
    return bytes(out)


def _other_values(data: Any, generator: random.Random) -> bytes:
    for _ in range(generator.choice((1, 1, 2, 3))):
        places = list(_places(data))
        if not places:
            break
        owner, key = generator.choice(places)
        if generator.random() < 0.2:
            del owner[key]
        elif generator.random() < 0.2:
            other, name = generator.choice(places)
            owner[key] = json.loads(json.dumps(other[name]))
        else:
            owner[key] = generator.choice(_VALUES)
    return json.dumps(data).encode()


def _places(data: Any) -> Any:
    """Yield every mapping and list in nested data with each of its keys."""
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _places(data[key])
