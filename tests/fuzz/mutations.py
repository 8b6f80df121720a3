"""Damage files at random, but the same way for the same seed: bits, numbers, cuts, parts left out, put in or moved."""

import random

_NUMBERS = (0, 1, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Return a copy with one to eight changes, half of them in the first 400 bytes, where headers are."""
    out = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 3, 8))):
        if not out:
            break
        at = generator.randrange(len(out) if generator.random() < 0.5 else min(len(out), 400))
        match generator.randrange(6):
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
    return bytes(out)
