"""Train classifiers on the labels of a collection, report how good they are, and suggest what to label next."""
