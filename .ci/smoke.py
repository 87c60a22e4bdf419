"""What a first user does with an installed wheel and nothing beside it: `python -P .ci/smoke.py tests/golden`.

Fits, predicts, saves and loads, and loads the models that 0.1.0 saved.
"""

import importlib.util
import pathlib
import pickle
import sys
import tempfile
import warnings

import joblib
import numpy as np

import skbackprop
from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline

golden = pathlib.Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("make_golden", golden / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
assert pathlib.Path(skbackprop.__file__).is_relative_to(sys.prefix), skbackprop.__file__
warnings.simplefilter("ignore")  # few epochs, and files of earlier versions

X, tree, _, y = make.problem()
kinds = MLPSoftmaxClassifier, MLPRegressor, lambda **params: tabular_pipeline("classifier", **params)
for kind, target in zip(kinds, (tree, y, tree), strict=True):
    model = kind(random_state=0, max_iter=5).fit(X, target)
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, pathlib.Path(folder, "model"))
        assert np.array_equal(joblib.load(pathlib.Path(folder, "model")).predict(X), model.predict(X))

files = sorted(golden.glob("0.1.0/*.pickle"))
for path in files:
    found, expected = make.answers(pickle.loads(path.read_bytes()), X), np.load(path.with_suffix(".npz"))
    for name in expected.files:
        if not name.startswith("then_"):  # after training on
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=path.name)
assert len(files) > 6
skbackprop.show_config()
print(f"Fitted, saved and loaded; {len(files)} models of 0.1.0 predict as they did.")
