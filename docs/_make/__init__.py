"""What the documentation shows of the package, drawn and written when it is built, into docs/made."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))  # what measured reads its results, too
