"""The nets' equations, written once more in float64 from the papers: plain sums, products and shifts, no `torch.nn`."""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

Entries = Mapping[str, Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def float64() -> Iterator[None]:
    """Nets built inside have float64 weights and constants."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, pad: int = 0) -> Tensor:
    """out[o, r, c] = b[o] + sum over i, u, v of w[o, i, u, v] x[i, r s + u - p, c s + v - p], zero outside."""
    batch, channels, height, width = x.shape
    padded = x.new_zeros(batch, channels, height + 2 * pad, width + 2 * pad)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    side = weight.shape[2]
    rows, columns = (padded.shape[2] - side) // stride + 1, (padded.shape[3] - side) // stride + 1
    out = x.new_zeros(batch, weight.shape[0], rows, columns)
    for u in range(side):
        for v in range(side):
            seen = padded[:, :, u : u + stride * (rows - 1) + 1 : stride, v : v + stride * (columns - 1) + 1 : stride]
            out = out + torch.einsum("bihw,oi->bohw", seen, weight[:, :, u, v])
    return out if bias is None else out + bias[None, :, None, None]


def batch_norm(x: Tensor, s: Entries, name: str, training: bool, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * gain + shift per channel; batch statistics (biased variance) in training."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    axes = [axis for axis in range(x.dim()) if axis != 1]
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    if training:
        mean = x.mean(axes)
        var = ((x - mean.reshape(shape)) ** 2).mean(axes)
    normal = (x - mean.reshape(shape)) / (var.reshape(shape) + eps) ** 0.5
    return normal * s[f"{name}.weight"].reshape(shape) + s[f"{name}.bias"].reshape(shape)


def linear(x: Tensor, s: Entries, name: str) -> Tensor:
    out = torch.einsum("...i,oi->...o", x, s[f"{name}.weight"])
    return out + s[f"{name}.bias"] if f"{name}.bias" in s else out


def layer_norm(x: Tensor, s: Entries, name: str, eps: float = 1e-6) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    var = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (var + eps) ** 0.5 * s[f"{name}.weight"] + s[f"{name}.bias"]


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def max_pool(x: Tensor, side: int, stride: int, pad: int) -> Tensor:
    batch, channels, height, width = x.shape
    padded = x.new_full((batch, channels, height + 2 * pad, width + 2 * pad), -torch.inf)
    padded[:, :, pad : pad + height, pad : pad + width] = x
    rows, columns = (padded.shape[2] - side) // stride + 1, (padded.shape[3] - side) // stride + 1
    shifted = [
        padded[:, :, u : u + stride * (rows - 1) + 1 : stride, v : v + stride * (columns - 1) + 1 : stride]
        for u in range(side)
        for v in range(side)
    ]
    return torch.stack(shifted).amax(0)


def residual_unit(
    x: Tensor, s: Entries, name: str, stride: int, training: bool, attention: Callable[[Tensor, str], Tensor]
) -> Tensor:
    """ReLU(attention(F(x)) + shortcut(x)); the bottleneck, known by its third convolution, strides in its 3x3."""
    bottleneck = f"{name}.conv3.weight" in s
    steps = [(1, 1, 0), (2, stride, 1), (3, 1, 0)] if bottleneck else [(1, stride, 1), (2, 1, 1)]
    out = x
    for index, step, pad in steps:
        out = conv(out, s[f"{name}.conv{index}.weight"], stride=step, pad=pad)
        out = batch_norm(out, s, f"{name}.bn{index}", training)
        out = out if index == len(steps) else relu(out)
    out = attention(out, f"{name}.att")
    if f"{name}.downsample.0.weight" in s:
        x = conv(x, s[f"{name}.downsample.0.weight"], stride=stride)
        x = batch_norm(x, s, f"{name}.downsample.1", training)
    return relu(out + x)


def resnet_maps(
    x: Tensor,
    s: Entries,
    units: tuple[int, ...],
    training: bool,
    attention: Callable[[Tensor, str], Tensor] = lambda x, name: x,
) -> Tensor:
    x = relu(batch_norm(conv(x, s["conv1.weight"], stride=2, pad=3), s, "bn1", training))
    x = max_pool(x, 3, 2, 1)
    for stage, count in enumerate(units, 1):
        for unit in range(count):
            stride = 2 if stage > 1 and unit == 0 else 1
            x = residual_unit(x, s, f"layer{stage}.{unit}", stride, training, attention)
    return x


@pytest.fixture(scope="session")
def equations() -> SimpleNamespace:
    """The building blocks above, by name."""
    parts = (conv, batch_norm, linear, layer_norm, relu, sigmoid, max_pool, resnet_maps)
    return SimpleNamespace(**{part.__name__: part for part in parts})


def scrambled(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give every entry a value that matters: no zero biases, unit gains or trivial statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*net.named_parameters(), *net.named_buffers()]:
            if not value.is_floating_point() or name.endswith(("planes", "dct_layer.weight")):
                continue
            noise = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            if name.endswith("var"):
                value.copy_(0.5 + noise)
            elif value.dim() < 2:
                value.add_(0.4 * (noise - 0.5))
            elif value.abs().max() == 0:
                value.copy_(noise - 0.5)
    return net


@pytest.fixture(scope="session")
def scramble() -> Callable[[nn.Module], nn.Module]:
    return scrambled


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Compare a net with its equations: outputs, and gradients of every parameter and of the input."""
    return check_agreement


def check_agreement(
    net: nn.Module,
    run: Callable[[Tensor], tuple[Tensor, ...]],
    reference: Callable[[Tensor, Entries], tuple[Tensor, ...]],
    x: Tensor,
    *,
    gradients: bool = True,
    joined: Mapping[str, list[str]] | None = None,
    tolerance: float = 1e-9,
) -> None:
    """1e-9 relative to each tensor's largest value, as the issue asks; float64 rounding itself is near 1e-13 here.

    `joined` names the entries that one parameter holds end to end. A gradient that is zero by its equation (a bias
    before a batch norm) is measured against 1e-3 of the largest.
    """
    entries = {name: value.detach().clone() for name, value in net.state_dict().items()}
    leaves = {name: value.requires_grad_() for name, value in entries.items() if value.is_floating_point()}
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, wanted = run(mine), reference(theirs, leaves)

    weights = [torch.randn(each.shape, generator=torch.Generator().manual_seed(1), dtype=each.dtype) for each in wanted]
    for seen, want in zip(out, wanted, strict=True):
        assert seen.shape == want.shape
        assert (seen - want).abs().max() <= tolerance * want.abs().max()
    if not gradients:
        return
    sum((each * weight).sum() for each, weight in zip(out, weights, strict=True)).backward()
    sum((each * weight).sum() for each, weight in zip(wanted, weights, strict=True)).backward()

    pairs = [("input", mine.grad, theirs.grad)]
    for name, parameter in net.named_parameters():
        parts = [leaves[part].grad for part in (joined or {}).get(name, [name])]
        pairs.append((name, parameter.grad, torch.cat(parts)))
    largest = max(want.abs().max() for _, _, want in pairs)
    for name, seen, want in pairs:
        assert (seen - want).abs().max() <= tolerance * max(want.abs().max(), 1e-3 * largest), name
