"""Floor 0: the index of every numbered item of the chapter, in its order, in our own words.

Every item is checked by a claim, used by an item that is, or excused in `NOT_CHECKED` with the reason.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A numbered (or named) item.

    Attributes
    ----------
    id : "Theorem 4.26", "(4.19)", or "4.2.2 monotone in lambda" for a result the text states without a number.
    section : "4.3.4".
    title : a few words.
    says : what it says, one or two lines of our own.
    uses : ids of the items it rests on or displays.
    """

    id: str
    section: str
    title: str
    says: str
    uses: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Definition, Example, Remark, Assumption, Proposition, Lemma, Theorem, Corollary, Equation or Result."""
        if self.id.startswith("("):
            return "Equation"
        return self.id.split()[0] if self.id[0].isalpha() else "Result"


# fmt: off
ITEMS: tuple[Item, ...] = (
    # 4.1 Setting
    Item("(4.1)", "4.1", "empirical risk", "L(theta) is the mean of l(f_theta(x), y) over the finite training set."),
    Item("Remark 4.1", "4.1", "population risk",
         "The empirical risk of an i.i.d. sample estimates the integral of the loss over the joint "
         "distribution: unbiased, with an error of order |T|^(-1/2).", ("(4.1)",)),
    Item("Example 4.2", "4.1", "squared error", "l(a, y) = |a - y|^2 / (N M) on N x M images.", ("(4.1)",)),
    Item("Example 4.3", "4.1", "cross-entropy",
         "H(p, q) = -sum_c p_c log q_c; on logits through softmax Q, on labels through one-hot vectors, where "
         "it is -log of the label's entry of Q.", ("(4.1)",)),
    Item("(4.2)", "4.1.1", "residual layer", "Phi(w, W, b)(z) = w z + sigma(W z + b); a network composes L of them."),
    Item("4.1.1 convolution", "4.1.1", "convolutional layer",
         "With a kernel k_ij for each pair of channels, output channel j is the sum over i of k_ij * z_i.",
         ("(4.2)", "4.4 convolution")),
    Item("4.1.2 unbiased estimator", "4.1.2", "minibatch gradients",
         "The gradient of a random minibatch loss has expectation grad L(theta) for every theta.", ("(4.1)",)),
    Item("4.1.2 gradient descent", "4.1.2", "gradient descent and SGD",
         "theta+ = theta - tau g with g = grad L(theta), or with an unbiased estimate of it drawn afresh in "
         "each step.", ("4.1.2 unbiased estimator",)),
    # 4.2 Adversarial stability via Lipschitz training
    Item("4.2 adversarial example", "4.2", "MAP label and adversarial example",
         "The label is the argmax of f(x). An input within distance eps of x that gets another label is "
         "adversarial; eps is the budget."),
    Item("Remark 4.4", "4.2", "inherent instability",
         "For some classification problems small adversarial distances are a property of the data distribution"
         " (concentration of measure), whatever the classifier.", ("4.2 adversarial example",)),
    Item("Remark 4.5", "4.2", "pixel distances",
         "An l_p distance between images is cheap but not perceptual: images that look alike can be farther "
         "apart than images that do not.", ("4.2 adversarial example",)),
    Item("4.2 transforms", "4.2", "ways to distort an input",
         "x~ = T(x, delta) by addition, translation, rotation, or coefficients in another orthonormal basis; "
         "|delta| <= eps replaces the distance.", ("4.2 adversarial example",)),
    Item("(4.3)", "4.2", "the attack problem",
         "Maximise the loss over all admissible inputs within distance eps of x; the projected sign ascent "
         "does so step by step, and its first step alone is FGSM.", ("4.2 adversarial example",)),
    Item("4.2 projection", "4.2", "projection onto ball and box",
         "The nearest point in the intersection of the eps-ball around x with the set of images.", ("(4.3)",)),
    Item("4.2 adversarial training", "4.2", "adversarial training",
         "Minimise over theta the sum of worst-case losses over the eps-balls; a distributionally robust "
         "problem over a ball of distributions.", ("(4.3)", "(4.1)")),
    Item("Remark 4.6", "4.2", "other uses of Lipschitz bounds",
         "A bound on Lip(f) serves beyond robustness, for instance x + g(x) with Lip(g) < 1 is inverted by a "
         "fixed-point iteration."),
    Item("(4.4)", "4.2", "Lipschitz regularisation", "Minimise L(theta) + lambda Lip(f_theta).", ("(4.1)",)),
    Item("4.2 exact Lipschitz constant", "4.2", "computing Lip(f) exactly",
         "Lip of a ReLU network is the largest slope over its activation regions: finite to compute, NP-hard "
         "in general."),
    Item("(4.5)", "4.2", "product bound",
         "Lip(f) is at most the product of the layers' constants, hence of the weights' operator norms up to "
         "the constants of the activations.", ("(4.2)",)),
    Item("Example 4.7", "4.2", "the product bound is not sharp",
         "|x| = relu(x) + relu(-x) has Lip 1, while the product of the spectral norms of its two layers is 2.",
         ("(4.5)", "4.2 exact Lipschitz constant")),
    Item("4.2.1 Lipschitz quotient", "4.2.1", "Lip on finitely many pairs",
         "The largest |f(x) - f(x')| / |x - x'| over a finite set of pairs estimates Lip(f) from below.", ("(4.4)",)),
    Item("Remark 4.8", "4.2.1", "gradient of a maximum",
         "max(f, g) has the gradient of the larger function where they differ; at a tie it may have none and "
         "software picks one.", ("4.2.1 Lipschitz quotient",)),
    Item("4.2.1 Algorithm 1", "4.2.1", "ascent on the pairs",
         "Each pair moves along the gradient of its quotient times the quotient, which raises the estimate of "
         "Lip(f).", ("4.2.1 Lipschitz quotient",)),
    Item("4.2.1 Algorithm 2", "4.2.1", "cheap Lipschitz training",
         "For each minibatch: ascend on the pairs, then descend in theta on the minibatch loss plus lambda "
         "times the quotient.", ("4.2.1 Algorithm 1", "Remark 4.8", "4.1.2 gradient descent")),
    Item("Assumption 1", "4.2.2", "loss", "l is non-negative and lower semicontinuous in the network's output."),
    Item("Assumption 2", "4.2.2", "continuous parametrisation", "theta -> f_theta(x) is continuous for every x."),
    Item("Assumption 3", "4.2.2", "finite objective", "Some theta has finite L(theta) + lambda Lip(f_theta).",
         ("(4.4)",)),
    Item("4.2.2 lower semicontinuity", "4.2.2", "Lip is lower semicontinuous in theta",
         "If theta_i -> theta then Lip(f_theta) <= liminf Lip(f_theta_i); continuity fails in general.",
         ("Assumption 2",)),
    Item("4.2.2 compact parameter sets", "4.2.2", "existence on compact sets",
         "(4.4) has a solution when Theta is compact or finite.",
         ("(4.4)", "4.2.2 lower semicontinuity", "Assumption 1", "Assumption 3")),
    Item("Proposition 4.1", "4.2.2", "existence of minimisers",
         "L + lambda Lip + mu |theta| has a minimiser for all lambda, mu > 0.",
         ("(4.4)", "4.2.2 lower semicontinuity", "Assumption 1", "Assumption 2", "Assumption 3")),
    Item("4.2.2 monotone in lambda", "4.2.2", "monotone in lambda",
         "Along minimisers of (4.4) the loss does not decrease and the Lipschitz constant does not increase "
         "with lambda.", ("(4.4)",)),
    Item("Proposition 4.2", "4.2.2", "lambda to 0",
         "If the data can be fitted exactly, limits of minimisers have the smallest Lipschitz constant among "
         "all exact fits.",
         ("(4.4)", "Assumption 1", "Assumption 2", "Assumption 3", "4.2.2 lower semicontinuity",
          "4.2.2 monotone in lambda")),
    Item("Proposition 4.3", "4.2.2", "lambda to infinity",
         "Limits of minimisers are constant functions; the constant minimises the mean loss against the "
         "outputs among all realisable constants.",
         ("(4.4)", "Assumption 1", "Assumption 2", "Assumption 3", "4.2.2 monotone in lambda")),
    # 4.3 Sparsity via Bregman iterations
    Item("(4.6)", "4.3", "proximal gradient descent for the lasso",
         "theta+ = soft(theta - tau grad L(theta)), with threshold tau lambda for L + lambda |.|_1.",
         ("Example 4.15", "4.1.2 gradient descent")),
    Item("Definition 4.9", "4.3.1", "convex and proper",
         "J is convex when its graph lies below its chords, proper when it is finite somewhere.", ("(4.7)",)),
    Item("(4.7)", "4.3.1", "convexity", "J(s a + (1 - s) b) <= s J(a) + (1 - s) J(b) for s in [0, 1]."),
    Item("Definition 4.10", "4.3.1", "subdifferential",
         "dJ(theta) collects the slopes of all affine minorants of J that touch it at theta.",
         ("Definition 4.9", "(4.8)")),
    Item("(4.8)", "4.3.1", "subgradient inequality",
         "p in dJ(theta) iff J(theta) + <p, a - theta> <= J(a) for all a."),
    Item("Definition 4.11", "4.3.1", "Bregman distance",
         "The gap between J and its linearisation with slope p in dJ(theta); summed both ways it is the "
         "symmetric distance.", ("Definition 4.10", "(4.9)", "(4.10)")),
    Item("(4.9)", "4.3.1", "Bregman distance, formula", "D_J^p(a, b) = J(a) - J(b) - <p, a - b> for p in dJ(b).",
         ("(4.8)",)),
    Item("(4.10)", "4.3.1", "symmetric Bregman distance",
         "D^p(a, b) + D^q(b, a) = <q - p, a - b> for p in dJ(b), q in dJ(a).", ("(4.9)",)),
    Item("Example 4.12", "4.3.1", "Bregman distance of the squared norm",
         "D(a, b) = 1/2 |a - b|^2 for J = 1/2 |.|^2.", ("(4.9)",)),
    Item("(4.11)", "4.3.1", "distance axioms",
         "D(a, b) >= 0 and D(b, b) = 0; definiteness, symmetry and the triangle inequality fail in general.",
         ("(4.9)", "(4.8)")),
    Item("Definition 4.13", "4.3.1", "proximal operator",
         "prox_J(v) minimises 1/2 |theta - v|^2 + J(theta); the minimiser exists and is unique for closed "
         "proper convex J.", ("Definition 4.9",)),
    Item("Remark 4.14", "4.3.1", "optimality of the prox",
         "theta = prox_{lam J}(v) iff v - theta in lam dJ(theta): the prox is the resolvent of lam dJ.",
         ("Definition 4.13", "Definition 4.10")),
    Item("Example 4.15", "4.3.1", "prox of a norm",
         "prox_{lam |.|}(v) is v minus its projection onto lam times the dual unit ball: block shrinkage for "
         "l_2, soft shrinkage for l_1.", ("Definition 4.13", "Remark 4.14")),
    Item("Example 4.16", "4.3.1", "group norm",
         "J sums weighted l_2 norms over groups; its prox shrinks each group's norm by lam times the weight.",
         ("Example 4.15",)),
    Item("(4.12)", "4.3.1", "proximal point step",
         "theta+ = prox_{tau L}(theta): the implicit Euler step of the gradient flow.", ("Definition 4.13",)),
    Item("(4.13)", "4.3.1", "Bregman proximal step",
         "Minimise tau L plus the Bregman distance of J to the last iterate.", ("(4.12)", "(4.9)")),
    Item("(4.14)", "4.3.1", "optimality of the Bregman step",
         "theta solves the step iff p - tau grad L(theta) in dJ(theta).", ("(4.13)", "(4.8)")),
    Item("(4.15)", "4.3.1", "Bregman iterations",
         "Alternate the Bregman proximal step and the update of the subgradient.", ("(4.15a)", "(4.15b)")),
    Item("(4.15a)", "4.3.1", "Bregman iterations, iterate", "theta+ = argmin D_J^p(., theta) + tau L.", ("(4.13)",)),
    Item("(4.15b)", "4.3.1", "Bregman iterations, subgradient",
         "p+ = p - tau grad L(theta+), again a subgradient of J at theta+.", ("(4.14)",)),
    Item("4.3.1 J along Bregman iterations", "4.3.1", "J along the iteration",
         "Starting at a low J, the iteration is said to increase J only gradually.", ("(4.15)",)),
    Item("Remark 4.17", "4.3.1", "no bias",
         "For L = 1/2 |A theta - f|^2 the iterations converge to the J-minimal solution of A theta = f, where "
         "adding lambda J moves the minimisers.", ("(4.15)", "(4.16)")),
    Item("(4.16)", "4.3.1", "J-minimal solution", "min J(theta) subject to A theta = f."),
    Item("Example 4.18", "4.3.1", "Bregman iterations for TV denoising",
         "With J = TV and L = 1/2 |u - f|^2, coarse features come first and the noisy data last: stop early.",
         ("(4.15)", "Remark 4.17")),
    Item("4.3.1 inverse scale space", "4.3.1", "inverse scale space flow",
         "dp/dt = -grad L(theta), p in dJ(theta): the limit tau -> 0 of (4.15), the gradient flow for J = 1/2 "
         "|.|^2.", ("(4.15)", "Example 4.12")),
    Item("(4.17)", "4.3.2", "elastic net", "J_delta = J + |.|^2 / (2 delta), strongly convex with modulus 1/delta."),
    Item("(4.18)", "4.3.2", "linearised Bregman step",
         "Minimising D_{J_delta}^p(., theta) + tau <grad L(theta), .> gives prox_{delta J}(delta (p - tau grad"
         " L(theta))).", ("(4.17)", "(4.13)", "Definition 4.13")),
    Item("(4.19)", "4.3.2", "linearised Bregman iterations", "A gradient step on the subgradient, then a prox.",
         ("(4.18)", "(4.19a)", "(4.19b)")),
    Item("(4.19a)", "4.3.2", "linearised Bregman, subgradient", "p+ = p - tau grad L(theta)."),
    Item("(4.19b)", "4.3.2", "linearised Bregman, iterate",
         "theta+ = prox_{delta J}(delta p+), the same as p+ in dJ_delta(theta+).", ("Remark 4.14", "(4.17)")),
    Item("4.3.2 limit of linearized Bregman", "4.3.2", "limit of the linearised iterations",
         "For least squares they converge to the minimiser of J_delta subject to A theta = f, if p_0 lies in "
         "the range of A^T.", ("(4.19)", "(4.16)", "(4.17)")),
    Item("4.3.2 redundant parameters", "4.3.2", "tau, lam and delta are two parameters",
         "(tau, lam, delta) and (tau delta, lam delta, 1) give the same iterates.", ("(4.19)",)),
    Item("(4.20)", "4.3.2", "mirror descent",
         "theta+ = grad h*(grad h(theta) - tau grad L(theta)): linearised Bregman with h = J_delta.",
         ("(4.19)", "(4.9)")),
    Item("(4.21)", "4.3.3", "LinBreg",
         "v+ = v - tau g, theta+ = prox_{delta J}(delta v+), with g an unbiased gradient estimate.",
         ("(4.19)", "4.1.2 unbiased estimator")),
    Item("(4.22)", "4.3.3", "LinBreg with momentum",
         "m+ = beta m + (1 - beta) tau g, v+ = v - m+, theta+ = prox_{delta J}(delta v+): a discrete inertial "
         "flow.", ("(4.21)",)),
    Item("4.3.3 AdaBreg", "4.3.3", "AdaBreg", "LinBreg with Adam's update in place of tau g.", ("(4.21)", "(4.22)")),
    Item("Assumption 4.19", "4.3.4", "bounded variance",
         "The gradient estimator's variance is at most sigma^2, uniformly in theta.", ("(4.23)",)),
    Item("(4.23)", "4.3.4", "bounded variance, formula", "E |g(theta; w) - grad L(theta)|^2 <= sigma^2.",
         ("4.1.2 unbiased estimator",)),
    Item("Remark 4.20", "4.3.4", "bounded gradients are stronger",
         "E |g|^2 <= C implies bounded variance and cannot hold on all of Theta for a strongly convex loss.",
         ("Assumption 4.19",)),
    Item("Assumption 4.21", "4.3.4", "regularizer", "J is convex, proper and lower semicontinuous.",
         ("Definition 4.9",)),
    Item("Assumption 4.22", "4.3.4", "loss",
         "L is bounded below, continuously differentiable, with L-Lipschitz gradient.", ("(4.24)",)),
    Item("(4.24)", "4.3.4", "Lipschitz gradient", "|grad L(a) - grad L(b)| <= L |a - b|."),
    Item("Assumption 4.23", "4.3.4", "strong convexity with respect to H",
         "The linearisation gap of the loss is at least nu times the Bregman distance of H.",
         ("(4.25)", "Definition 4.11")),
    Item("(4.25)", "4.3.4", "strong convexity, formula",
         "L(a) >= L(b) + <grad L(b), a - b> + nu D_H^p(a, b), p in dH(b).", ("(4.9)",)),
    Item("Remark 4.24", "4.3.4", "two choices of H",
         "H = 1/2 |.|^2 is ordinary strong convexity; H = J_delta measures in the regularizer's own distance.",
         ("Assumption 4.23", "(4.17)", "Example 4.12")),
    Item("Remark 4.25", "4.3.4", "no convexity for networks",
         "The empirical loss of a neural network usually violates the convexity assumption.",
         ("Assumption 4.23", "(4.1)")),
    Item("Theorem 4.26", "4.3.4", "loss decay",
         "The expected loss of (4.21) decreases by the symmetric Bregman distance and the squared step over "
         "tau, up to a noise term proportional to tau delta sigma^2.",
         ("(4.21)", "(4.10)", "(4.26)", "Assumption 4.19", "Assumption 4.21", "Assumption 4.22")),
    Item("(4.26)", "4.3.4", "loss decay, formula",
         "E L+ + E Dsym / tau + C E |step|^2 / (2 delta tau) <= E L + tau delta sigma^2 / (2c).",
         ("(4.10)", "(4.17)")),
    Item("Theorem 4.27", "4.3.4", "convergence in norm",
         "With a strongly convex loss and square-summable, non-summable steps, a subsequence of (4.21) "
         "converges to the minimiser in mean square.",
         ("(4.21)", "(4.27)", "(4.28)", "Assumption 4.19", "Assumption 4.21", "Assumption 4.22", "Assumption 4.23")),
    Item("(4.27)", "4.3.4", "decrease of the Bregman distance",
         "d+ - d + mu tau / 4 E|theta* - theta+|^2 <= sigma / 2 (tau^2 + E|step|^2), d the expected distance "
         "D_{J_delta} from theta to theta*.", ("(4.17)", "(4.9)")),
    Item("(4.28)", "4.3.4", "convergent subsequence", "E |theta* - theta_{k_j}|^2 -> 0."),
    Item("Theorem 4.28", "4.3.4", "convergence in the Bregman distance",
         "With a loss strongly convex relative to J_delta, the expected Bregman distance to the minimiser "
         "contracts up to noise.",
         ("(4.21)", "(4.29)", "(4.30)", "(4.31)", "(4.32)", "Assumption 4.19", "Assumption 4.21",
          "Assumption 4.22", "Assumption 4.23")),
    Item("(4.29)", "4.3.4", "contraction",
         "d+ <= [1 - tau nu (1 - 2 tau delta^2 L^2 / nu)] d + delta tau^2 sigma^2.", ("(4.17)", "(4.9)")),
    Item("(4.30)", "4.3.4", "floor for constant steps",
         "For every eps a constant step exists with limsup d_k <= eps.", ("(4.29)",)),
    Item("(4.31)", "4.3.4", "step sizes", "tau_k -> 0 and sum tau_k = infinity."),
    Item("(4.32)", "4.3.4", "convergence to the minimiser", "d_k -> 0 under (4.31).", ("(4.29)", "(4.31)")),
    Item("4.3.5 zero initialisation", "4.3.5", "zero start",
         "theta = 0 makes all units of a layer equal, so a network must not start there.", ("(4.21)",)),
    Item("4.3.5 sparsity", "4.3.5", "share of used weights",
         "N(W) = |W|_0 over the number of entries, S = 1 - N; masks are Bernoulli(r), so that E N = r."),
    Item("(4.33)", "4.3.5", "variance of masked weights",
         "Masking centred weights with Bernoulli(r) scales their variance by r.", ("4.3.5 sparsity",)),
    Item("4.3.5 regularizers", "4.3.5", "regularizers by layer",
         "l_1 on dense weights, l_2 norms of kernels or of rows summed; a zero row switches its unit off where"
         " Psi(0) = 0.", ("Example 4.15", "Example 4.16")),
    Item("4.3.5 comparison", "4.3.5", "SGD, ProxGD and LinBreg compared",
         "SGD loses the sparse start, ProxGD thins a dense one out, LinBreg fills a sparse one in; momentum "
         "adds weights faster.", ("(4.21)", "(4.22)", "(4.6)", "4.3.3 AdaBreg")),
    Item("4.3.5 efficiency", "4.3.5", "sparse weights, dense gradients",
         "W_ij = 0 does not make dL/dW_ij = 0; the prox adds O(n) to a step of SGD.", ("(4.21)",)),
    Item("4.3.5 architecture search", "4.3.5", "architecture from sparsity",
         "Row-sparse training of equal layers removes units and so finds an architecture.",
         ("4.3.5 regularizers", "(4.21)")),
    # 4.4 Resolution stability via Fourier neural operators
    Item("4.4 grid", "4.4", "grid on the torus",
         "N^d points with spacing 1/N on the unit torus, indexed by {0..N-1}^d."),
    Item("4.4 convolution", "4.4", "periodic convolution", "(u * v)_j = sum_k u_k v_{j-k}, indices modulo N.",
         ("4.4 grid",)),
    Item("4.4 spatial zero-padding", "4.4", "spatial implementation",
         "A kernel on M^d points acts on N^d points by zeros appended in space: C(theta)(u) = theta^{M->N} * "
         "u.", ("4.4 convolution",)),
    Item("4.4 trigonometric interpolation", "4.4", "trigonometric interpolation",
         "Resize by padding or cutting the spectrum: the trigonometric polynomial through the old points, "
         "evaluated at the new ones.", ("4.4.1 Fourier transform", "4.4.1 spectral zero-padding", "4.4 grid")),
    Item("(4.34)", "4.4.1", "neural operator layer", "G(u)(x) = sigma(Psi(u)(x)), from L^p to L^q.",
         ("(4.35)", "(4.36)")),
    Item("(4.35)", "4.4.1", "affine part", "Psi(u) = W u + K u + b, K an integral operator."),
    Item("(4.36)", "4.4.1", "Nemytskii operator", "The activation acts pointwise on functions: v -> sigma(v(.))."),
    Item("(4.37)", "4.4.1", "kernel from Fourier coefficients",
         "kappa(x) = sum_k theta^_k exp(2 pi i k x), finitely many k, Hermitian so that kappa is real.",
         ("4.4.1 Fourier transform",)),
    Item("4.4.1 Fourier transform", "4.4.1", "discrete Fourier transform",
         "F with factor 1/lambda, F^-1 with lambda/|J_N|, indices centred around 0.", ("4.4 grid",)),
    Item("(4.38)", "4.4.1", "spectral implementation",
         "K(theta^)(v) = F^-1(theta^ . F v): convolution as multiplication of spectra.",
         ("4.4.1 Fourier transform", "4.4 convolution")),
    Item("4.4.1 spectral zero-padding", "4.4.1", "spectral zero-padding",
         "theta^ on M^d frequencies acts on N^d points by zeros appended in frequency.", ("(4.38)",)),
    Item("4.4.1 kernel interpolation", "4.4.1", "spectral padding interpolates the kernel",
         "K(theta^) on a finer grid is convolution with the trigonometrically interpolated kernel, up to "
         "|J_M|/|J_N|.", ("4.4.1 spectral zero-padding", "4.4 trigonometric interpolation", "(4.38)")),
    Item("4.4.1 Nyquist splitting", "4.4.1", "Nyquist splitting",
         "On even sizes the coefficient at -N/2 is shared evenly with +N/2, so that real inputs stay real.",
         ("4.4.1 spectral zero-padding",)),
    Item("4.4.2 Young", "4.4.2", "Young's inequality", "|kappa * u|_r <= |kappa|_s |u|_p for 1/r + 1 = 1/p + 1/s.",
         ("4.4 convolution",)),
    Item("Proposition 4.4", "4.4.2", "continuity of a layer",
         "If Psi maps L^p to L^r and sigma generates an operator from L^r to L^q, the layer maps L^p to L^q, "
         "continuously when both are continuous.", ("(4.34)", "(4.35)", "(4.36)", "4.4.2 Young")),
    Item("Proposition 4.5", "4.4.2", "differentiability of a layer",
         "For C^1 activations and r > q (or r = q = infinity) the layer is Frechet differentiable with DG(v)h "
         "= sigma'(Psi v) . (Psi - b) h.", ("(4.34)", "(4.35)", "(4.36)")),
    Item("Lemma 4.29", "4.4.2", "CNN and FNO layers convert",
         "C(theta) = K(T(theta^{M->N})) and K(theta^) = C(T^-1(theta^^{M->N})) with T = lambda F, for odd M <="
         " N.", ("(4.38)", "4.4 spatial zero-padding", "4.4.1 spectral zero-padding")),
    Item("Lemma 4.30", "4.4.2", "gradients of equivalent layers",
         "The gradient in theta^ is T of the gradient in theta, divided by |J_N|.",
         ("(4.38)", "4.4 spatial zero-padding", "Lemma 4.29")),
    Item("4.4.2 training of equivalent layers", "4.4.2", "training of equivalent layers",
         "Layers with one forward map can train differently, depending on how parameters are stored and "
         "updated.", ("Lemma 4.30", "4.1.2 gradient descent")),
    Item("Corollary 4.31", "4.4.2", "interpolation equivariance",
         "A spectral layer commutes with trigonometric interpolation to every size L >= M.",
         ("Lemma 4.29", "4.4 trigonometric interpolation", "4.4.1 spectral zero-padding")),
    Item("4.4.3 aliasing", "4.4.3", "activations alias",
         "A pointwise activation after a spectral layer breaks exact equivariance by an error that falls with "
         "N at a rate set by its smoothness.", ("Corollary 4.31", "(4.36)")),
    Item("4.4.3 dimension changes", "4.4.3", "dimension changes inside a network",
         "Striding and pooling break resolution equivariance; trigonometric resizing in their place keeps it.",
         ("Corollary 4.31", "4.4 trigonometric interpolation")),
)
# fmt: on

NOT_CHECKED: dict[str, str] = {}


def find(query: str) -> list[Item]:
    """The items a query names: a full id, a bare number such as "4.26" (then of every kind), or a unique beginning."""
    wanted = " ".join(query.split()).casefold()
    exact = [item for item in ITEMS if item.id.casefold() == wanted]
    numbered = [item for item in ITEMS if wanted in _numbers(item.id)]
    begun = [item for item in ITEMS if wanted and item.kind == "Result" and item.id.casefold().startswith(wanted + " ")]
    return exact or numbered or begun


def _numbers(id: str) -> tuple[str, ...]:
    """What may stand for an id: "4.26" for "Theorem 4.26"; "4.19a", "4.19" and "(4.19)" for "(4.19a)"."""
    match = re.fullmatch(r"\(?[A-Za-z ]*((\d+(?:\.\d+)*)[ab]?)\)?", id)
    if not match:
        return ()
    full, bare = match.groups()
    return (full, bare, f"({bare})") if id.startswith("(") else (full,)


def get(id: str) -> Item:
    """The item of an exact id; KeyError otherwise."""
    return _BY_ID[id]


def used_by(id: str) -> tuple[str, ...]:
    """The ids of the items that use an item directly."""
    return tuple(item.id for item in ITEMS if id in item.uses)


def rests_on(ids: set[str]) -> set[str]:
    """All items that the given ones use, directly or through others (the given ones not counted unless used)."""
    found: set[str] = set()
    frontier = set(ids)
    while frontier:
        frontier = {use for id in frontier for use in _BY_ID[id].uses} - found
        found |= frontier
    return found


def in_section(section: str) -> list[Item]:
    """The items of a section and its subsections: "4.3" includes "4.3.4"."""
    return [item for item in ITEMS if item.section == section or item.section.startswith(section + ".")]


def near_matches(query: str, count: int = 3) -> list[str]:
    """The ids most like a query that names none."""
    names = {item.id.casefold(): item.id for item in ITEMS} | {n: i.id for i in ITEMS for n in _numbers(i.id)}
    close = difflib.get_close_matches(query.strip().casefold(), names, n=3 * count, cutoff=0.5)
    return list(dict.fromkeys(names[name] for name in close))[:count]


_BY_ID: dict[str, Item] = {item.id: item for item in ITEMS}
