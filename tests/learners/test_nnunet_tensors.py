"""Exchange of tensors: each once, all aliases reached, nothing that does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from konsil.errors import BadMessage, Refused
from konsil.learners.nnunet import tensors


def unet(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return PlainConvUNet(
        input_channels=2, n_stages=3, features_per_stage=[2, 4, 8], conv_op=nn.Conv3d, kernel_sizes=3,
        strides=[1, 2, 2], n_conv_per_stage=1, num_classes=2, n_conv_per_stage_decoder=1, conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True}, nonlin=nn.LeakyReLU,
    )  # fmt: skip


def test_every_parameter_is_exchanged_once_though_known_by_several_names():
    network = unet(0)
    exchanged = tensors.read(network)
    assert len(network.state_dict()) > 2 * len(exchanged)  # aliases
    assert sum(array.size for array in exchanged.values()) == sum(p.numel() for p in network.parameters())


def test_an_average_reaches_every_name_of_every_parameter():
    a, b = unet(1), unet(2)
    mean = {name: (tensors.read(a)[name] + tensors.read(b)[name]) / 2 for name in tensors.read(a)}
    target = unet(3)
    tensors.write(target, mean)
    for name, value in target.state_dict().items():
        assert torch.allclose(value, (a.state_dict()[name] + b.state_dict()[name]) / 2), name
    drawn = [name for name in mean if "conv.weight" in name or "transpconvs" in name or "seg_layers" in name]
    assert drawn
    assert all(
        not np.array_equal(tensors.read(target)[name], tensors.read(a)[name]) for name in drawn if "bias" not in name
    )


def test_the_loaded_network_computes_what_the_average_network_does():
    """Averaging by name, as peers do, leaves one site's weights behind some aliases: then outputs differ."""
    a, b, target, average = unet(1), unet(2), unet(1), unet(4)
    tensors.write(target, {name: (array + tensors.read(b)[name]) / 2 for name, array in tensors.read(a).items()})
    with torch.no_grad():
        for mean, one, other in zip(average.parameters(), a.parameters(), b.parameters(), strict=True):
            mean.copy_((one + other) / 2)
        voxels = torch.randn(1, 2, 8, 8, 8)
        assert torch.allclose(target(voxels), average(voxels), atol=1e-6)
        assert not torch.allclose(target(voxels), a(voxels), atol=1e-3)
    changed = {
        name
        for name, parameter in target.named_parameters()
        if not torch.equal(parameter, dict(a.named_parameters())[name])
    }
    drawn = {name for name, parameter in a.named_parameters() if parameter.std() > 0 and "norm" not in name}
    assert drawn <= changed


def test_what_is_read_and_written_is_the_same_bits():
    a, b = unet(1), unet(2)
    tensors.write(b, tensors.read(a))
    assert all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_integer_buffers_stay_at_home():
    network = nn.BatchNorm3d(3)
    assert set(tensors.read(network)) == {"weight", "bias", "running_mean", "running_var"}


def changed(name: str, how: str) -> dict[str, Any]:
    arrays = tensors.read(unet(0))
    match how:
        case "missing":
            del arrays[name]
        case "stranger":
            arrays["a.stranger"] = arrays[name]
        case "shape":
            arrays[name] = arrays[name][:1]
        case "dtype":
            arrays[name] = arrays[name].astype(np.float64)
        case "nan":
            arrays[name] = np.full_like(arrays[name], np.nan)
    return arrays


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ("missing", "is missing"),
        ("stranger", "no tensor a.stranger"),
        ("shape", "does not fit"),
        ("dtype", "float64"),
        ("nan", "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(how: str, word: str):
    first = next(iter(tensors.unique(unet(0))))
    with pytest.raises(BadMessage, match=word):
        tensors.write(unet(0), changed(first, how))


def test_weights_that_are_not_finite_are_not_handed_out():
    network = unet(0)
    with torch.no_grad():
        next(network.parameters()).fill_(float("inf"))
    with pytest.raises(Refused, match="not finite"):
        tensors.read(network)
