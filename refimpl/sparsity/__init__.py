"""Section 4.3: sparse training by Bregman iterations.

===============  =======================  =================================================================
text             code                     meaning
===============  =======================  =================================================================
theta            theta                    the parameters, one vector (n,) or an array
J                Regularizer, J           a convex regularizer; subclasses L1, GroupL2, TotalVariation, ...
J_delta          ElasticNet               J + 1/(2 delta) |.|^2 (4.17)
prox_{tau J}(v)  prox                     J.prox(v, tau) (Definition 4.13)
D_J^p(a, b)      bregman_distance         (4.9); the symmetric one is (4.10)
p                p                        a subgradient of J at theta
v                v                        a subgradient of J_delta at theta, v = theta/delta + p
m, s             m, s                     moments of the gradient in (4.22) and AdaBreg
tau              step, tau                step size: argument step, in formulas tau
delta            delta                    elastic net parameter
lambda           lam                      strength of J
beta             momentum, betas          momentum of (4.22); the two of AdaBreg
r, M             density, bernoulli_mask  density of a Bernoulli mask, and the mask (Section 4.3.5)
N, S             density, sparsity        share of parameters that are not zero, and that are
h                Mirror                   mirror map of (4.20): Entropy, Quadratic
===============  =======================  =================================================================
"""

from refimpl.sparsity.architecture import SkipNetwork, active_kernels, active_rows, effective_widths
from refimpl.sparsity.baselines import IterativePruning, LassoSubgradient, threshold
from refimpl.sparsity.blocks import Blocks
from refimpl.sparsity.bregman import (
    bregman_distance,
    bregman_iteration,
    inverse_scale_space,
    lasso,
    symmetric_bregman_distance,
)
from refimpl.sparsity.groups import L2, GroupL2, SparseGroup
from refimpl.sparsity.initialization import bernoulli_mask, count, density, sparsify
from refimpl.sparsity.linearized import Entropy, Quadratic, linearized_bregman, mirror_descent
from refimpl.sparsity.optimizers import AdaBreg, GradientDescent, LinBreg, ProximalGradient
from refimpl.sparsity.regularizers import L1, Box, ElasticNet, Nonnegative, Regularizer, SquaredL2, Zero
from refimpl.sparsity.schedules import Plateau, TargetSparsity, restart
from refimpl.sparsity.total_variation import TotalVariation, tv, tv_bregman, tv_denoise

__all__ = [
    "L1",
    "L2",
    "AdaBreg",
    "Blocks",
    "Box",
    "ElasticNet",
    "Entropy",
    "GradientDescent",
    "GroupL2",
    "IterativePruning",
    "LassoSubgradient",
    "LinBreg",
    "Nonnegative",
    "Plateau",
    "ProximalGradient",
    "Quadratic",
    "Regularizer",
    "SkipNetwork",
    "SparseGroup",
    "SquaredL2",
    "TargetSparsity",
    "TotalVariation",
    "Zero",
    "active_kernels",
    "active_rows",
    "bernoulli_mask",
    "bregman_distance",
    "bregman_iteration",
    "count",
    "density",
    "effective_widths",
    "inverse_scale_space",
    "lasso",
    "linearized_bregman",
    "mirror_descent",
    "restart",
    "sparsify",
    "symmetric_bregman_distance",
    "threshold",
    "tv",
    "tv_bregman",
    "tv_denoise",
]
