"""Section 4.2 as claims: what a pixel-wise distance does not see."""

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, at_most, claim

SIZE = 12


@claim(
    "Remark 4.5",
    given={
        "width": st.integers(1, 4),
        "height": st.integers(1, SIZE),
        "shift": st.integers(2, 6),
        "ink": draw.positive(0.125, 1, 3),
        "p": st.sampled_from([1.0, 2.0, 4.0, np.inf]),
    },
    cases=[{"width": 4, "height": 8, "shift": 2, "ink": 1.0, "p": 2.0}],
    examples=60,
)
def shifted_strokes_are_farther_than_none(width: int, height: int, shift: int, ink: float, p: float) -> Evidence:
    """A stroke moved aside by half its width or more, which a reader hardly notices, is at least as far from the
    stroke in l_p as the empty image is: (2 min(shift, width) height)^(1/p) >= (width height)^(1/p)."""
    image = np.zeros((SIZE, SIZE))
    image[:height, 1 : 1 + width] = ink
    moved = np.roll(image, shift, axis=1)
    to_empty, to_moved = (float(np.linalg.norm(x.ravel(), p)) for x in (image, image - moved))
    return at_most(to_empty, to_moved)


shifted_strokes_are_farther_than_none.without(
    "a shift of half the width",
    cases=[{"width": 4, "height": 2, "shift": 1, "ink": 1.0, "p": 2.0}],
    width=st.just(4),
    shift=st.just(1),
    p=st.sampled_from([1.0, 2.0]),
)
