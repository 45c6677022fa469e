"""Section 4.2: attacks, Lipschitz constants labelled lower, exact or upper, and Lipschitz training (CLIP).

=============  ==================================================================
theta          all parameters, one vector
x, xbar        an input and a perturbed one; pairs of X_Lip
eps            adversarial budget: ||x - xbar||_p <= eps
p, q           norms of inputs and outputs: 1, 2 or inf
L              the quotient ||f(x) - f(xbar)||_q / ||x - xbar||_p
lam            weight of the Lipschitz penalty (4.4)
tau            step of the ascent on X_Lip and of PGD
eta            step of the training
=============  ==================================================================
"""

from refimpl.robustness.attacks import Attack, attack_2021, fgsm, gaussian_noise, noise, pgd
from refimpl.robustness.norms import norm, operator_norm
from refimpl.robustness.projections import project, project_box
from refimpl.robustness.transforms import (
    addition,
    change_of_basis,
    cosine_attack,
    grid_attack,
    rotation,
    to_cosines,
    to_pixels,
    translation,
)

__all__ = [
    "Attack",
    "addition",
    "attack_2021",
    "change_of_basis",
    "cosine_attack",
    "fgsm",
    "gaussian_noise",
    "grid_attack",
    "noise",
    "norm",
    "operator_norm",
    "pgd",
    "project",
    "project_box",
    "rotation",
    "to_cosines",
    "to_pixels",
    "translation",
]
