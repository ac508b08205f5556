"""The head segmenter with the weights in the box, on a head whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.plausibility import centre_mm
from pipelines.segmenters.bundleconfig import find_bundle, read_bundle
from pipelines.stages.segment import segment
from tests.make_head import make_head

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head():
    return make_head(spacing_mm=(2.5, 1.5, 1.5))


@pytest.fixture(scope="module")
def found(head):
    return segment(head.volume)


def test_the_weights_in_the_box_are_the_pinned_ones(found):
    bundle = read_bundle(find_bundle("medviz_head", None))
    assert found.models[0].weights_sha256 == bundle.weights_sha256
    assert len(bundle.weights_sha256) == 64


def test_cerebrum_and_ventricles_lie_where_they_were_painted(head, found):
    """A head of ellipsoids is a caricature: below the tentorium nothing looks real, so that is not asked."""
    for name in ("cerebrum", "ventricles"):
        away_mm = np.linalg.norm(centre_mm(found, name) - centre_mm(head.segmentation, name))
        assert away_mm < 10.0, name


def test_the_brain_stays_in_the_skull(head, found):
    inside = head.segmentation.mask("brain") | head.segmentation.mask("csf")
    brain = found.mask("brain")
    assert (brain & ~inside).sum() / brain.sum() < 0.02
    skull = head.segmentation.mask("skull")
    overlap = 2 * (found.mask("skull") & skull).sum() / (found.mask("skull").sum() + skull.sum())
    assert overlap > 0.97


def test_two_runs_give_the_same_labels(head, found):
    again = segment(head.volume)
    assert again.labels.tobytes() == found.labels.tobytes()
    assert again.structures == found.structures
