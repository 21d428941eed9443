"""The plan of periods: the boundaries that all processes share, and the results of epochs."""
