"""Pictures and tables of the documentation, which are made in docs/made when it is built."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))  # whose functions read the results
