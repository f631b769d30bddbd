# SPDX-License-Identifier: BSD-3-Clause
"""Images in other resolutions and orders: modules and functions, without torch."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F


def image(*shape, seed=0):
    return fastnn.tensor(np.random.default_rng(seed).normal(size=shape).astype("f4"))


def close(a, b, atol=1e-6):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=atol)


def test_modules_call_their_functions():
    x = image(2, 4, 4, 6)
    pairs = [
        (nn.Upsample(scale_factor=2), F.interpolate(x, scale_factor=2.0)),
        (nn.Upsample(5, mode="bicubic"), F.interpolate(x, 5, mode="bicubic")),
        (
            nn.Upsample(None, (1.5, 2), "bilinear", True),
            F.interpolate(x, None, (1.5, 2.0), "bilinear", True),
        ),
        (
            nn.Upsample(scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
            F.interpolate(x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
        ),
        (nn.UpsamplingNearest2d((8, 7)), F.interpolate(x, (8, 7))),
        (
            nn.UpsamplingBilinear2d(scale_factor=2),
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        ),
        (nn.PixelShuffle(2), F.pixel_shuffle(x, 2)),
        (nn.PixelUnshuffle(2), F.pixel_unshuffle(x, 2)),
        (nn.ChannelShuffle(2), F.channel_shuffle(x, 2)),
    ]
    for module, wanted in pairs:
        close(module(x), wanted, 0)


def test_modules_show_their_options():
    shown = {
        "Upsample(scale_factor=2.0, mode='nearest')": nn.Upsample(scale_factor=2),
        "Upsample(scale_factor=(1.0, 2.0), mode='bilinear')": nn.Upsample(None, (1, 2), "bilinear"),
        "UpsamplingNearest2d(size=(8, 7), mode='nearest')": nn.UpsamplingNearest2d((8, 7)),
        "UpsamplingBilinear2d(size=3, mode='bilinear')": nn.UpsamplingBilinear2d(3),
        "PixelShuffle(upscale_factor=2)": nn.PixelShuffle(2),
        "PixelUnshuffle(downscale_factor=3)": nn.PixelUnshuffle(3),
        "ChannelShuffle(groups=2)": nn.ChannelShuffle(2),
    }
    assert [repr(module) for module in shown.values()] == list(shown)


def test_shuffling_and_back():
    x = image(2, 8, 3, 4)
    close(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x, 0)
    close(F.channel_shuffle(F.channel_shuffle(x, 2), 4), x, 0)
    whole = fastnn.arange(8).reshape(1, 8, 1, 1)
    assert F.pixel_shuffle(whole, 2).dtype is fastnn.int64
    assert F.pixel_shuffle(whole, 2)[0, 1].tolist() == [[4, 5], [6, 7]]


def test_old_names_warn_and_refuse_under_their_own_names():
    x = image(1, 2, 3, 4)
    with pytest.warns(UserWarning, match="upsample_nearest is an old name; use interpolate"):
        close(F.upsample_nearest(x, scale_factor=2), F.interpolate(x, scale_factor=2), 0)
    with pytest.warns(UserWarning, match="upsample_bilinear is an old name"):
        y = F.upsample_bilinear(x, (5, 6))
    close(y, F.interpolate(x, (5, 6), mode="bilinear", align_corners=True), 0)
    with pytest.warns(UserWarning, match="upsample is an old name"):
        close(F.upsample(x, 5, mode="bicubic"), F.interpolate(x, 5, mode="bicubic"), 0)
    with (
        pytest.warns(UserWarning, match="old name"),
        pytest.raises(ValueError, match=r"^upsample: expected size or scale_factor, got neither; "),
    ):
        F.upsample(x)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_filters_keep_what_is_constant_and_blur_what_is_not(mode):
    ones = fastnn.ones(1, 1, 9, 12)
    for size in ((4, 5), (20, 3), (9, 12)):
        close(F.interpolate(ones, size, mode=mode, antialias=True), fastnn.ones(1, 1, *size))
    stripes = fastnn.arange(16).remainder(2).float().expand(1, 1, 16, 16)
    small = F.interpolate(stripes, (4, 4), mode=mode, antialias=True)
    # What has no room at the new resolution becomes its mean, but for the edges.
    close(small[..., 1:-1], fastnn.full((1, 1, 4, 2), 0.5), 0.06)


def test_half_precision_is_interpolated_in_single():
    x = image(1, 2, 5, 5).half()
    y = F.interpolate(x, scale_factor=1.5, mode="bilinear")
    assert y.dtype is fastnn.float16
    wanted = F.interpolate(x.float(), scale_factor=1.5, mode="bilinear").half()
    np.testing.assert_array_equal(y.numpy(), wanted.numpy())


def test_the_nearest_element_of_whole_numbers():
    x = fastnn.arange(6).to(fastnn.uint8).reshape(1, 1, 6)
    assert F.interpolate(x, 4).tolist() == [[[0, 1, 3, 4]]]
    assert F.interpolate(x, 4, mode="nearest-exact").tolist() == [[[0, 2, 3, 5]]]


@pytest.mark.parametrize("align", [True, False])
def test_the_identity_map_gives_the_image(align):
    theta = fastnn.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]] * 2)
    x = image(2, 3, 4, 5)
    grid = F.affine_grid(theta, x.shape, align)
    for mode in ("bilinear", "nearest", "bicubic"):
        close(F.grid_sample(x, grid, mode, "border", align), x, 1e-5)
    # Turned by half, and what is shifted out of sight.
    close(F.grid_sample(x, F.affine_grid(-theta, x.shape, align), "nearest", "zeros", align),
          x.flip(2, 3), 0)  # fmt: skip
    assert (F.grid_sample(x, grid + 3.0, "bilinear", "zeros", align) == 0).all()


def test_places_that_are_no_numbers_are_outside():
    x = image(1, 1, 3, 3)
    grid = fastnn.tensor([[[[float("nan"), 0.0], [float("inf"), 0.0], [0.0, -1e30]]]])
    for mode in ("bilinear", "nearest", "bicubic"):
        y = F.grid_sample(x, grid, mode, "zeros", True)
        assert (y == 0).all()
    # An element outside of the image has no part, also where it is infinite or none.
    x[0, 0, 0, 0] = float("nan")
    y = F.grid_sample(x, fastnn.tensor([[[[1.5, 1.0]]]]), "bilinear", "zeros", True)
    close(y, x[:, :, 2:, 2:] / 2)


def test_the_places_of_nearest_elements_have_no_gradient():
    x, grid = image(1, 1, 3, 3).requires_grad_(), (image(1, 2, 2, 2) / 2).requires_grad_()
    F.grid_sample(x, grid, "nearest", "zeros", False).sum().backward()
    assert (grid.grad == 0).all()
    assert x.grad.sum().item() == 4.0


def test_corners_that_are_not_said_are_warned_of():
    theta, x = fastnn.zeros(1, 2, 3), image(1, 1, 2, 2)
    with pytest.warns(UserWarning, match="affine_grid: align_corners is not given"):
        grid = F.affine_grid(theta, (1, 1, 2, 2))
    with pytest.warns(UserWarning, match="grid_sample: align_corners is not given"):
        close(F.grid_sample(x, grid), F.grid_sample(x, grid, align_corners=False), 0)


def test_maxima_go_back_to_their_places():
    x = image(2, 3, 7, 6)
    pooled, places = nn.MaxPool2d(2, return_indices=True)(x)
    y = nn.MaxUnpool2d(2)(pooled, places.clamp(max=35), output_size=(6, 6))
    assert y.shape == (2, 3, 6, 6)
    y = nn.MaxUnpool2d(2)(pooled, places, output_size=x.shape)
    kept = y != 0
    assert kept.sum().item() == pooled.numel()
    close(y[kept], x[kept], 0)
    line, at = nn.MaxPool1d(3, return_indices=True)(x[0].abs())
    close(nn.MaxUnpool1d(3)(line, at).max(-1)[0], x[0].abs().max(-1)[0], 0)
    assert repr(nn.MaxUnpool2d(2, padding=1)) == (
        "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(1, 1))"
    )
    cube = nn.MaxUnpool3d(2)(fastnn.ones(1, 1, 1, 1, 1), fastnn.full((1, 1, 1, 1, 1), 5))
    assert cube.flatten().tolist() == [0.0] * 5 + [1.0, 0.0, 0.0]


def test_pooling_by_norms():
    x = image(2, 3, 8, 8)
    means = nn.AvgPool2d(2, 1)(x * x)
    close(nn.LPPool2d(2, 2, 1)(x), (means * 4.0).sqrt())
    close(nn.LPPool1d(2, 3)(x[0]), (F.avg_pool1d(x[0] * x[0], 3) * 3.0).sqrt())
    cube = image(1, 2, 4, 4, 4)
    flat = F.avg_pool2d((cube * cube).flatten(2, 3), (8, 2)).reshape(1, 2, 2, 2)
    close(nn.LPPool3d(2, (2, 4, 2))(cube)[:, :, :, 0], (flat * 16.0).sqrt())
    assert repr(nn.LPPool1d(2, 3)) == (
        "LPPool1d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)"
    )
    zero = fastnn.zeros(1, 1, 4).requires_grad_()
    nn.LPPool1d(2.0, 2)(zero).sum().backward()
    assert (zero.grad == 0).all()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("Reflection", "reflect"),
        ("Replication", "edge"),
        ("Circular", "wrap"),
        ("Zero", "constant"),
    ],
)
def test_padding_in_three_dimensions(kind, mode):
    x = image(1, 2, 3, 4, 5)
    y = getattr(nn, f"{kind}Pad3d")((1, 2, 0, 1, 2, 1))(x)
    wanted = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 1), (0, 1), (1, 2)), mode=mode)
    np.testing.assert_array_equal(y.numpy(), wanted)
    assert getattr(nn, f"{kind}Pad3d")(1)(x).shape == (1, 2, 5, 6, 7)


def test_a_constant_around_in_three_dimensions():
    y = nn.ConstantPad3d(1, 2.5)(fastnn.zeros(1, 1, 1, 1))
    assert y.shape == (1, 3, 3, 3)
    assert y.sum().item() == 2.5 * 26
    assert repr(nn.ConstantPad3d(1, 2.5)) == "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.5)"


def test_what_is_repeated_has_channels():
    with pytest.raises(ValueError, match="CircularPad1d: expected an input of 2 or 3 dimensions"):
        nn.CircularPad1d(1)(image(1, 2, 3, 4))
