"""A classifier and a regressor on real data, in a Pipeline, tuned by GridSearchCV."""

import time

from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier


def tune(model, grid, X, y):
    """Search the grid with standardised features."""
    name = type(model).__name__.lower()
    grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    return GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=3).fit(X, y)


def report(title, search, seconds, **scores):
    best = ", ".join(f"{name.split('__')[1]}={value}" for name, value in search.best_params_.items())
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    print(f"    best of {len(search.cv_results_['params'])} settings: {best} ({seconds:.1f} s in all)")


def main():
    X, y = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    classifier = MLPSoftmaxClassifier(random_state=0)
    start = time.perf_counter()
    search = tune(classifier, {"hidden_layer_sizes": [(100,), (100, 100)], "dropout": [0.0, 0.2]}, X_train, y_train)
    seconds = time.perf_counter() - start
    report(
        "digits",
        search,
        seconds,
        **{"test accuracy": search.score(X_test, y_test), "log loss": log_loss(y_test, search.predict_proba(X_test))},
    )

    X, y = load_diabetes(return_X_y=True)  # 442 patients, progression of the disease after a year
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    regressor = MLPRegressor(random_state=0)
    start = time.perf_counter()
    search = tune(regressor, {"hidden_layer_sizes": [(20,), (100, 100)], "n_members": [1, 4]}, X_train, y_train)
    seconds = time.perf_counter() - start
    report("diabetes", search, seconds, **{"test R2": search.score(X_test, y_test)})

    print(
        "\nNext: give fit a validation set of your own (X_val, y_val, early_stopping=True), weigh rare classes"
        "\n(class_weight='balanced'), or predict intervals (MLPRegressor(loss='quantile', quantile=[0.05, 0.5, 0.95]))."
        "\nexamples/fashion_mnist.py trains on 60,000 images."
    )


if __name__ == "__main__":
    main()
