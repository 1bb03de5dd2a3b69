"""Ed25519 over a digest, as cosign signs with Ed25519 keys; the library verifies only Ed25519 over the whole.

Only verification, of public values: nothing here has to take the same time for every value. Source: RFC 8032, 5.1.
"""

from __future__ import annotations

import hashlib

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_DOMAIN = b"SigEd25519 no Ed25519 collisions" + b"\x01\x00"  # pre-hashed, without a context
_SIZE = 32

# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]


def verifies_prehashed(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over SHA-512 of ``data`` is by the key ``public`` (32 bytes)."""
    return _verifies(public, signature, hashlib.sha512(data).digest(), _DOMAIN)


def _verifies(public: bytes, signature: bytes, message: bytes, domain: bytes) -> bool:
    if len(public) != _SIZE or len(signature) != 2 * _SIZE:
        return False
    commitment, scalar = signature[:_SIZE], int.from_bytes(signature[_SIZE:], "little")
    key, point = _decode(public), _decode(commitment)
    # A larger scalar would be a second signature of the same thing.
    if key is None or point is None or scalar >= _L or _is_small(key):
        return False
    challenge = int.from_bytes(hashlib.sha512(domain + commitment + public + message).digest(), "little") % _L
    return _equal(_times(scalar, _BASE), _add(point, _times(challenge, key)))


def _decode(raw: bytes) -> _Point | None:
    """The point, or None where the bytes are none, or not in their one form."""
    value = int.from_bytes(raw, "little")
    sign, y = value >> 255, value & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x * x % _P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(left: _Point, right: _Point) -> _Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: _Point) -> _Point:
    found = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found


def _equal(left: _Point, right: _Point) -> bool:
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def _is_small(point: _Point) -> bool:
    """Whether it is one of the eight points by which anybody can sign."""
    return _equal(_times(8, point), (0, 1, 1, 0))


def _base() -> _Point:
    found = _decode((4 * pow(5, -1, _P) % _P).to_bytes(_SIZE, "little"))
    assert found is not None
    return found


_BASE = _base()
