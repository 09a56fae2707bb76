"""The parts a model is made of, in pure torch: one package per swappable family."""
