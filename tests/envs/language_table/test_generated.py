"""Stand-in models: dimensions, reproducibility, and that physics runs on them."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from envs.language_table import generated as made
from envs.language_table.assets import manifest

FOOTPRINTS = {
    "cube": (0.0397, 0.0397),
    "moon": (0.0525, 0.0257),
    "pentagon": (0.0444, 0.0413),
    "star": (0.0444, 0.0408),
}


def vertices(text):
    rows = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("shape", FOOTPRINTS)
def test_blocks_have_the_measured_dimensions(shape):
    points = vertices(made.files()[f"blocks/{shape}.obj"])
    width, height, depth = np.ptp(points, axis=0)
    assert (width, depth) == pytest.approx(FOOTPRINTS[shape], abs=1e-4)
    assert height == pytest.approx(0.0381)
    assert points[:, 1].min() == 0


@pytest.mark.parametrize("shape", FOOTPRINTS)
def test_hulls_are_those_of_the_official_meshes(shape, official):
    own = ConvexHull(vertices(made.files()[f"blocks/{shape}.obj"])).volume
    public = ConvexHull(vertices((official.root / "blocks" / f"{shape}.obj").read_text())).volume
    assert own == pytest.approx(public, rel=1e-3)


def test_faces_point_outwards():
    """Signed volume of a closed, consistently oriented mesh is that of its solid."""
    for shape, expected in (("cube", 5.9e-5), ("pentagon", 5.2e-5)):
        text = made.files()[f"blocks/{shape}.obj"]
        points = vertices(text)
        faces = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("f ")], dtype=int) - 1
        a, b, c = (points[faces[:, corner]] for corner in range(3))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
        assert abs(volume) == pytest.approx(expected, rel=0.05)


def test_every_official_file_has_a_stand_in(generated):
    assert set(made.files()) == {file.path for file in manifest().files}
    assert generated.generated
    assert all((generated.root / name).read_text() == text for name, text in made.files().items())
    assert made.generate_assets().fingerprint() == generated.fingerprint()
