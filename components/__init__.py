"""The parts of a model, in pure torch: one package for each exchangeable family."""
