"""The stable public names: one that disappears breaks somebody's code, so it goes on purpose or not at all."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

NAMES = {
    "setting": """
        GELU Activation AdaptiveAveragePool2d AveragePool2d BatchNorm2d Chain Conv2d CrossEntropy Dense
        Flatten GlobalAveragePool GradientEstimator Identity Layer Loss MaxPool2d Network Pullback ReLU
        Residual Sigmoid SquaredError Tanh batch_gradient convnet cross_entropy empirical_risk glorot
        gradient_descent he initialize log_softmax minibatches mlp residual_block resnet18 risk_and_gradient
        running_statistics sgd softmax
    """,
    "robustness": """
        AdversarialInputs Attack AuthorsSchedule Bound ClipPenalty ExactLipschitzPenalty LipschitzReport
        Pairs Penalty ProductPenalty QuotientGradient Record Schedule State TowardsAccuracy WeightPenalty
        addition ascend attack_2021 certified_radius change_of_basis convolution_norm cosine_attack
        exact_lipschitz exact_lipschitz_rational fgsm gaussian_noise grid_attack lipschitz_estimate
        lipschitz_report margin milp_lipschitz noise norm operator_norm perturbed_pairs pgd pieces
        power_iteration product_bound product_bound_gradient project project_box quotient quotient_gradient
        regions rotation to_cosines to_pixels train train_clip translation
    """,
    "sparsity": """
        L1 L2 AdaBreg Blocks Box ElasticNet Entropy GradientDescent GroupL2 IterativePruning
        LassoSubgradient LinBreg Nonnegative Plateau ProximalGradient Quadratic Regularizer SkipNetwork
        SparseGroup SquaredL2 TargetSparsity TotalVariation Zero active_kernels active_rows bernoulli_mask
        bregman_distance bregman_iteration count density effective_widths inverse_scale_space lasso
        linearized_bregman mirror_descent restart sparsify symmetric_bregman_distance threshold tv
        tv_bregman tv_denoise
    """,
    "resolution": """
        FourierLayer OversampledActivation Resize SpectralConv TrigonometricStride convolutional_network dft
        full_spectrum grid half_spectrum half_spectrum_weights hermitian_defect hermitian_part inverse_dft
        inverse_transform pad_spectrum pad_spectrum_adjoint resize resize_adjoint resolution_free
        spatial_convolution spatial_convolution_channels spectral_convolution spectral_convolution_channels
        spectral_network to_spatial to_spectral transform trigonometric_interpolation trigonometric_resnet18
    """,
    "claims": """
        Claim Erratum Evidence Result all_claims broken_rooms find verify
    """,
    "crosscheck": """
        Report Target assert_agrees check find parametrize targets
    """,
    "data": """
        DataSet Part Split augment load present split
    """,
}


@pytest.mark.parametrize("package", NAMES)
def test_stable_names_stay(package):
    module = importlib.import_module(f"refimpl.{package}")
    missing = [name for name in NAMES[package].split() if name not in module.__all__ or not hasattr(module, name)]
    assert missing == []


def test_the_package_loads_its_parts_when_asked():
    import refimpl

    assert refimpl.__version__ == "0.1.0"
    assert refimpl.sparsity.L1 is importlib.import_module("refimpl.sparsity").L1
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        refimpl.nonsense  # noqa: B018


def test_a_renamed_name_warns_by_the_lines_of_the_readme():
    from refimpl.sparsity import ElasticNet

    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "def __getattr__" in block]
    module = ModuleType("renamed")
    module.ElasticNet = ElasticNet
    exec(lines, vars(module))
    with pytest.warns(DeprecationWarning, match="EN is now called ElasticNet") as caught:
        assert module.EN is ElasticNet
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="module 'renamed' has no attribute 'ENN'"):
        module.ENN  # noqa: B018
