"""History of time, peak memory and score, for airspeed velocity (asv.readthedocs.io).

    pip install asv virtualenv
    cd benchmarks && asv run HEAD^! && asv publish && asv preview
    asv run --python=same --quick     # this environment, each work once

Ratios to other packages are compare.py's business.
"""
