"""Python imports this when it starts with the folder on PYTHONPATH: so do processes for one task.

They are the real ones, started by a worker, and die at the same points as the worker itself.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from chaos.marks import Marks
from chaos.points import MARKS_VARIABLE, install

install(Marks(Path(os.environ[MARKS_VARIABLE])))
