import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "scripts" / "draw_models.py"


def test_the_pictures_of_the_docs_show_outlines(tmp_path):
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True)
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {"nuclei-2d", "nuclei-2d-tissue", "nuclei-3d", "membranes-3d"}
    for name in names - {"nuclei-2d-tissue"}:
        left, right = np.split(np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int), 2, axis=1)
        drawn = (left != right).any(-1).mean()
        assert 0.01 < drawn < 0.4
