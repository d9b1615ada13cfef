"""`mien engine`, as a user types it."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def plans(tmp_path_factory, mien):
    """A folder with one plan of the shipped weights, and what building it said."""
    pytest.importorskip("tensorrt_rtx")
    folder = tmp_path_factory.mktemp("plans")
    done = mien("engine", "build", "expressions", "--flavour", "rtx", "--precision", "fp16", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_building_prints_seconds_and_bytes(plans):
    folder, said = plans
    (plan,) = folder.glob("*.plan")

    assert f"{plan.stat().st_size:,} bytes" in said
    assert plan.name in said
    assert "fp16, batch 1/8/32" in said


def test_what_a_plan_is_rebuilt_from_lies_beside_it(plans):
    folder, _ = plans

    assert sorted(each.name for each in (folder / "onnx").iterdir()) == [
        "expressions.fp16.json",
        "expressions.fp16.onnx",
    ]


def test_the_second_build_finds_the_first(plans, mien):
    folder, _ = plans

    done = mien("engine", "build", "expressions", "--flavour", "rtx", "--precision", "fp16", "--out", folder)

    assert "cached" in done.stdout


def test_plans_are_listed_and_verified(plans, mien):
    folder, _ = plans

    listed, verified = mien("engine", "list", "--out", folder), mien("engine", "verify", "--out", folder)

    assert "expressions.fp16" in listed.stdout
    assert "compute capability 8.0, 8.6, 8.9, 12.0, 12.1" in listed.stdout
    assert (verified.returncode, verified.stdout[:5]) == (0, "whole")


def test_a_harmed_plan_is_named_and_ends_in_exit_code_1(plans, mien):
    folder, _ = plans
    (plan,) = folder.glob("*.plan")
    body = plan.read_bytes()
    plan.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))

    done = mien("engine", "verify", "--out", folder)

    plan.write_bytes(body)
    assert (done.returncode, done.stdout[:6]) == (1, "harmed")
    assert plan.name in done.stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["build", "frowns"], "no net or card 'frowns'; there is"),
        (["build", "expressions", "--flavour", "cuda"], "no flavour 'cuda'; there is trt and rtx"),
        (["build", "expressions", "--flavour", "rtx", "--precision", "fp4"], "fp4"),
        (["build", "expressions", "--flavour", "rtx", "--min", "9"], "batches 9/8/32: wanted 1 <= min <= opt <= max"),
        (["build", "expressions", "--flavour", "rtx", "--target", "9.0"], "does not run on compute capability 9.0"),
        (["build", "expressions", "--flavour", "rtx", "--precision", "int8"], "int8 needs real crops"),
        (["calibrate", "expressions", "--data", "nowhere"], "nowhere: there is no such file or folder"),
        (["export", "frowns"], "frowns"),
        (["export", "expressions", "--layout", "tar"], "no layout 'tar'; there is files, triton"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(mien, tmp_path, words, error):
    done = mien("engine", *words, "--out", tmp_path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert error in done.stderr


def test_a_net_of_the_zoo_is_written_as_a_model_of_a_triton_repository(mien, tmp_path):
    done = mien("engine", "export", "expressions.int8", "--layout", "triton", "--out", tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "expressions.int8")
    assert (tmp_path / "expressions.int8" / "1" / "model.onnx").is_file()


def test_an_empty_folder_says_how_to_fill_it(mien, tmp_path):
    assert "no plans; `mien engine build NET` makes them" in mien("engine", "list", "--out", tmp_path).stdout


def without_torch(*words: object) -> "subprocess.CompletedProcess[str]":
    """The command line on a machine that has neither torch nor onnx nor TensorRT."""
    code = (
        "import sys, runpy\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'onnx', 'tensorrt', 'tensorrt_rtx', 'cuda'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "sys.argv = ['mien', *sys.argv[1:]]\n"
        "runpy.run_module('mien', run_name='__main__')\n"
    )
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)


def test_the_base_installation_lists_plans_and_shows_help(plans):
    folder, _ = plans

    listed, shown = without_torch("engine", "list", "--out", folder), without_torch("engine", "--help")

    assert (listed.returncode, shown.returncode) == (0, 0), listed.stderr + shown.stderr
    assert "«rtx» is not installed" in listed.stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["build", "expressions"], "no TensorRT is installed: `pip install 'mien[gpu]'`"),
        (["export", "dacl"], "which the base installation lacks: `pip install 'mien[train]'` or `make setup`"),
        (["calibrate", "expressions", "--data", "."], "`pip install 'mien[train]'` or `make setup`"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, words, error):
    done = without_torch("engine", *words, "--out", tmp_path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert error in done.stderr
