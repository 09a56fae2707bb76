"""How much of a network a hidden state needs."""


def layers_needed(layer: int, layers: int) -> int:
    """Return how many layers must run for a hidden state.

    Args:
        layer: 0 for the input of the first layer, n for the output of layer n; or counted back from -1, the output of
            the last one.
        layers: of the whole network.

    Raises:
        ValueError: there is no such hidden state.
    """
    if not -layers - 1 <= layer <= layers:
        raise ValueError(
            f"model.teacher.init_args.layer is {layer}; this teacher has the hidden states 0 (its input) to {layers}, "
            f"or {-layers - 1} to -1"
        )
    return layer % (layers + 1)
