"""Statements about images, checked on images: digits from ``--data-dir`` or ``REFIMPL_DATA``, else embedded glyphs."""

import os
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import data
from refimpl.claims.claim import Evidence, all_of, at_most, claim
from refimpl.robustness import translation
from refimpl.sparsity import bregman_distance, tv, tv_bregman
from refimpl.sparsity.total_variation import TotalVariation

Array = np.ndarray
COUNT = 600


@cache
def _loaded(folder: str | None) -> tuple[Array, Array]:
    name = "mnist" if folder else "glyphs"
    part = data.load(name, folder, COUNT).take(np.arange(COUNT))
    return part.x.astype(np.float64), part.labels


def digits() -> tuple[Array, Array]:
    """600 images (600, 1, 28, 28) in [0, 1] and their labels."""
    return _loaded(os.environ.get("REFIMPL_DATA"))


DIRECTIONS = {"down": st.sampled_from([-1, 0, 1]), "right": st.sampled_from([-1, 1]), "pixels": st.just(2)}


@claim("Remark 4.5", given=DIRECTIONS, code=(translation,), examples=6)
def shifted_digits_are_farther_than_other_digits(down: int, right: int, pixels: int) -> Evidence:
    """A digit shifted by two pixels, the same digit to any reader, is for most images farther from itself in l_2 than
    the nearest image of *another* digit is."""
    return _farther(down, right, pixels)


shifted_digits_are_farther_than_other_digits.without("a visible shift", pixels=st.just(0))


def _farther(down: int, right: int, pixels: int) -> Evidence:
    images, labels = digits()
    moved = translation(images, (down * pixels, right * pixels), "zero")
    flat = images.reshape(len(images), -1)
    squares = np.sum(flat**2, axis=1)
    between = squares[:, None] + squares - 2 * flat @ flat.T
    nearest = np.where(labels[:, None] == labels, np.inf, between).min(axis=1)
    share = np.mean(np.sum((moved - images) ** 2, axis=(1, 2, 3)) > nearest)
    return at_most(0.5, float(share))


NOISY = {"image": st.integers(0, COUNT - 1), "seed": st.integers(0, 99), "sigma": st.sampled_from([0.125, 0.25])}
STEPS, GAP = 5, 1e-8


@claim("Example 4.18", given=NOISY, code=(tv_bregman, bregman_distance), examples=3)
def denoising_a_digit(image: int, seed: int, sigma: float) -> Evidence:
    """Along the Bregman iteration of a noisy image L falls and TV rises from 0, and the Bregman distance to the clean
    image falls as long as L(u_k) >= 1/2 |noise|^2: stopped there, it denoises."""
    return _denoising(image, seed, sigma, lambda steps: steps)


@denoising_a_digit.twin("iterates in the reverse order")
def denoising_backwards(image: int, seed: int, sigma: float) -> Evidence:
    return _denoising(image, seed, sigma, lambda steps: steps[::-1])


def _denoising(image: int, seed: int, sigma: float, order: Any) -> Evidence:
    clean = digits()[0][image, 0].reshape(14, 2, 14, 2).mean(axis=(1, 3))  # half the resolution
    noise = sigma * np.random.default_rng(seed).standard_normal(clean.shape)
    f = clean + noise
    steps = order(list(islice(tv_bregman(f, 0.5, GAP), STEPS)))
    L = [0.5 * float(np.sum((s.u - f) ** 2)) for s in steps]
    variation = [tv(s.u) for s in steps]
    J = TotalVariation()
    apart = [bregman_distance(J, clean, s.u, s.p) for s in steps]
    early = [k for k in range(1, STEPS) if L[k] >= 0.5 * float(np.sum(noise**2))]
    loose = (
        float(np.sqrt(8 * f.size * 2 * GAP)) / np.finfo(float).eps
    )  # |u - u*|_2 <= sqrt(2 gap), TV(e) <= sqrt(8 n)|e|
    pairs = [(L[k], L[k - 1]) for k in range(1, STEPS)] + [(variation[k - 1], variation[k]) for k in range(1, STEPS)]
    pairs += [(apart[k], apart[k - 1]) for k in early]
    return all_of(*(at_most(low, high, float(np.linalg.norm(f)), loose, ratio=np.nan) for low, high in pairs))
