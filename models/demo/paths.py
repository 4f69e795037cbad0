"""Where the recipe reads and writes. The build folder (corpus, checkpoints) is not part of the repository."""

import os
from pathlib import Path

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("HEADWAY_DEMO_BUILD", HERE / "build"))
BUILD.mkdir(parents=True, exist_ok=True)
LOG = HERE / "training.log"
