"""Python imports this when it starts with the folder on PYTHONPATH: so do a worker's children.

Its fork server is one of them. What that forks for a single task dies at the same points as the
worker itself.
"""

import os
import sys
from pathlib import Path

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    sys.path.insert(0, str(Path(__file__).parents[2]))

    from chaos.marks import Marks
    from chaos.points import MARKS_VARIABLE, install

    install(Marks(Path(os.environ[MARKS_VARIABLE])))
