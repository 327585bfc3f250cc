"""The benchmark of the loader composes what training composes, and prints what it measures."""

import json
import sys

import pytest
import torch

from contextrast.benchmarks.infer import OnnxNetwork
from contextrast.models import Segmenter
from scripts import benchmark

TINY = ["data.dataset.size=[32,32]", "data.crop=[32,32]", "data.num_workers=0", "data.batch_size=2"]


@pytest.mark.parametrize(("augment", "more"), [("cpu", set()), ("gpu", {"device_seconds"})])
def test_loader(augment, more, capsys, monkeypatch, tmp_path):
    numbers = tmp_path / "numbers.json"
    overrides = [*TINY, f"data.augment={augment}"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "loader", "--repetitions=1", f"--json={numbers}", *overrides])
    benchmark.main()
    assert set(json.loads(numbers.read_text())) == {"threads", "samples_per_second", "processor_seconds"} | more
    assert f"0 workers, augment={augment}" in capsys.readouterr().out


def test_what_is_wrong_with_the_data_is_said_without_a_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "loader", "data=camvid", "data.root=/nowhere"])
    with pytest.raises(SystemExit, match="/nowhere does not exist"):
        benchmark.main()


def test_memory_of_many_steps(capsys, monkeypatch, tmp_path):
    numbers = tmp_path / "numbers.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["benchmark.py", "memory", "--steps=12", "--methods", "contextrast", "contextrast_pp", f"--json={numbers}"],
    )
    benchmark.main()
    measured = json.loads(numbers.read_text())
    printed = capsys.readouterr().out
    for method in ("contextrast", "contextrast_pp"):
        assert f"{measured[f'{method} settled']:.1f} │ {measured[f'{method} end']:>13.1f}" in printed


@pytest.mark.slow  # a run in an interpreter of its own, which imports everything
def test_memory_of_a_run(capsys, monkeypatch, tmp_path):
    numbers = tmp_path / "numbers.json"
    arguments = ["run", "--steps=20", f"--json={numbers}", "logger=csv", "trainer.log_every_n_steps=1"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments])
    benchmark.main()
    measured = json.loads(numbers.read_text())
    assert 100 < measured["step 2"] <= 1.5 * measured["step 20"] < 10_000
    assert f"{measured['step 20']:.1f}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "run", "--steps=20", "loss=nothing"])
    with pytest.raises(SystemExit, match="loss/nothing"):
        benchmark.main()


SMALL = [
    *TINY, "model.decoder_pyramid_channels=16", "model.decoder_segmentation_channels=32", "trainer.accelerator=cpu",
    "trainer.precision=bf16-mixed",
]  # fmt: skip


def measured(monkeypatch, tmp_path, *arguments):
    numbers = tmp_path / "numbers.json"
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *arguments, f"--json={numbers}"])
    benchmark.main()
    return json.loads(numbers.read_text())


def test_a_training_step_against_the_baseline(monkeypatch, tmp_path):
    overrides = [
        *SMALL,
        "data=camvid",
        "data.root=/nowhere",
        "data.dataset={merge:documented}",
    ]  # no data is looked for
    overrides = [override for override in overrides if not override.startswith("data.dataset.size")]
    numbers = measured(monkeypatch, tmp_path, "step", "--repetitions=2", "--loss=contextrast,ce", *overrides)
    assert numbers["ce time ratio"] == 1
    assert numbers["contextrast time ratio"] == numbers["contextrast seconds"] / numbers["ce seconds"]
    assert 0 < numbers["contextrast fastest"] <= numbers["contextrast seconds"] <= numbers["contextrast slowest"]
    assert numbers["precision"] == "bf16-mixed"
    assert "contextrast megabytes" not in numbers  # measured on GPUs alone


def test_inference_in_torch(monkeypatch, tmp_path):
    numbers = measured(monkeypatch, tmp_path, "infer", "--repetitions=1", "--ways=eager", "--size", "40", "48", *SMALL)
    assert set(numbers) == {"threads", "device"} | {
        f"eager {protocol} images a second" for protocol in ("single_scale", "multi_scale")
    }
    assert numbers["eager single_scale images a second"] > numbers["eager multi_scale images a second"] > 0


def test_memory_of_a_large_image(monkeypatch, tmp_path):
    small = [one for one in SMALL if not one.startswith("data.dataset")]
    sizes = ["--size", "600", "800", "--windows=64x64,600x800"]
    numbers = measured(monkeypatch, tmp_path, "prediction", *sizes, *small, "data=ade20k", "data.root=/nowhere")
    assert numbers["64x64 bytes"] < numbers["600x800 bytes"]


def test_a_way_of_inference_that_does_not_exist_is_refused(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="--ways=quickly: quickly is none of eager, compiled, onnx"):
        measured(monkeypatch, tmp_path, "infer", "--ways=quickly", *SMALL)


def test_onnx_runtime_computes_what_torch_computes():
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=3, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32,
    ).eval()  # fmt: skip
    image = torch.randn(1, 3, 40, 48)
    with torch.inference_mode():
        torch.testing.assert_close(OnnxNetwork(network)(image), network(image), rtol=1e-3, atol=1e-4)


def test_a_call_of_each_loss(monkeypatch, tmp_path):
    text = tmp_path / "text.md"
    methods = ("contextrast loss/negatives=all", "multiscale")
    arguments = ["--methods", *methods, "--bases", "lovasz", "--num-classes", "3", "5", "--size", "64", "128"]
    numbers = measured(
        monkeypatch, tmp_path, "loss", "--repetitions=1", "--batch-size=1", f"--markdown={text}", *arguments
    )
    for method in methods:
        for classes in (3, 5):
            assert 0 < numbers[f"{method} {classes} fastest"] <= numbers[f"{method} {classes} slowest"]
            assert numbers[f"{method} {classes} operations"] > 100
            assert numbers[f"{method} {classes} host reads"] == 0
            stages = sum(2 * 4 * 256 * (64 // stride) * (128 // stride) for stride in (4, 8, 16, 32))
            bound = numbers[f"{method} {classes} roofline"]
            assert bound == pytest.approx(stages / numbers["bytes_per_second"])
    for classes in (3, 5):
        assert 0 < numbers[f"lovasz {classes} fastest"] <= numbers[f"lovasz {classes} slowest"]
        assert numbers[f"lovasz {classes} host reads"] == 0
        bound = 2 * 4 * classes * 64 * 128 / numbers["bytes_per_second"]
        assert numbers[f"lovasz {classes} roofline"] == pytest.approx(bound)
    written = text.read_text()
    assert written.startswith("```text\n$ python benchmark.py loss --repetitions=1")
    assert f"{numbers['bytes_per_second'] / 1e9:.1f} GB/s" in written


@pytest.mark.slow
def test_distance_and_selection(monkeypatch, tmp_path, capsys):
    numbers = measured(monkeypatch, tmp_path, "distance", "--repetitions=1")
    assert numbers["exact differing"] == 0
    assert 0 < numbers["kornia differing"] < numbers["selected by scipy"]
    assert f"{numbers['selected by scipy']} pixels selected by scipy's transform" in capsys.readouterr().out
