"""Recipes with other packages, as the page "Neighbours" of the user guide shows them; test_neighbours.py runs them."""

import numpy as np
from sklearn.feature_selection import RFECV, SelectFromModel
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.inspection import feature_importances


def explain(model, X_train, X):
    import shap

    background = shap.sample(X_train, 50, random_state=0)
    explainer = shap.PermutationExplainer(model.predict, background, seed=0)
    return explainer(X)  # .values: what each feature adds to a row's prediction


def intervals_with_mapie(model, X_calibration, y_calibration, X):
    from mapie.regression import SplitConformalRegressor

    conformal = SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
    conformal.conformalize(X_calibration, y_calibration)
    y, bounds = conformal.predict_interval(X)
    return y, bounds[:, :, 0]


def intervals_with_crepes(model, X_calibration, y_calibration, X):
    from crepes import WrapRegressor

    conformal = WrapRegressor(model).calibrate(X_calibration, y_calibration)
    return conformal.predict_int(X, confidence=0.9)


def search_with_optuna(X, y, n_trials=12):
    import optuna

    X_train, X_val, y_train, y_val = train_test_split(X, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    X_train, X_val = scaler.transform(X_train), scaler.transform(X_val)

    def loss(trial):
        model = MLPSoftmaxClassifier(
            (trial.suggest_int("width", 8, 128, log=True),) * trial.suggest_int("layers", 1, 3),
            learning_rate_init=trial.suggest_float("rate", 1e-4, 3e-2, log=True),
            weight_decay=trial.suggest_float("decay", 0.01, 5.0, log=True),
            random_state=0,
        )
        for epoch in range(20):
            model.partial_fit(X_train, y_train, X_val=X_val, y_val=y_val, total_samples=len(y_train))
            trial.report(model.validation_loss_curve_[-1], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return min(model.validation_loss_curve_)

    sampler, pruner = optuna.samplers.TPESampler(seed=0), optuna.pruners.MedianPruner(4, 3)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(loss, n_trials=n_trials)
    return study


def track_with_mlflow(X, y):
    import mlflow

    from skbackprop.persistence import TRUSTED_TYPES

    mlflow.sklearn.autolog(log_models=False)  # parameters, training scores
    with mlflow.start_run() as run:
        pipeline = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)).fit(X, y)
        for epoch, loss in enumerate(pipeline[-1].loss_curve_):
            mlflow.log_metric("loss", loss, step=epoch)
        saved = mlflow.sklearn.log_model(
            pipeline, name="model", serialization_format="skops", skops_trusted_types=TRUSTED_TYPES
        )
    return run.info.run_id, mlflow.sklearn.load_model(saved.model_uri)


def oversample(X, y):
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline  # this one passes new rows on in fit, and leaves predict alone

    return make_pipeline(StandardScaler(), SMOTE(random_state=0), MLPSoftmaxClassifier(random_state=0)).fit(X, y)


def equal_rates(X, y, group):
    from fairlearn.postprocessing import ThresholdOptimizer

    model = ThresholdOptimizer(
        estimator=make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)),
        constraints="demographic_parity", predict_method="predict_proba",
    )  # fmt: skip
    return model.fit(X, y, sensitive_features=group)  # predict(X, sensitive_features=group, random_state=0)


def table_with_dates_and_texts(frame, y):
    import skrub

    dates_and_texts = skrub.TableVectorizer(low_cardinality="passthrough")  # categories stay categories
    return make_pipeline(dates_and_texts, *[s for _, s in tabular_pipeline("regressor").steps]).fit(frame, y)


def encode_categories(frame, y):
    from category_encoders import CatBoostEncoder

    model = MLPSoftmaxClassifier(random_state=0)
    return make_pipeline(CatBoostEncoder(random_state=0), StandardScaler(), model).fit(frame, y)


def wrong_labels(X, y):
    from cleanlab.classification import CleanLearning

    model = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0))
    return CleanLearning(model, seed=0).find_label_issues(X, y)  # a row for each label, and if it looks wrong


def halving(X, y):
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # before the next line
    from sklearn.model_selection import HalvingGridSearchCV

    network = MLPSoftmaxClassifier((30,), weight_decay=0.5, random_state=0)
    search = HalvingGridSearchCV(
        make_pipeline(StandardScaler(), network),
        {"mlpsoftmaxclassifier__weight_decay": [0.05, 0.5, 2.0, 1000.0]},
        resource="mlpsoftmaxclassifier__epochs", min_resources=2, max_resources=8, factor=2, cv=3, random_state=0,
    )  # fmt: skip
    return search.fit(X, y)


def model_card(model, X_test, y_test, path):
    from skops.card import Card

    card = Card(model)
    card.add_metrics(accuracy=accuracy_score(y_test, model.predict(X_test)))
    card.add(**{"Model description/Intended uses & limitations": "Benign or malignant, of cell nuclei like these."})
    card.save(path)


def select_features(X, y):
    X = StandardScaler().fit_transform(X)
    network = MLPRegressor((30,), weight_decay=0.5, random_state=0)
    scaled = MLPRegressor((30,), weight_decay=0.5, input_scale=True, random_state=0)
    few = SelectFromModel(network, importance_getter=feature_importances, max_features=2, threshold=-np.inf)
    best = RFECV(scaled, importance_getter="input_scale_", cv=3, min_features_to_select=2)
    return few.fit(X, y).get_support(), best.fit(X, y).support_
