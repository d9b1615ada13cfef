"""Parameters and multiply-accumulates held to the published figures (docs/nets.md names their sources)."""

import functools

import pytest

from models.nets.cost import cost, table

cost = functools.cache(cost)  # each net is counted once for all tests


@pytest.mark.parametrize(
    ("name", "variant", "training", "inference"),
    [
        ("dacl", {}, 103_042_311, 11_180_103),
        ("transfer", {}, 65_217_869, 65_217_869),
        ("drml", {}, 56_867_532, 56_867_532),
        ("drml", {"cells": "plain"}, 56_863_436, 56_863_436),  # the Caffe release's BN learns nothing
        ("fcanet34", {}, 21_954_856, 21_954_856),
        ("fcanet34", {"classes": 7}, 21_445_447, 21_445_447),
        ("fcanet50", {}, 28_071_976, 28_071_976),
        ("fcanet50", {"classes": 7}, 26_037_319, 26_037_319),
        ("fcanet101", {}, 49_292_328, 49_292_328),
    ],
)
def test_parameters_are_exactly_the_published_ones(name, variant, training, inference):
    row = cost(name, **variant)

    assert (row.parameters_training, row.parameters_inference) == (training, inference)


@pytest.mark.parametrize(
    ("name", "training", "inference", "printed"),
    [
        ("dacl", 1.905414e9, 1.813565e9, 1e3),
        ("drml", 0.849000e9, 0.849000e9, 1e3),
        ("fcanet34", 3.663919e9 + 0.00138e9, 3.663919e9 + 0.00138e9, 1e4),  # trunk + DCT
        ("fcanet50", 4.091699e9 + 0.00552e9, 4.091699e9 + 0.00552e9, 1e4),
        ("transfer", 15.2807e9, 15.2807e9, 1e5),
    ],
)
def test_products_are_the_published_ones_to_their_last_printed_digit(name, training, inference, printed):
    row = cost(name)

    assert row.macs_training == pytest.approx(training, abs=printed)
    assert row.macs_inference == pytest.approx(inference, abs=printed)


def test_the_table_has_a_row_per_name():
    rows = table(["drml", "dacl"])

    assert [(row.name, row.edge, row.outputs) for row in rows] == [("drml", 170, 12), ("dacl", 224, 7)]


def test_a_smaller_input_shrinks_the_attention_of_dacl_and_nothing_else():
    row = cost("dacl", edge=112)

    assert row.parameters_training - row.parameters_inference == 91_862_208 - (25_088 - 8_192) * 3_584
    assert row.macs_inference < 0.27 * 1.813565e9  # a quarter, and the maps round up: 3.5 to 4
