"""Section 4.2: attacks, Lipschitz constants labelled lower, exact or upper, and Lipschitz training (CLIP).

=============  ======================  ==================================================================
text           code                    meaning
=============  ======================  ==================================================================
theta          theta                   all parameters, one vector (n,)
x, x'          x, xbar                 an input (B, ...) and a perturbed one; the pairs (P, ...) of X_Lip
eps            eps                     adversarial budget: ||x - xbar||_p <= eps
T(x, delta)    translation, rotation   ways to distort an input; delta is shift, angle, ...
Proj           project                 onto the ball intersected with the box of images
Lip(f_theta)   exact_lipschitz, Bound  the constant, or a number labelled lower, exact or upper
Lip(f; X_Lip)  lipschitz_estimate      the largest quotient over the pairs X_Lip
L(x, x')       quotient                ||f(x) - f(xbar)||_q / ||x - xbar||_p
p, q           p, q                    norms of inputs and outputs: 1, 2 or inf
lambda         lam                     weight of the Lipschitz penalty (4.4)
tau            tau, step               step of the ascent on X_Lip; of PGD
eta            eta                     step of the training (Algorithm 2)
=============  ======================  ==================================================================
"""

from refimpl.robustness.adversarial import (
    AdversarialInputs,
    ExactLipschitzPenalty,
    ProductPenalty,
    WeightPenalty,
)
from refimpl.robustness.attacks import fgsm, pgd
from refimpl.robustness.bounds import (
    Bound,
    certified_radius,
    convolution_norm,
    margin,
    power_iteration,
    product_bound,
    product_bound_gradient,
)
from refimpl.robustness.clip import ClipPenalty, train_clip
from refimpl.robustness.exact import exact_lipschitz, exact_lipschitz_rational
from refimpl.robustness.integer import milp_lipschitz
from refimpl.robustness.lipschitz import LipschitzReport, lipschitz_report
from refimpl.robustness.norms import norm, operator_norm
from refimpl.robustness.piecewise import pieces
from refimpl.robustness.problem import Attack
from refimpl.robustness.projections import project, project_box
from refimpl.robustness.quotients import (
    Pairs,
    QuotientGradient,
    ascend,
    lipschitz_estimate,
    perturbed_pairs,
    quotient,
    quotient_gradient,
)
from refimpl.robustness.regions import regions
from refimpl.robustness.training import (
    AuthorsSchedule,
    Penalty,
    Record,
    Schedule,
    State,
    TowardsAccuracy,
    train,
)
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
from refimpl.robustness.weak_attacks import attack_2021, gaussian_noise, noise

__all__ = [
    "AdversarialInputs",
    "Attack",
    "AuthorsSchedule",
    "Bound",
    "ClipPenalty",
    "ExactLipschitzPenalty",
    "LipschitzReport",
    "Pairs",
    "Penalty",
    "ProductPenalty",
    "QuotientGradient",
    "Record",
    "Schedule",
    "State",
    "TowardsAccuracy",
    "WeightPenalty",
    "addition",
    "ascend",
    "attack_2021",
    "certified_radius",
    "change_of_basis",
    "convolution_norm",
    "cosine_attack",
    "exact_lipschitz",
    "exact_lipschitz_rational",
    "fgsm",
    "gaussian_noise",
    "grid_attack",
    "lipschitz_estimate",
    "lipschitz_report",
    "margin",
    "milp_lipschitz",
    "noise",
    "norm",
    "operator_norm",
    "perturbed_pairs",
    "pgd",
    "pieces",
    "power_iteration",
    "product_bound",
    "product_bound_gradient",
    "project",
    "project_box",
    "quotient",
    "quotient_gradient",
    "regions",
    "rotation",
    "to_cosines",
    "to_pixels",
    "train",
    "train_clip",
    "translation",
]
