"""Public checkpoints: the entries of each release, in its order, written down from its code, loaded here."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contract.errors import BadRequest, WeightsDoNotFit
from models.nets import build
from models.nets.reference_weights import load_reference_weights

STATISTICS = ("running_mean", "running_var")


def norm(name, channels, affine=True):
    learnt = [(f"{name}.weight", (channels,)), (f"{name}.bias", (channels,))] if affine else []
    return [*learnt, *((f"{name}.{part}", (channels,)) for part in STATISTICS), (f"{name}.num_batches_tracked", ())]


def conv(name, outputs, inputs, side, bias=False):
    return [(f"{name}.weight", (outputs, inputs, side, side)), *([(f"{name}.bias", (outputs,))] if bias else [])]


def linear(name, outputs, inputs, bias=True):
    return [(f"{name}.weight", (outputs, inputs)), *([(f"{name}.bias", (outputs,))] if bias else [])]


def resnet_release(units, expansion, dct=None):
    """torchvision's order; cfzd/FcaNet puts `att` between the last norm and the shortcut."""
    yield from conv("conv1", 64, 3, 7)
    yield from norm("bn1", 64)
    inputs = 64
    for stage, (width, count) in enumerate(zip((64, 128, 256, 512), units, strict=True), 1):
        outputs = width * expansion
        for unit in range(count):
            name = f"layer{stage}.{unit}"
            if expansion == 1:
                steps = [(width, inputs, 3), (width, width, 3)]
            else:
                steps = [(width, inputs, 1), (width, width, 3), (outputs, width, 1)]
            for index, step in enumerate(steps, 1):
                yield from conv(f"{name}.conv{index}", *step)
                yield from norm(f"{name}.bn{index}", step[0])
            if dct:
                yield f"{name}.att.dct_layer.weight", (outputs, dct[stage - 1], dct[stage - 1])
                yield from linear(f"{name}.att.fc.0", outputs // 16, outputs, bias=False)
                yield from linear(f"{name}.att.fc.2", outputs, outputs // 16, bias=False)
            if unit == 0 and (stage > 1 or expansion > 1):
                yield from conv(f"{name}.downsample.0", outputs, inputs, 1)
                yield from norm(f"{name}.downsample.1", outputs)
            inputs = outputs


def dacl_release(flat=25088, classes=7):
    """amirhfarzaneh/dacl models/resnet.py."""
    yield from resnet_release((2, 2, 2, 2), 1)
    for index, (outputs, inputs) in ((0, (3584, flat)), (3, (512, 3584)), (6, (64, 512))):
        yield from linear(f"attention.{index}", outputs, inputs)
        yield from norm(f"attention.{index + 1}", outputs)
    yield from linear("attention_heads", 1024, 64)
    yield from linear("fc", classes, 512)


def fcanet_release(units, expansion, classes=1000):
    """cfzd/FcaNet model/fcanet.py."""
    yield from resnet_release(units, expansion, dct=(56, 28, 14, 7))
    yield from linear("fc", classes, 512 * expansion)


def drml_release(units=12, flat=11664, hidden=(4096, 2048), batch=False):
    """YIUYA/DRML model/DRML.py; AlexHex7/DRML_pytorch lib/network.py with `batch`."""
    yield from conv("extractor.0", 32, 3, 11, bias=True)
    for row in range(8):
        for column in range(8):
            yield from norm(f"extractor.1.region_conv_{row}_{column}.0", 32)
            yield from conv(f"extractor.1.region_conv_{row}_{column}.2", 32, 32, 3, bias=True)
    if batch:
        yield from norm("extractor.4", 32)
    for index, inputs, side in ((5, 32, 8), (7, 16, 8), (9, 16, 6), (11, 16, 5)):
        yield from conv(f"extractor.{index}", 16, inputs, side, bias=True)
    for index, outputs, inputs in ((0, hidden[0], flat), (3, hidden[1], hidden[0]), (6, units, hidden[1])):
        yield from linear(f"classifier.{index}", outputs, inputs)


def stem_release(units=(3, 4, 14), widths=(64, 128, 256)):
    """face.evoLVe model_irse.py; youqingxiaozhua/APViT Paddle/ppcls/arch/backbone/model_zoo/irse.py."""
    yield from conv("input_layer.0", 64, 3, 3)
    yield from norm("input_layer.1", 64)
    yield "input_layer.2.weight", (64,)
    inputs, index = 64, 0
    for width, count in zip(widths, units, strict=True):
        for _ in range(count):
            name = f"body.{index}"
            if inputs != width:
                yield from conv(f"{name}.shortcut_layer.0", width, inputs, 1)
                yield from norm(f"{name}.shortcut_layer.1", width)
            yield from norm(f"{name}.res_layer.0", inputs)
            yield from conv(f"{name}.res_layer.1", width, inputs, 3)
            yield f"{name}.res_layer.2.weight", (width,)
            yield from conv(f"{name}.res_layer.3", width, width, 3)
            yield from norm(f"{name}.res_layer.4", width)
            inputs, index = width, index + 1


def transfer_release(units=(3, 4, 14), width=768, depth=8, tokens=196, classes=7):
    """youqingxiaozhua/APViT Paddle/ppcls/arch/backbone/model_zoo/{trans_fer,la_max}.py, under PyTorch's names."""
    yield from ((f"extractor.{name}", shape) for name, shape in stem_release(units))
    for index in range(2):
        name = f"attention.las.{index}"
        yield from conv(f"{name}.LA_conv1", 16, 256, 1, bias=True)
        yield from norm(f"{name}.bn1", 16)
        yield from conv(f"{name}.LA_conv2", 1, 16, 1, bias=True)
        yield from norm(f"{name}.bn2", 1)
    yield from conv("convert.proj", width, 256, 1, bias=True)
    yield "vit.cls_token", (1, 1, width)
    yield "vit.pos_embed", (1, tokens + 1, width)
    for block in range(depth):
        name = f"vit.blocks.{block}"
        yield from [(f"{name}.norm1.weight", (width,)), (f"{name}.norm1.bias", (width,))]
        yield from linear(f"{name}.attn.qkv", 3 * width, width, bias=False)
        yield from linear(f"{name}.attn.proj", width, width)
        yield from [(f"{name}.norm2.weight", (width,)), (f"{name}.norm2.bias", (width,))]
        yield from linear(f"{name}.mlp.fc1", 3 * width, width)
        yield from linear(f"{name}.mlp.fc2", width, 3 * width)
    yield from [("vit.norm.weight", (width,)), ("vit.norm.bias", (width,))]
    yield from linear("head.fc", classes, width)


@pytest.mark.parametrize(
    ("name", "variant", "release"),
    [
        ("dacl", {}, dacl_release()),
        ("dacl", {"edge": 112, "classes": 8}, dacl_release(8192, 8)),
        ("fcanet34", {}, fcanet_release((3, 4, 6, 3), 1)),
        ("fcanet50", {}, fcanet_release((3, 4, 6, 3), 4)),
        ("fcanet101", {}, fcanet_release((3, 4, 23, 3), 4)),
        ("fcanet18", {"edge": 112, "dct": "released"}, fcanet_release((2, 2, 2, 2), 1)),
        ("drml", {}, drml_release()),
        ("drml", {"norm": "batch"}, drml_release(batch=True)),
        ("transfer", {}, transfer_release()),
    ],
)
def test_entries_have_the_names_order_and_shapes_of_the_release(name, variant, release):
    with torch.device("meta"):
        net = build(name, **variant)

    assert [(key, tuple(value.shape)) for key, value in net.state_dict().items()] == list(release)


def invented(release):
    """Random values for a list of entries; statistics positive, counters whole."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in release:
        made[name] = torch.rand(shape, generator=generator) + 0.1
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(1234)
    return made


def holds(net, entries):
    own = net.state_dict()
    return all(torch.equal(own[name], value) for name, value in entries.items())


def small_dacl():
    return build("dacl", edge=32), invented(dacl_release(512))


def test_dacls_own_checkpoint_loads_whole(tmp_path):
    net, entries = small_dacl()
    wrapped = {f"module.{name}": value for name, value in entries.items()}
    torch.save({"epoch": 60, "model_state_dict": wrapped}, tmp_path / "best_valid_acc.pth")

    assert load_reference_weights(net, tmp_path / "best_valid_acc.pth") == ()
    assert holds(net, entries)


def test_a_face_backbone_loads_into_dacls_trunk_and_leaves_the_rest(tmp_path):
    net, entries = small_dacl()
    trunk = {name: value for name, value in entries.items() if not name.startswith(("attention", "fc"))}
    before = net.fc.weight.clone()
    celebrities = {**trunk, "fc.weight": torch.zeros(8631, 512), "fc.bias": torch.zeros(8631)}
    torch.save({"state_dict": {f"module.{k}": v for k, v in celebrities.items()}}, tmp_path / "resnet18_msceleb.pth")

    left = load_reference_weights(net, tmp_path / "resnet18_msceleb.pth", part="backbone")

    assert holds(net, trunk)
    assert torch.equal(net.fc.weight, before)
    assert left[0] == "attention.0.weight"
    assert set(left) == {name for name in entries if name.startswith(("attention", "fc"))}


def test_a_backbone_without_one_of_its_layers_is_refused_where_the_release_would_keep_silent(tmp_path):
    net, entries = small_dacl()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    del entries["layer3.1.conv2.weight"]
    torch.save({"state_dict": entries}, tmp_path / "a.pth")

    with pytest.raises(WeightsDoNotFit, match=re.escape("layer3.1.conv2.weight (256, 256, 3, 3) is missing")):
        load_reference_weights(net, tmp_path / "a.pth", part="backbone")

    assert holds(net, before), "a refused checkpoint must not change the net"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update({"fc.weight": torch.zeros(8, 512)}), "fc.weight is (8, 512), wanted (7, 512)"),
        (lambda e: e.pop("attention.4.running_var"), "attention.4.running_var (512) is missing"),
        (
            lambda e: e.update({"layer5.0.conv1.weight": torch.zeros(1)}),
            "layer5.0.conv1.weight (1) has no place in DACL",
        ),
        # The first in the net's order is named, not the first in the file's.
        (lambda e: [e.pop("fc.bias"), e.update({"bn1.weight": torch.zeros(3)})], "bn1.weight is (3), wanted (64)"),
    ],
)
def test_the_first_mismatch_is_named(tmp_path, change, words):
    net, entries = small_dacl()
    change(entries)
    torch.save({"model_state_dict": entries}, tmp_path / "a.pth")

    with pytest.raises(WeightsDoNotFit, match=re.escape(words)):
        load_reference_weights(net, tmp_path / "a.pth")


def test_a_checkpoint_of_another_net_names_the_first_entry_it_lacks(tmp_path):
    save_file(invented(drml_release(flat=16, hidden=(4, 4))), tmp_path / "drml.safetensors")

    with pytest.raises(WeightsDoNotFit, match=re.escape("conv1.weight (64, 3, 7, 7) is missing among")):
        load_reference_weights(build("fcanet18", edge=32), tmp_path / "drml.safetensors")


def fcanet_checkpoint(net):
    """Invented learnt entries; the DCT planes are what the release would have stored."""
    entries = invented(fcanet_release((2, 2, 2, 2), 1, classes=10))
    entries.update({name: value for name, value in net.state_dict().items() if "dct_layer" in name})
    return entries


@pytest.mark.parametrize("form", ["raw", "training", "half precision", "before counters"])
def test_fcanets_checkpoints_load(tmp_path, form):
    net = build("fcanet18", classes=10)
    entries = fcanet_checkpoint(net)
    if form == "half precision":
        entries = {name: value.half() if value.is_floating_point() else value for name, value in entries.items()}
    if form == "before counters":
        entries = {name: value for name, value in entries.items() if "num_batches" not in name}
    content = (
        entries if form != "training" else {"state_dict": {f"module.{k}": v for k, v in entries.items()}, "epoch": 9}
    )
    torch.save(content, tmp_path / "fca.pth")

    left = load_reference_weights(net, tmp_path / "fca.pth")

    assert all("num_batches" in name for name in left)
    assert holds(net, {name: value for name, value in entries.items() if "dct_layer" not in name})


def test_a_checkpoint_with_other_frequencies_is_refused(tmp_path):
    torch.save(fcanet_checkpoint(build("fcanet18", classes=10, frequencies="low16")), tmp_path / "low.pth")

    with pytest.raises(WeightsDoNotFit, match=r"layer1\.0\.att\.dct_layer\.weight holds other frequencies"):
        load_reference_weights(build("fcanet18", classes=10), tmp_path / "low.pth")


def test_a_checkpoint_for_224_needs_the_released_dct_at_112_or_serves_as_a_backbone(tmp_path):
    entries = fcanet_checkpoint(build("fcanet18", classes=10))
    torch.save(entries, tmp_path / "fca.pth")
    net = build("fcanet18", classes=10, edge=112)

    with pytest.raises(WeightsDoNotFit, match=r"wanted \(64, 28, 28\).*dct='released'"):
        load_reference_weights(net, tmp_path / "fca.pth")
    load_reference_weights(build("fcanet18", classes=10, edge=112, dct="released"), tmp_path / "fca.pth")
    left = load_reference_weights(net, tmp_path / "fca.pth", part="backbone")

    assert {name.rpartition(".")[0].split("att.")[-1] for name in left} == {"dct_layer", "fc"}
    assert holds(net, {name: value for name, value in entries.items() if "att.fc" in name or "conv" in name})


@pytest.mark.parametrize("norm_kind", ["lrn", "batch"])
def test_drmls_checkpoints_load_into_the_joined_cells(tmp_path, norm_kind):
    net = build("drml", edge=66, hidden=(6, 5), norm=norm_kind)
    entries = invented(drml_release(flat=16, hidden=(6, 5), batch=norm_kind == "batch"))
    torch.save({"epoch": 4, "state_dict": entries, "optimizer": {}}, tmp_path / "epoch4.pth")

    assert load_reference_weights(net, tmp_path / "epoch4.pth") == ()
    assert holds(net, entries)
    assert torch.equal(net.extractor[1].weight[32 * 10 : 32 * 11], entries["extractor.1.region_conv_1_2.2.weight"])


TINY = {"edge": 16, "stem_units": (1, 2, 2), "width": 8, "depth": 2, "heads": 2, "classes": 7}


def tiny_transfer():
    return build("transfer", **TINY), invented(transfer_release((1, 2, 2), 8, 2, 4))


def as_paddle(entries, prelu="_weight"):
    """Names and layouts of Paddle: statistics `_mean`, `_variance`, linear weights (inputs, outputs), no counters."""
    named = {}
    for name, value in entries.items():
        if name.endswith("num_batches_tracked"):
            continue
        stem, _, last = name.rpartition(".")
        last = {"running_mean": "_mean", "running_var": "_variance"}.get(last, last)
        if re.search(r"(res_layer|input_layer)\.2$", stem):
            last = prelu
        named[f"{stem}.{last}" if stem else last] = (value.T if value.dim() == 2 else value).numpy()
    return named


@pytest.mark.parametrize("prelu", ["_weight", "weight"])  # saved by Paddle; as the released file has it
def test_transfers_paddle_release_loads_once_converted(tmp_path, prelu):
    net, entries = tiny_transfer()
    np.savez(tmp_path / "weights.npz", **as_paddle(entries, prelu))

    left = load_reference_weights(net, tmp_path / "weights.npz")

    assert all(name.endswith("num_batches_tracked") for name in left)
    assert holds(net, {name: value for name, value in entries.items() if "num_batches" not in name})


def test_transfers_pytorch_port_loads_with_its_stages_counted_on(tmp_path):
    net, entries = tiny_transfer()
    places = {0: "0.0", 1: "1.0", 2: "1.1", 3: "2.0", 4: "2.1"}  # units 1, 2, 2
    ported = {
        re.sub(r"^extractor\.body\.(\d)\.", lambda match: f"extractor.body.{places[int(match[1])]}.", name): value
        for name, value in entries.items()
    }
    torch.save({"state_dict": ported, "meta": {"epoch": 33}}, tmp_path / "epoch_33.pth")

    assert "extractor.body.2.1.res_layer.0.weight" in ported
    assert load_reference_weights(net, tmp_path / "epoch_33.pth") == ()
    assert holds(net, entries)


def test_a_face_recognition_net_of_four_stages_loads_into_the_stem(tmp_path):
    net, _ = tiny_transfer()
    entries = invented(stem_release((1, 2, 2, 1), (64, 128, 256, 512)))
    entries["output_layer.3.weight"] = torch.zeros(512, 25088)
    torch.save(entries, tmp_path / "backbone_ir50_ms1m.pth")

    left = load_reference_weights(net, tmp_path / "backbone_ir50_ms1m.pth", part="backbone")

    stem = {name: value for name, value in entries.items() if not name.startswith(("body.5", "output"))}
    assert holds(net.extractor, stem)
    assert left[0] == "attention.las.0.LA_conv1.weight"


def test_what_this_package_saves_it_loads(tmp_path):
    torch.manual_seed(0)
    for name, variant in (("drml", {"edge": 66, "hidden": (6, 5)}), ("transfer", TINY), ("fcanet18", {"edge": 64})):
        one, two = build(name, **variant), build(name, **variant)
        save_file(one.state_dict(), tmp_path / "own.safetensors")

        assert load_reference_weights(two, tmp_path / "own.safetensors") == ()
        assert holds(two, one.state_dict())


def test_an_unknown_part_is_refused(tmp_path):
    with pytest.raises(BadRequest, match="there is all, backbone"):
        load_reference_weights(build("fcanet18", edge=32), tmp_path / "a.pth", part="head")
