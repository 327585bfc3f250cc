"""The module of evaluation: predictions by its protocol, and what measures are given and find."""

import torch
import torch.nn.functional as F

from contextrast.metrics import CityscapesInstanceIoU, FeatureGeometry
from tests.evaluation.runs import batch, masks, measured


def test_scales_and_flips_are_averaged_as_softmax():
    one = batch(0, masks(1)[0])
    module, (prediction,) = measured([one], scales=(0.5, 1.0), flip=True)
    image = (one["image"].float() / 255 - 0.5) / 0.5
    total = torch.zeros(2, 19, 40, 50)
    with torch.no_grad():
        for size in ((20, 25), (40, 50)):
            small = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
            for flip in (False, True):
                logits = module.network(small.flip(3) if flip else small)
                logits = logits.flip(3) if flip else logits
                total += F.interpolate(logits, size=(40, 50), mode="bilinear", align_corners=False).softmax(1)
    assert int((prediction != total.argmax(1)).sum()) <= 2  # ties broken by rounding
    assert int(module.last_scores.confusion.trace()) == int((prediction == one["mask"]).sum())


def test_windows_are_predicted_by_themselves():
    one = batch(0, masks(1)[0])
    module, (prediction,) = measured([one], window=(40, 25), overlap=0.0)
    image = (one["image"].float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        expected = torch.cat([module.network(image[..., :25]), module.network(image[..., 25:])], dim=3).argmax(1)
    assert int((prediction != expected).sum()) <= 2
    _, (whole,) = measured([one])
    assert int((prediction != whole).sum()) > 10, "borders of windows show"


def test_measures_see_instances_features_and_the_predictions_that_callbacks_get():
    generator = torch.Generator().manual_seed(0)
    targets = masks(2)
    batches = [
        batch(number, mask, instances=torch.randint(24, 34, mask.shape, generator=generator).int() * 1000)
        for number, mask in enumerate(targets)
    ]
    features = FeatureGeometry(19, [f"stage{n}" for n in (2, 3, 4, 5)], (64, 128, 256, 512), pixels_per_class=5)
    module, predictions = measured(batches, {"iiou": CityscapesInstanceIoU(), "features": features})
    assert [(p.shape, p.dtype) for p in predictions] == [((2, 40, 50), torch.int64)] * 2
    right = sum(int((p == m).sum()) for p, m in zip(predictions, targets, strict=True))
    assert int(module.last_scores.confusion.trace()) == right
    expected = CityscapesInstanceIoU()
    for prediction, one in zip(predictions, batches, strict=True):
        expected.update(prediction, one["instances"])
    assert module.last_reports["iiou"].scores == expected.report(module.labels.classes).scores
    assert module.last_reports["features"].groups["stage2"]["classes"] == 8
    assert int(features.keys_2.min()) == torch.iinfo(torch.int64).max, "reset for the next test"
