"""Random numbers without a sequence: every draw is a hash of what it is for.

A draw is named by the seed, a purpose and an entity (a customer's k-th purchase, a
sku's day); nothing depends on how many draws came before. Change one decision and only
the draws it reaches are looked up differently; split the work over any number of cores
and the bytes stay the same. The hash is the finaliser of SplitMix64 (Steele, Lea &
Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA), a bijection of
64-bit words.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy import ndarray

_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ALPHABET = np.frombuffer(b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ", dtype=np.uint8)  # no 0/O, no 1/I


def mix(words: ndarray) -> ndarray:
    """SplitMix64's finaliser on an array of uint64."""
    # Whole arrays wrap round silently, scalars would warn.
    z = np.atleast_1d(np.asarray(words, dtype=np.uint64))
    z = (z ^ (z >> _30)) * _M1
    z = (z ^ (z >> _27)) * _M2
    z = z ^ (z >> _31)
    return z if np.ndim(words) else z[0]


def code(purpose: str) -> np.uint64:
    """A word for a purpose: the same on every machine and in every process."""
    low, high = zlib.crc32(purpose.encode()), zlib.adler32(purpose.encode()[::-1])
    return mix(np.uint64((high << 32) | low))[()]


def key(*parts: object) -> ndarray:
    """Folds seeds, purposes (text), entities and days (integers or arrays) into one
    word per entity.
    """
    folded, is_many = np.zeros(1, np.uint64), False
    for part in parts:
        if isinstance(part, str):
            word = np.atleast_1d(_tag(part))
        else:
            whole = np.asarray(part)
            is_many = is_many or whole.ndim > 0
            word = np.atleast_1d(
                whole if whole.dtype == np.uint64 else whole.astype(np.int64).astype(np.uint64)
            )
        folded = mix((folded + _GOLDEN) ^ (word * _M2 + _GOLDEN))
    return folded if is_many else folded[0]


def uniform(keys: ndarray, purpose: str) -> ndarray:
    """One number in (0, 1) per key and purpose."""
    word = mix(np.asarray(keys, dtype=np.uint64) ^ _tag(purpose))
    return ((word >> _11).astype(np.float64) + 0.5) * 2.0**-53


def below(keys: ndarray, purpose: str, n: float) -> ndarray:
    """A whole number from 0 to below n per key and purpose."""
    return (uniform(keys, purpose) * n).astype(np.int64)


def exponential(keys: ndarray, purpose: str) -> ndarray:
    """Standard exponential per key and purpose."""
    return -np.log(uniform(keys, purpose))


def normal(keys: ndarray, purpose: str) -> ndarray:
    """Standard normal per key and purpose (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniform(keys, purpose)))
    return radius * np.cos(2.0 * np.pi * uniform(keys, purpose + "/angle"))


def poisson(keys: ndarray, purpose: str, mean: ndarray) -> ndarray:
    """Poisson counts by inversion of one uniform: a higher mean never gives a smaller
    count.
    """
    u = uniform(keys, purpose)
    mean = np.broadcast_to(np.asarray(mean, dtype=np.float64), u.shape)
    count = np.zeros(u.shape, dtype=np.int64)
    if not u.size:
        return count
    large = mean > 40.0
    chance = np.exp(-np.minimum(mean, 40.0))
    below = chance.copy()
    active = np.flatnonzero((u > below) & ~large)
    step = 0
    while active.size and step < 400:
        step += 1
        chance[active] *= mean[active] / step
        below[active] += chance[active]
        count[active] += 1
        active = active[u[active] > below[active]]
    if large.any():
        from scipy.special import ndtri

        # Cornish-Fisher: monotone in both the mean and the draw.
        m, z = mean[large], ndtri(u[large])
        near = np.floor(m + np.sqrt(m) * z + (z * z - 1.0) / 6.0 + 0.5)
        count[large] = np.maximum(near, 0.0).astype(np.int64)
    return count


_TAGS: dict[str, np.uint64] = {}


def _tag(purpose: str) -> np.uint64:
    if purpose not in _TAGS:
        _TAGS[purpose] = code("draw/" + purpose)
    return _TAGS[purpose]


def text_ids(keys: ndarray, length: int) -> ndarray:
    """`length` letters and digits per key (5 bits each, at most 12), as bytes of shape
    (n, length).
    """
    shifts = (np.arange(length, dtype=np.uint64) * np.uint64(5))[None, :]
    words = mix(np.asarray(keys, dtype=np.uint64) ^ _tag("id"))[:, None]
    return _ALPHABET[((words >> shifts) & np.uint64(31)).astype(np.intp)]
