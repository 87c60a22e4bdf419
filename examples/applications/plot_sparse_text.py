"""
Which part of SciPy is this about?
==================================

Text becomes a wide sparse matrix, with one column per word. The network takes it without conversion, and its first
layer computes only with the words of each text. Here it predicts the subpackage of SciPy's functions from their
docstrings, and is compared with a logistic regression, which is hard to beat on text.
"""

import importlib
import inspect

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, train_test_split

from skbackprop import MLPSoftmaxClassifier

# %%
# The texts are the docstrings of SciPy's functions and classes, up to the first heading. The names of the subpackages
# are left out, since they would give the answer away.

topics = ["fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "special", "stats"]
found = {}  # by text, as some are in two subpackages
for topic in topics:
    module = importlib.import_module(f"scipy.{topic}")
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isroutine(thing) or inspect.isclass(thing) or isinstance(thing, np.ufunc):
            text = (inspect.getdoc(thing) or "").partition("\n---")[0]
            text = text.partition("\n\n")[2] if isinstance(thing, np.ufunc) else text  # not its signature
            if len(text) > 30:
                found.setdefault(text, topic)
texts, y = np.array(list(found)), np.array(list(found.values()))
train, test, y_train, y_test = train_test_split(texts, y, test_size=0.5, stratify=y, random_state=0)

# %%
# The CSR matrix has one column per word, weighted by inverse document frequency, and is never made dense. The penalty
# of the logistic regression is chosen by cross-validation.

words = TfidfVectorizer(
    sublinear_tf=True,
    min_df=2,
    token_pattern="[a-z]{3,}",
    stop_words=[*ENGLISH_STOP_WORDS, "scipy", "parameters", *topics],
)
X, X_test = words.fit_transform(train), words.transform(test)
print(f"{X.shape[0]} texts, {X.shape[1]} words; {X.nnz / np.prod(X.shape):.1%} of the matrix is not zero")
mlp = MLPSoftmaxClassifier((100,), random_state=0).fit(X, y_train)
logistic = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [1, 3, 10, 30, 100]}, cv=3).fit(X, y_train)
print(f"network {mlp.score(X_test, y_test):.3f}, logistic regression {logistic.score(X_test, y_test):.3f}")

# %%
# Which words indicate a topic? The product of the two weight matrices is the effect of each word on each topic, if all
# hidden units are active. We multiply it by the mean value of the word in the texts of the topic.

push = mlp.coefs_[0] @ mlp.coefs_[1]
push -= push.mean(axis=1, keepdims=True)
names, telling = words.get_feature_names_out(), []
for k, topic in enumerate(mlp.classes_):
    votes = push[:, k] * np.ravel(X[y_train == topic].mean(axis=0))
    telling.append(", ".join(names[np.argsort(-votes)[:4]]))

fig, ax = plt.subplots(figsize=(9.5, 5), layout="constrained")
display = ConfusionMatrixDisplay.from_estimator(
    mlp, X_test, y_test, normalize="true", values_format=".0%", cmap="Blues", colorbar=False, ax=ax
)
for text in display.text_.ravel():
    if text.get_text() == "0%":
        text.set_text("")
ax.set(xlabel="predicted subpackage", ylabel="subpackage")
plt.setp(ax.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
ax.secondary_yaxis("right").set_yticks(range(len(topics)), telling)
plt.show()

# %%
# Each row shows the predictions for the texts of one subpackage, and on the right the words that indicate it most. On
# so few texts the network and the logistic regression are equally good: the accuracy of both is about 0.9.
