# SPDX-License-Identifier: MIT
"""A grid search of scikit-learn whose models are fitted in the processes of a pool of Tutti.

    python grid_search.py [--backend loky|tutti] [--size N]

The backend's name is all that changes in a program that uses joblib, as scikit-learn and pandas' friends do.
"""

import argparse

import joblib
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

import tutti.joblib


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="tutti")
    parser.add_argument("--size", type=int, default=300, help="samples")
    options = parser.parse_args()
    tutti.joblib.register()
    samples, classes = make_classification(options.size, 10, random_state=1)
    grid = {"n_neighbors": list(range(1, 31)), "weights": ["uniform", "distance"]}
    with joblib.parallel_config(backend=options.backend, n_jobs=2):
        search = GridSearchCV(KNeighborsClassifier(), grid, cv=3).fit(samples, classes)
    print(f"{search.best_score_:.3f} with {search.best_params_}")


if __name__ == "__main__":
    main()
