# SPDX-License-Identifier: MIT
"""scikit-learn: a grid search and a cross validation over two processes."""

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier


def main():
    features, classes = load_iris(return_X_y=True)
    search = GridSearchCV(DecisionTreeClassifier(random_state=1), {"max_depth": [1, 2, 3, 4]}, n_jobs=2)
    search.fit(features, classes)
    print(search.best_params_, round(search.best_score_, 3))
    scores = cross_val_score(LogisticRegression(max_iter=500), features, classes, cv=4, n_jobs=2)
    print([round(float(score), 3) for score in scores])


if __name__ == "__main__":
    main()
