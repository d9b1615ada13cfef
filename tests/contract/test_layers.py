from contract.layers import layer_name, rank_of, schema_of_name


def test_a_layer_names_its_schema_and_its_rank() -> None:
    assert layer_name("0123456789ab", 12) == "0123456789ab+12"
    assert schema_of_name("0123456789ab+12") == schema_of_name("0123456789ab") == "0123456789ab"
    assert rank_of("0123456789ab+12") == 12


def test_what_workers_read_lies_below_every_layer() -> None:
    assert rank_of("0123456789ab") == 0
