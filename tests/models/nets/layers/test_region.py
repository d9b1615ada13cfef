"""The region layer against 64 cells computed one by one, and its entries as the public code names them."""

import pytest
import torch
from torch import nn

from models.nets.layers.region import RegionLayer, from_cells, to_cells


def cells_one_by_one(layer, x):
    """Stock modules per cell, loaded from the layer's own entries."""
    height, width = x.shape[2] // 8, x.shape[3] // 8
    out = torch.empty_like(x)
    entries = layer.state_dict()
    for row in range(8):
        for column in range(8):
            cell = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)).train(layer.training)
            prefix = f"region_conv_{row}_{column}."
            cell.load_state_dict({k.removeprefix(prefix): v for k, v in entries.items() if k.startswith(prefix)})
            place = (..., slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width))
            out[place] = x[place] + cell(x[place])
    return out


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.usefixtures("float64")
def test_all_cells_at_once_equal_cells_one_by_one(scramble, training):
    torch.manual_seed(0)
    layer = scramble(RegionLayer(4)).train(training)
    x = torch.randn(3, 4, 24, 40)

    one_by_one = cells_one_by_one(layer, x)  # before the layer moves its statistics

    assert torch.allclose(layer(x), one_by_one, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("float64")
def test_the_copy_for_export_is_the_same_in_eval(scramble):
    for affine in (True, False):
        layer = scramble(RegionLayer(4, affine=affine)).eval()
        x = torch.randn(2, 4, 16, 16)

        assert torch.allclose(layer.inference()(x), layer(x), rtol=1e-12)


def test_cells_go_row_by_row_and_back():
    x = torch.arange(2 * 3 * 16 * 24.0).reshape(2, 3, 16, 24)
    cells = to_cells(x)

    assert cells.shape == (2, 192, 2, 3)
    assert torch.equal(cells[1, 3 * 9 + 2], x[1, 2, 2:4, 3:6])  # cell 9: second row, second column
    assert torch.equal(from_cells(cells), x)


def test_a_cell_does_not_see_its_neighbours():
    torch.manual_seed(0)
    layer = RegionLayer(4).eval()
    x = torch.randn(1, 4, 16, 16)
    other = x.clone()
    other[..., 2:] += 1.0  # all but the first column of cells

    assert torch.equal(layer(x)[..., :2], layer(other)[..., :2])


def test_running_statistics_move_as_batch_norms_do():
    torch.manual_seed(0)
    layer, x = RegionLayer(4).train(), torch.randn(3, 4, 16, 16)
    stock = nn.BatchNorm2d(4).train()

    layer(x)
    layer(x + 1)
    stock(x[..., 2:4, 4:6])
    stock(x[..., 2:4, 4:6] + 1)

    entries = layer.state_dict()
    for name, value in stock.state_dict().items():
        assert torch.allclose(entries[f"region_conv_1_2.0.{name}"].double(), value.double(), rtol=1e-6), name
    assert entries["region_conv_7_7.0.num_batches_tracked"] == 2


def test_entries_survive_a_round_trip_and_stay_views_of_the_layer():
    torch.manual_seed(0)
    one, two = RegionLayer(4), RegionLayer(4)

    two.load_state_dict(one.state_dict())
    one.state_dict()["region_conv_3_5.2.bias"].fill_(7.0)

    assert torch.equal(two.weight, one.weight)
    assert not torch.equal(two.bias, one.bias)
    assert (one.bias.reshape(64, 4)[3 * 8 + 5] == 7).all()


def test_missing_surplus_and_misshapen_entries_are_named():
    layer = RegionLayer(4)
    entries = layer.state_dict()
    del entries["region_conv_0_1.2.bias"]
    entries["region_conv_8_0.2.bias"] = torch.zeros(4)
    entries["region_conv_0_0.2.weight"] = torch.zeros(4, 4, 5, 5)

    with pytest.raises(RuntimeError) as refusal:
        layer.load_state_dict(entries)

    for name in ("region_conv_0_1.2.bias", "region_conv_8_0.2.bias", "region_conv_0_0.2.weight"):
        assert name in str(refusal.value)


def test_assigning_entries_instead_of_copying_is_refused():
    with pytest.raises(RuntimeError, match="assign=True cannot be honoured"):
        RegionLayer(4).load_state_dict(RegionLayer(4).state_dict(), assign=True)


def test_without_affine_there_are_only_statistics():
    names = [name.split(".", 1)[1] for name in RegionLayer(4, affine=False).state_dict()][:5]

    assert names == ["0.running_mean", "0.running_var", "0.num_batches_tracked", "2.weight", "2.bias"]
